"""Two passes are compared only where they did the same."""

from __future__ import annotations

from tests.propagation.models import Inside, refused


def test_another_way_through_the_model_is_refused_and_the_fork_is_named() -> None:
    refused(
        Inside(lambda x: x.relu() if float(x.detach().sum()) > 0 else x.tanh()),
        "does not take the same way for the reference as for the input: at '/(relu|tanh)' it does .*, and .* for the "
        "reference. Choose another baseline",
    )
    refused(
        Inside(lambda x: x * float(x.detach().max())), "at '/mul' it does mul, and mul with other arguments for the"
    )
