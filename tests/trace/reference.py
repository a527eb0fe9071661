"""What a trace must say, found in the plainest way: forward hooks that keep each output and hand on a copy of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map


class Reference:
    """One plain pass with every module's output kept. Later in-place writes hit the copy that was handed on."""

    def __init__(self, model: nn.Module, inputs: Any, score: Callable[[Any], torch.Tensor]) -> None:
        self.activations: dict[str, torch.Tensor] = {}
        copies = tree_map(lambda tensor: tensor.detach().clone().requires_grad_(tensor.is_floating_point()), inputs)
        fed = tree_map(torch.clone, copies)  # a model may write into its input
        handles = [module.register_forward_hook(self._keep(path)) for path, module in model.named_modules() if path]
        try:
            output = model(*fed) if isinstance(fed, tuple) else model(fed)
        finally:
            for handle in handles:
                handle.remove()
        followed = {path: tensor for path, tensor in self.activations.items() if tensor.requires_grad}
        leaves = tree_leaves(copies)
        gradients = torch.autograd.grad(score(output), [*followed.values(), *leaves], allow_unused=True)
        self.gradients = dict(zip(followed, gradients, strict=False))
        self.input_gradients = list(gradients[len(followed) :])
        self.activations = {path: tensor.detach() for path, tensor in self.activations.items()}

    def _keep(self, path: str) -> Callable[..., Any]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
            floats = [tensor for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()]
            if not tensors:
                return None
            self.activations[path] = (floats or tensors)[0]
            return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, output)

        return hook


class Snapshot:
    """Everything of a model that a recording must leave as it was."""

    def __init__(self, model: nn.Module) -> None:
        self.state = self._read(model)

    @staticmethod
    def _read(model: nn.Module) -> dict[str, Any]:
        return {
            "modes": [module.training for module in model.modules()],
            "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
            "grads": [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()],
            "buffers": [(name, id(buffer), buffer.clone()) for name, buffer in model.named_buffers()],
            "parameters": [(name, id(parameter), parameter._version) for name, parameter in model.named_parameters()],
            "hooks": [
                (
                    *module._forward_hooks,
                    *module._forward_pre_hooks,
                    *module._backward_hooks,
                    *module._backward_pre_hooks,
                )
                for module in model.modules()
            ],
            "forwards": ["forward" in vars(module) for module in model.modules()],
            "random": torch.random.get_rng_state(),
            "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        }

    def assert_unchanged(self, model: nn.Module) -> None:
        now = self._read(model)
        for what, before in self.state.items():
            assert _same(before, now[what]), f"the recording changed the model's {what}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference over the largest expected size; shapes and types must agree."""
    assert found.shape == expected.shape, f"{tuple(found.shape)} instead of {tuple(expected.shape)}"
    assert found.dtype == expected.dtype, f"{found.dtype} instead of {expected.dtype}"
    if not found.numel() or torch.equal(found, expected):
        return 0.0
    wide = torch.complex128 if expected.is_complex() else torch.float64
    expected, found = expected.to(wide), found.to(wide)
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
