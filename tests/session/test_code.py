"""`Session.code()`: run from nothing it makes what the session shows; what comes from outside stays a value."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InterpError, TargetError
from interp_widgets.explainers import CAM, Explainer
from interp_widgets.inputs import Preprocess
from interp_widgets.session import Session
from interp_widgets.trace import Target
from interp_widgets.trace.target import Names, Values
from tests.widgets.models import Detector, cnn, images, mlp

# Of the largest value. Equal weights and inputs go through the same operations in float32; but weights at another
# place in memory may be added up in another order, and a value that is zero but for rounding passes a ReLU or not.
SAME = 1e-4
HOSTILE = (
    '"""\nraise SystemExit("pasted")\n#',
    'it\'s "quoted" \\',
    "\r\nraise SystemExit",
    "\u2028raise SystemExit\x85\x00",
    "{name} \ud800",
)
METHODS = (
    iw.GradCAM(relu=False),
    iw.LayerCAM(),
    iw.Gradient(),
    iw.IntegratedGradients(steps=4, baseline="noise", seed=3),
    iw.SmoothGrad(samples=3, noise=np.float64(0.2)),
    iw.LRP(epsilon=0.5),
)
TARGETS = (
    3,
    iw.Contrast(1, 0, 0.5),
    iw.Contrast(2, 4),
    iw.ClassSum((3,)),
    iw.ClassSum((0, 2)),
    iw.Against(1),
)
LAYERS = {"digits": "conv2", "scenes": "layer2.1", "scenes-vit": "blocks.1"}
FIRST = {"digits": "conv1", "scenes": "layer1", "scenes-vit": "blocks.0"}


def ran(code: str, **given: Any) -> dict[str, Any]:
    """The variables after the code was run, with those that the user sets; it ends in the figure."""
    variables = dict(given)
    exec(compile(code, "<code>", "exec"), variables)  # noqa: S102 - that is what it is for
    return variables


def kinds(code: str) -> list[str]:
    return [type(statement).__name__ for statement in ast.parse(code).body]


def zoo_session(name: str, **state: Any) -> Session:
    """As ``iw.explore(name)`` makes it."""
    entry = iw.zoo.load(name)
    pictures = [example.image for example in entry.examples]
    return Session(entry.model, pictures, class_names=entry.class_names, preprocess=entry.preprocess, **state)


def questions() -> Iterator[Any]:
    """Each target of each model, with one method after the other."""
    methods = cycle(METHODS)
    for name, layer in LAYERS.items():
        for target in (*TARGETS, iw.SiteScore(layer, 2), iw.SiteScore(layer)):
            method = next(methods)
            yield pytest.param(name, method, target, id=f"{name}-{type(method).__name__}-{target}")


@pytest.mark.parametrize(("name", "method", "target"), [*questions()])
def test_the_code_of_a_zoo_model_makes_what_the_session_shows(
    name: str, method: Explainer, target: Any, close: Callable[..., None]
) -> None:
    with zoo_session(name, explainer=method, target=target) as session:
        session.example, session.tolerance = 4, 0.0
        if isinstance(target, iw.SiteScore) and method.at_layer:
            session.layer = FIRST[name]  # a later layer has no gradient of it
        code = session.code()
        found, shown = ran(code)["attribution"], session.attribution()
        close(found.values, shown.values, SAME)
        assert (found.layer, found.label, found.method) == (shown.layer, shown.label, shown.method)
        assert code.endswith("attribution.figure()\n")


def test_a_method_at_the_layer_is_written_with_that_layer(close: Callable[..., None]) -> None:
    with zoo_session("scenes", explainer="Gradient", at_layer=True, layer="layer2") as session:
        found = ran(session.code())["attribution"]
        assert found.layer == "layer2"
        close(found.values, session.attribution().values, SAME)


def test_what_the_session_refines_the_code_refines_as_far(close: Callable[..., None]) -> None:
    with zoo_session("digits", explainer=iw.IntegratedGradients(steps=2), target=3) as session:
        shown = session.attribution()
        plain = iw.IntegratedGradients(steps=2)(session.ready(), target=3)
        assert shown.error is not None
        assert plain.error is not None
        assert shown.error < 0.05 < plain.error  # the session's tolerance: two steps do not reach it
        found = ran(session.code())["attribution"]
        close(found.values, shown.values, SAME)
        session.tolerance = 0.0
        code = session.code()
        assert "refined" not in code
        close(ran(code)["attribution"].values, plain.values, SAME)


