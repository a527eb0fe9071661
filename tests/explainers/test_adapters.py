"""Explainers from functions, from other libraries and from other packages."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM as OtherGradCAM
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.explainers import adapt, from_callable
from tests.explainers.subjects import SmallNet

IMAGE = torch.randn(1, 3, 10, 14, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def model() -> SmallNet:
    return SmallNet().train()


@pytest.fixture
def trace(model: SmallNet) -> iw.Trace:
    return iw.record(model, IMAGE)


def test_a_function_gets_the_model_as_a_recording_would_and_a_copy_of_the_input(
    model: SmallNet, trace: iw.Trace
) -> None:
    def noisy(lent: nn.Module, image: torch.Tensor, index: int) -> torch.Tensor:
        assert type(lent) is type(model)
        assert lent.conv1.weight.data_ptr() == model.conv1.weight.data_ptr()
        assert not any(module.training for module in lent.modules())
        assert torch.equal(image, IMAGE)
        assert index == 3
        image.add_(1)
        return torch.arange(10 * 14).reshape(10, 14) - 20

    found = from_callable(noisy)(trace, 3)
    assert found.method == "noisy"
    assert found.signed
    assert found.values.dtype == torch.float32
    assert float(found.values[0, 0]) == -20
    assert model.training
    assert torch.equal(trace.activation("input"), IMAGE)


@pytest.mark.parametrize("shape", [(1, 3, 10, 14), (10, 14), (1, 10, 14)])
def test_a_function_may_return_an_array_or_a_map(trace: iw.Trace, shape: tuple[int, ...]) -> None:
    found = from_callable(lambda _model, _image, _index: np.ones(shape), title="ones")(trace, 0)
    assert tuple(found.values.shape) == (10, 14)
    assert float(found.values[2, 2]) == (3 if len(shape) == 4 else 1)


def test_what_is_no_map_and_what_is_no_class_is_refused(trace: iw.Trace) -> None:
    with pytest.raises(errors.ParameterError, match=r"lines must return .* or a map \(H, W\), got \(7,\)"):
        from_callable(lambda *_: torch.ones(7), title="lines")(trace, 0)
    with pytest.raises(errors.TargetError, match="ones explains classes only"):
        from_callable(lambda *_: torch.ones(10, 14), title="ones")(trace, iw.Contrast(0, 1))
    with pytest.raises(errors.ParameterError, match=r"function must be callable, got int \(3\)"):
        from_callable(3)  # type: ignore[arg-type]
    with pytest.raises(errors.ParameterError, match=r"adapt takes objects of captum, .*, got"):
        adapt(3)


def test_an_error_in_a_function_leaves_the_model_as_it_was(model: SmallNet, trace: iw.Trace) -> None:
    def broken(_model: nn.Module, _image: torch.Tensor, _index: int) -> torch.Tensor:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        from_callable(broken)(trace, 0)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_captums_methods_give_what_captum_gives(trace: iw.Trace) -> None:
    evaluated = SmallNet().eval()
    evaluated.load_state_dict(trace.model.state_dict())
    expected = captum.attr.IntegratedGradients(evaluated).attribute(IMAGE, target=2, n_steps=7)[0].sum(dim=0)
    found = adapt(captum.attr.IntegratedGradients(trace.model), n_steps=7)(trace, 2)
    torch.testing.assert_close(found.values, expected.float())
    assert found.method == "IntegratedGradients (captum)"
    layer = captum.attr.LayerActivation(trace.model, trace.model.conv2)
    with pytest.raises(TypeError, match="target"):
        adapt(layer)(trace, 2)


def test_pytorch_grad_cams_methods_give_what_it_gives(model: SmallNet) -> None:
    with OtherGradCAM(model.eval(), [model.conv1]) as cam:
        expected = cam(input_tensor=IMAGE, targets=[lambda output: output[2]])[0]
        found = adapt(cam)(iw.record(model.train(), IMAGE), 2)  # with its hooks, which are part of the model
    np.testing.assert_allclose(found.array, expected, atol=1e-6)
    assert not found.signed


def test_a_shap_explainers_last_axis_counts_the_classes(trace: iw.Trace) -> None:
    class Explainer:
        """What shap's explainers look like."""

        def shap_values(self, image: torch.Tensor) -> np.ndarray:
            return np.stack([np.full(image.shape, k) for k in range(5)], axis=-1)

    Explainer.__module__ = "shap.explainers"
    assert float(adapt(Explainer())(trace, 4).values[0, 0]) == 12


def test_a_given_explainer_stands_in_the_menu_and_can_be_chosen_again() -> None:
    mine = from_callable(lambda _model, image, _index: image.abs(), title="<b>mine</b>", signed=False)
    with iw.explore("scenes", explainer=mine) as explorer:
        assert explorer.wait(20)
        menu = explorer.controls["method"]
        assert ("<b>mine</b>", "BMineB") in menu.options
        assert explorer.attribution.method == "<b>mine</b>"
        explorer.session.explainer = "GradCAM"
        assert explorer.wait(20)
        menu.set_state({"value": "BMineB"})
        assert explorer.wait(20)
        assert explorer.session.method is mine
        assert explorer.error == ""


PLUGIN = """
    import dataclasses
    from interp_widgets.explainers import Gradient

    @dataclasses.dataclass(frozen=True)
    class Throwaway(Gradient):
        title = "Throw-away"

    @dataclasses.dataclass(frozen=True)
    class GradCAM(Gradient):
        pass
"""
ENTRIES = """
    [interp_widgets.explainers]
    good = throwaway:Throwaway
    taken = throwaway:GradCAM
    broken = throwaway_that_is_not_there:Nothing
    wrong = throwaway:dataclasses
"""
ASK = """
    import warnings, sys
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import interp_widgets as iw
        assert "throwaway" not in sys.modules
        iw.EXPLAINERS["GradCAM"]
        assert "throwaway" not in sys.modules
        names = list(iw.EXPLAINERS)
        assert iw.EXPLAINERS["Throwaway"].title == "Throw-away"
    print(names[-1], iw.EXPLAINERS["GradCAM"].__module__)
    for warning in caught:
        print(warning.category.__name__, warning.message)
"""


@pytest.mark.slow
def test_a_plug_in_is_loaded_when_it_is_asked_for_and_a_broken_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "throwaway.py").write_text(textwrap.dedent(PLUGIN))
    info = tmp_path / "throwaway-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: throwaway\nVersion: 1\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(ENTRIES))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{textwrap.dedent(ASK)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    first, *told = done.stdout.strip().splitlines()
    assert first == "Throwaway interp_widgets.explainers.grad_cam"
    words = "\n".join(told)
    assert len(told) == 3
    assert all(line.startswith("RuntimeWarning explainer plug-in ") for line in told)
    assert "'taken' (throwaway:GradCAM) was skipped: there is an explainer named GradCAM already" in words
    assert "'broken' (throwaway_that_is_not_there:Nothing) was skipped: ModuleNotFoundError" in words
    assert "'wrong' (throwaway:dataclasses) was skipped: it is no Explainer class" in words


def test_without_plug_ins_nothing_is_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "GradCAM" in list(iw.EXPLAINERS)


@pytest.mark.parametrize("returned", [None, "a map", {"map": 1}])
def test_a_function_that_returns_no_numbers_is_named(trace: iw.Trace, returned: Any) -> None:
    with pytest.raises(errors.ParameterError, match="Nothing must return an array or tensor of numbers, got"):
        iw.from_callable(lambda _model, _image, _index: returned, title="Nothing")(trace)
