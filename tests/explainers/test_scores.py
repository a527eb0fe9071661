"""The score of an attribution is that of the input it explains, whatever the target and wherever its batch axis is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from tests.explainers.subjects import SmallNet


class Sequence(nn.Module):
    """Tokens ``(N, L, 5)``; inside, the batch is the second axis, or joined with the tokens into one."""

    def __init__(self, inside: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = inside
        self.embed, self.mix, self.head = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        embedded = self.embed(x)
        if self.inside == "tokens first":
            return self.head(self.mix(embedded.transpose(0, 1)).relu().mean(dim=0))
        mixed = self.mix(embedded.flatten(0, 1)).relu()
        return self.head(mixed.reshape(embedded.shape).mean(dim=1))


class Doubled:
    """An object of another package."""

    def score(self, values: Any, _value: Any) -> torch.Tensor:
        return 2 * values.logits[:, 1].sum()


TARGETS: dict[str, Any] = {
    "class": 2,
    "contrast": iw.Contrast(0, 1),
    "sum": iw.ClassSum((0, 3)),
    "layer": iw.SiteScore("mix"),
    "channel": iw.SiteScore("mix", 1),
    "function": iw.OutputScore(lambda output: output[:, 2].square().sum()),
    "object": Doubled(),
}
METHODS = [
    iw.Gradient(),
    iw.IntegratedGradients(steps=8),
    iw.DeepLift(),
    iw.LRP(rule="epsilon", epsilon=0.0),
    iw.ShapleySampling(samples=2),
]


@pytest.mark.parametrize("inside", ["tokens first", "tokens joined"])
@pytest.mark.parametrize("explainer", METHODS, ids=lambda explainer: type(explainer).__name__)
@pytest.mark.parametrize("target", TARGETS)
def test_one_of_a_batch_has_the_score_and_the_map_that_it_has_alone(
    target: str, explainer: iw.Explainer, inside: str
) -> None:
    model = Sequence(inside).eval()
    batch = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(1)).double()
    together = iw.record(model, batch)
    for example in (0, 2):
        found = explainer(together, TARGETS[target], example=example)
        alone = explainer(iw.record(model, batch[example : example + 1]), TARGETS[target])
        assert found.score == pytest.approx(alone.score)
        assert found.change == (None if alone.change is None else pytest.approx(alone.change))
        torch.testing.assert_close(found.values, alone.values)


@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 3, 5), (1, 1, 5)])
def test_values_of_a_batch_are_told_apart_where_the_site_of_a_target_has_as_many_tokens(
    shape: tuple[int, int, int],
) -> None:
    """Seven values at once: rows of the site are then as many as the values, or as the inputs, and are neither."""
    model, target = Sequence("tokens joined").eval(), iw.SiteScore("mix", 1)
    trace = iw.record(model, torch.randn(shape).double())
    values = torch.randn(7, *shape[1:]).double()
    expected = [model.mix(model.embed(value)).sum(dim=0)[1].item() for value in values]
    for gradient in (False, True):
        assert trace.probe("input", values, target, gradient=gradient).scores.tolist() == pytest.approx(expected)


def test_a_function_of_several_inputs_of_a_batch_has_one_score_for_all() -> None:
    batch = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    model = SmallNet().eval()
    first_two = iw.OutputScore(lambda output: output[0, 1] - output[1, 1])
    expected = first_two.function(model(batch)).item()
    scores = [iw.Gradient()(iw.record(model, batch), first_two, example=example).score for example in range(3)]
    assert scores == pytest.approx([expected] * 3)