def test_only_hyper_parameters_that_are_not_usual_are_written() -> None:
    with zoo_session("digits", explainer=iw.SmoothGrad(samples=3)) as session:
        assert "explainer = iw.SmoothGrad(samples=3)\n" in session.code()
        session.explainer = "GradCAM"
        assert "explainer = iw.GradCAM()\n" in session.code()


def test_colours_and_look_are_those_of_the_figure() -> None:
    with zoo_session("digits") as session:
        code = session.code(colormap="magma", opacity=0.25, look=iw.Look(photo="grey"))
        assert code.endswith("attribution.figure(colormap='magma', opacity=0.25, look=iw.Look(photo='grey'))\n")
        ran(code)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"colormap": "jett"}, "no colour map is named 'jett'"),
        ({"look": "grey"}, "look must be an iw.Look"),
        ({"opacity": 3}, "opacity must be .*3"),
    ],
)
def test_colours_and_looks_that_cannot_be_are_refused(options: dict[str, Any], sentence: str) -> None:
    with Session(cnn(), images(1)) as session, pytest.raises(InterpError, match=sentence):
        session.code(**options)


# What comes from outside


def test_hostile_names_of_classes_inputs_and_features_are_values() -> None:
    given = images()
    plain = [str(number) for number in range(5)]
    with Session(cnn(), given, class_names=HOSTILE, names=HOSTILE, target=0) as session:
        hostile = session.code()
        found = ran(hostile, model=session.model, inputs=given)
        assert found["trace"].class_names == HOSTILE
    with Session(cnn(), given, class_names=plain, names=plain, target=0) as session:
        assert kinds(hostile) == kinds(session.code())
    with Session(mlp(), torch.rand(1, 4), feature_names=HOSTILE[:4], explainer="Gradient", target=0) as session:
        found = ran(session.code(), model=session.model, inputs=session.inputs[0])
        assert found["attribution"].names == HOSTILE[:4]


@pytest.mark.parametrize("name", HOSTILE[:2])
def test_a_layer_with_a_hostile_name_is_a_value(name: str, close: Callable[..., None]) -> None:
    model = nn.Sequential()
    model.add_module(name.replace(".", ""), nn.Conv2d(3, 4, 3))
    model.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    given = images(1)
    with Session(model, given, layer=name.replace(".", ""), target=1, explainer=iw.GradCAM(relu=False)) as session:
        found = ran(session.code(), model=model, inputs=given)["attribution"]
        close(found.values, session.attribution().values, SAME)


def test_a_hostile_class_of_a_model_stays_in_its_comment() -> None:
    kind = type("Net\nraise SystemExit", (nn.Sequential,), {})
    with Session(kind(*cnn()), images(1), target=0) as session:
        code = session.code()
        assert code.startswith("# model: yours, Net raise SystemExit\n")
        ran(code, model=session.model, inputs=images(1))


# What Python cannot write


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.resize((32, 32)), dtype=np.float32)).permute(2, 0, 1) / 255


@pytest.mark.parametrize("example", [0, 2])
@pytest.mark.parametrize("kind", ["batch", "list", "images", "function"])
def test_an_input_is_taken_from_what_was_given(kind: str, example: int, close: Callable[..., None]) -> None:
    tensors = images()
    pictures = [Image.fromarray((image.permute(1, 2, 0) * 255).byte().numpy()) for image in tensors]
    given = {"batch": tensors, "list": [*tensors], "images": pictures, "function": pictures}[kind]
    preprocess = {"images": Preprocess(32), "function": as_tensor}.get(kind)
    model = cnn()
    with Session(model, given, preprocess=preprocess, explainer="Gradient", target=1) as session:
        session.example = example
        code = session.code()
        assert ("preprocess" in code) == (preprocess is not None)
        variables = {"preprocess": as_tensor} if kind == "function" else {}
        found = ran(code, model=model, inputs=given, **variables)["attribution"]
        close(found.values, session.attribution().values, SAME)


def test_an_input_that_was_added_and_one_that_stands_alone(close: Callable[..., None]) -> None:
    first, second = images(1), images(2)[1:]
    with Session(cnn(), first[0], explainer="Gradient", target=1) as session:
        found = ran(session.code(), model=session.model, inputs=first[0])["attribution"]
        close(found.values, session.attribution().values, SAME)
        session.add(second, "another")
        code = session.code()
        assert "# added: the input 'another', which was added later: its path, or session.inputs[1] of" in code
        found = ran(code, model=session.model, added=second)["attribution"]
        close(found.values, session.attribution().values, SAME)


