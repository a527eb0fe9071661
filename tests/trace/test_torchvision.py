"""Every float model of torchvision against plain hooks and one plain backward pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from interp_widgets.errors import LayoutError
from interp_widgets.trace import Trace, record
from tests.trace import small_models
from tests.trace.conftest import Row
from tests.trace.reference import Reference, Snapshot, relative_error

# The same kernels run on the same numbers. What differs: the memory format a copy may get, and the order in which
# autograd adds up the branches of a fork; both in the last bits of float32, and more where 150 layers amplify them.
ACTIVATION_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", small_models.NAMES)
def test_a_recording_agrees_with_plain_hooks_and_one_plain_backward(
    name: str, report_row: Callable[[Row], None]
) -> None:
    start = time.perf_counter()
    model, inputs, score = small_models.build(name), small_models.inputs(name), small_models.target(name)
    before = Snapshot(model)
    with torch.no_grad():
        plain = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    reference = Reference(model, inputs, score)
    with record(model, inputs, memory_limit=2**34) as trace:
        before.assert_unchanged(model)
        assert_same_output(trace.output, plain)
        assert set(trace.layers) == set(reference.activations)
        activation_error = max(
            relative_error(trace.activation(layer), reference.activations[layer]) for layer in trace.layers
        )
        assert activation_error <= ACTIVATION_TOLERANCE
        differentiable = [site for site in trace.sites.values() if site.differentiable]
        gradients = dict(
            zip(differentiable, trace.gradients([site.name for site in differentiable], score), strict=True)
        )
        for site, gradient in gradients.items():
            assert gradient.shape == site.shape, site
            assert torch.isfinite(gradient).all(), site
        gradient_error, nonzero = compare_gradients(trace, reference, score)
        assert gradient_error <= GRADIENT_TOLERANCE
        assert nonzero > 0.5, "random weights let too little through: the comparison would be of zeros"
        before.assert_unchanged(model)
        sites = trace.sites
        row = Row(
            name, len(trace.layers), len(sites), len(differentiable), activation_error, gradient_error, nonzero,
            default_layer(trace), time.perf_counter() - start,
        )  # fmt: skip
    report_row(row)


def assert_same_output(found: Any, expected: Any) -> None:
    pairs = list(zip(tree_leaves(found), tree_leaves(expected), strict=True))
    assert pairs
    for a, b in pairs:
        assert relative_error(a, b) <= ACTIVATION_TOLERANCE


def compare_gradients(trace: Trace, reference: Reference, score: Any) -> tuple[float, float]:
    """The largest relative error, and the share of layers whose gradient is not all zero."""
    errors, nonzero = [], 0
    followed = [layer for layer, gradient in reference.gradients.items() if gradient is not None]
    for layer in followed:
        expected = reference.gradients[layer]
        assert trace.site(layer).differentiable, layer
        errors.append((relative_error(trace.gradient(layer, score), expected), layer))
        nonzero += bool(expected.any())
    for layer in set(reference.gradients) - set(followed):  # the score does not depend on it
        if trace.site(layer).differentiable:
            assert not trace.gradient(layer, score).any(), layer
    for name, expected in zip(trace.input_sites, reference.input_gradients, strict=True):
        errors.append((relative_error(trace.gradient(name, score), expected), name))
    return max(errors)[0], nonzero / max(1, len(followed))


def default_layer(trace: Trace) -> str:
    try:
        return trace.default_layer()
    except LayoutError:
        return "-"