def test_a_path_is_written(tmp_path: Path, close: Callable[..., None]) -> None:
    path = tmp_path / 'it\'s a "cat".png'
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    with Session(cnn(), path, preprocess=Preprocess(32), explainer="Gradient", target=1) as session:
        found = ran(session.code(), model=session.model)["attribution"]
        close(found.values, session.attribution().values, SAME)


def test_a_model_of_the_zoo_that_was_trained_further_is_the_users(close: Callable[..., None]) -> None:
    entry = iw.zoo.load("digits")
    with Session(entry.model, entry.inputs, explainer="Gradient", target=1) as session:
        assert "iw.zoo.load('digits')" in session.code()
        with torch.no_grad():
            next(reversed([*entry.model.parameters()])).mul_(-1)
        code = session.code()
        assert "zoo" not in code
        assert code.startswith("# model: yours, DigitsCNN\n")
        found = ran(code, model=entry.model, inputs=entry.inputs)["attribution"]
        close(found.values, session.attribution().values, SAME)


def mean_of_output(output: torch.Tensor) -> torch.Tensor:
    return output[:, :2].mean()


def test_functions_and_tensors_of_the_user_are_variables(close: Callable[..., None]) -> None:
    given, baseline = images(1), torch.full((3, 32, 32), 0.3)
    method = iw.IntegratedGradients(steps=4, baseline=baseline)
    with Session(cnn(), given, explainer=method, target=mean_of_output) as session:
        code = session.code()
        assert "# function: yours, as given to OutputScore\n" in code
        assert "explainer = iw.IntegratedGradients(steps=4, baseline=baseline)\n" in code
        found = ran(code, model=session.model, inputs=given, function=mean_of_output, baseline=baseline)
        close(found["attribution"].values, session.attribution().values, SAME)


@dataclass(frozen=True)
class Mine(CAM):
    """Squares."""

    power: float = 2.0

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return activation.abs().pow(self.power).sum(dim=0)


@dataclass(frozen=True)
class Brightest(Target):
    """The largest score of some classes."""

    indices: list[int] | tuple[int, ...]

    def each(self, values: Values) -> torch.Tensor:
        return values.logits[:, list(self.indices)].amax(dim=1)

    def label(self, names: Names) -> str:
        return "brightest"


def test_explainers_and_targets_of_other_modules_are_imported(close: Callable[..., None]) -> None:
    given = images(1)
    with Session(cnn(), given, explainer=Mine(power=3), target=Brightest((1, 2))) as session:
        code = session.code()
        assert f"from {__name__} import Mine\n" in code
        assert "explainer = Mine(power=3)\n" in code
        assert "target=Brightest(indices=(1, 2))" in code
        found = ran(code, model=session.model, inputs=given)["attribution"]
        close(found.values, session.attribution().values, SAME)


def test_an_explainer_made_of_a_function_is_a_variable(close: Callable[..., None]) -> None:
    given, mine = images(1), iw.explainers.from_callable(lambda _model, image, _index: image.abs())
    with Session(cnn(), given, explainer=mine, target=1) as session:
        found = ran(session.code(), model=session.model, inputs=given, explainer=mine)["attribution"]
        close(found.values, session.attribution().values, SAME)


def test_many_names_are_one_variable() -> None:
    names = [f"class {number}" for number in range(30)]
    with Session(cnn(classes=30), images(1), class_names=names, target=7) as session:
        code = session.code()
        assert "class_names=class_names" in code
        found = ran(code, model=session.model, inputs=images(1), class_names=names)["attribution"]
        assert found.label == "class 7"


def test_two_variables_of_one_name_are_two() -> None:
    class Function(Target):
        """Not made of fields."""

        def each(self, values: Values) -> torch.Tensor:
            return values.logits[:, 0]

        def label(self, names: Names) -> str:
            return "mine"

    with Session(cnn(), images(1), target=Function()) as session:
        found = ran(session.code(), model=session.model, inputs=images(1), target=session.target)
        assert found["attribution"].label == "mine"


def test_values_that_are_no_picture_end_the_code_as_they_are() -> None:
    model = nn.Sequential(nn.Conv3d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)).eval()
    given = torch.rand(1, 1, 2, 4, 4)
    with Session(model, given, explainer="Gradient", target=1) as session:
        assert session.attribution().values.shape == (1, 2, 4, 4)
        code = session.code()
        assert code.endswith("attribution.values\n")
        ran(code, model=model, inputs=given)


def test_what_cannot_be_explained_has_no_code() -> None:
    with Session(Detector().eval(), images(1), explainer="Gradient") as session:
        for ask in (session.attribution, session.code):
            with pytest.raises(TargetError, match="class scores"):
                ask()
