"""The same model with other values at a layer: against a plain model call whose hook exchanges what the layer returned,
and whether the model is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import GradientError, InputError, LayerError, StaleError, TargetError
from interp_widgets.trace import Contrast, SiteScore
from interp_widgets.trace.interrupt import Interrupted, interruptible
from interp_widgets.trace.shadow import shadow_of
from tests.explainers.subjects import image_for, subject
from tests.trace.models import OWN, TARGET, asked, half_trained, others, recorded, small, state_of

CLOSE = 1e-4  # of the largest value: single precision, and other kernels for a batch of another size


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = CLOSE) -> None:
    assert found.shape == expected.shape
    most = float(expected.abs().max())
    assert most > 0
    worst = float((found - expected).abs().max()) / most
    assert worst <= tolerance, f"differs by {worst:.2g} of the maximum {most:.3g}"


@contextmanager
def exchanged(model: nn.Module, layer: str, values: torch.Tensor, call: int = 0) -> Iterator[None]:
    """One call of a module returns other values, the rest of a tuple stays."""
    calls = iter(range(100))

    def exchange(_module: nn.Module, _args: Any, output: Any) -> Any:
        if next(calls) != call:
            return output
        return (values.clone(), *output[1:]) if isinstance(output, tuple) else values.clone()

    handle = model.get_submodule(layer).register_forward_hook(exchange)
    try:
        yield
    finally:
        handle.remove()


def plainly(
    model: nn.Module, image: torch.Tensor, layer: str, values: torch.Tensor, call: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and gradients by a plain call of the model on as many copies of the image."""
    leaf = values.clone().requires_grad_()
    with exchanged(model, layer, leaf, call):
        scores = model(image.expand(len(values), *image.shape[1:]))[:, TARGET]
    (gradients,) = torch.autograd.grad(scores.sum(), leaf)
    return scores.detach(), gradients


# model, layer as the trace names it, path of its module, which of its calls
PLACES = [
    ("SmallNet", "conv1", "conv1", 0),
    ("SmallNet", "bn1", "bn1", 0),  # an in-place ReLU follows
    ("SmallNet", "relu", "relu", 0),
    ("SmallNet", "conv2", "conv2", 0),
    ("SmallNet", "head", "head", 0),
    ("Reused", "relu:0", "relu", 0),
    ("Reused", "relu", "relu", 1),
    ("Reused", "second", "second", 0),
    ("WithTuple", "first", "first", 0),
    ("WithTuple", "middle", "middle", 0),
    ("WithTuple", "middle.conv", "middle.conv", 0),
    ("WithTuple", "last", "last", 0),
    ("TupleTwice", "middle:0", "middle", 0),
    ("TupleTwice", "middle", "middle", 1),
    ("WritesInPlace", "first", "first", 0),
    ("WritesInPlace", "second", "second", 0),
    ("WritesInPlace", "relu", "relu", 0),
    ("WritesInPlace", "third", "third", 0),
    ("WritesInPlace", "head", "head", 0),
    ("Dense", "stem", "stem", 0),
    ("Dense", "layers.1", "layers.1", 0),
    ("Dense", "layers.2", "layers.2", 0),
    ("Stages", "stem", "stem", 0),
    ("Stages", "stem.1", "stem.1", 0),
    ("Stages", "body.0", "body.0", 0),
    ("resnet18", "layer2", "layer2", 0),
    ("resnet18", "layer3.1.bn2", "layer3.1.bn2", 0),  # the block adds to it in place
    ("resnet18", "layer4", "layer4", 0),
    ("vit_b_16", "encoder.layers.encoder_layer_9", "encoder.layers.encoder_layer_9", 0),
    ("vit_b_16", "encoder.layers.encoder_layer_10.mlp", "encoder.layers.encoder_layer_10.mlp", 0),
    ("swin_t", "features.5.1", "features.5.1", 0),
]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", [*OWN, "resnet18"])
def test_other_inputs_give_what_a_plain_call_gives(name: str, count: int) -> None:
    model, _, trace = recorded(name)
    values = others(trace, "input", count)
    leaf = values.clone().requires_grad_()
    expected = model(leaf)[:, TARGET]
    (gradients,) = torch.autograd.grad(expected.sum(), leaf)
    found = trace.probe("input", values, TARGET, gradient=True)
    assert_close(found.scores, expected.detach(), 1e-9)
    assert_close(found.gradients, gradients, 1e-9)
    assert_close(trace.probe("input", values, TARGET).scores, expected.detach(), 1e-9)


@pytest.mark.parametrize("count", [1, 3])
def test_in_single_precision_most_gradients_are_those_of_a_plain_call(count: int) -> None:
    """Not all: the order of adding up depends on the batch and the processor, and a ReLU near zero may switch."""
    model, image = subject("resnet18"), image_for("resnet18")
    with iw.record(model, image) as trace:
        values = others(trace, "input", count)
        found = trace.probe("input", values, TARGET, gradient=True)
    leaf = values.clone().requires_grad_()
    scores = model(leaf)[:, TARGET]
    (gradients,) = torch.autograd.grad(scores.sum(), leaf)
    assert_close(found.scores, scores.detach(), 1e-3)
    far = (found.gradients - gradients).abs() > 0.01 * gradients.abs().amax(dim=(1, 2, 3), keepdim=True)
    assert float(far.float().mean()) < 0.01


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("name", "layer", "path", "call"), PLACES)
def test_other_values_at_a_layer_give_what_a_plain_call_with_a_hook_gives(
    name: str, layer: str, path: str, call: int, count: int
) -> None:
    model, image, trace = recorded(name)
    values = others(trace, layer, count)
    kept = values.clone()
    scores, gradients = plainly(model, image, path, values, call)
    assert float((scores - trace.score(TARGET)).abs().max()) > 1e-4 * float(scores.abs().max())  # the layer matters
    assert_close(trace.probe(layer, values, TARGET).scores, scores, 1e-9)
    found = trace.probe(layer, values, TARGET, gradient=True)
    assert_close(found.scores, scores, 1e-9)
    assert_close(found.gradients, gradients, 1e-9)
    assert torch.equal(values, kept)


@pytest.mark.parametrize("name", OWN)
def test_what_was_recorded_is_unharmed_by_a_probe_of_each_layer(name: str) -> None:
    model = small(name)
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    before = {site: trace.activation(site).clone() for site in trace.sites}
    for layer in trace.layers:
        for count in (1, 2):
            values = others(trace, layer, count)
            kept = values.clone()
            trace.probe(layer, values, TARGET)
            trace.probe(layer, values, TARGET, gradient=True)
            assert torch.equal(values, kept)
    for site, value in before.items():
        assert torch.equal(trace.activation(site), value), site


@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu", "conv2", "head"])
def test_a_first_probe_of_a_value_that_was_overwritten_in_the_pass_leaves_it_right(layer: str) -> None:
    """The recorded value of ``bn1`` is computed again on demand; here the probe is the first to ask."""
    model, image = small("SmallNet"), torch.randn(1, 3, 6, 8)
    expected = model.bn1(model.conv1(image)).detach()
    trace = iw.record(model, image)
    values = torch.randn(2, *trace.site(layer).shape[1:])
    assert_close(trace.probe(layer, values, TARGET).scores, plainly(model, image, layer, values)[0])
    assert_close(trace.activation("bn1"), expected)


@pytest.mark.parametrize("count", [1, 3])
def test_other_values_at_an_operation_of_the_models_own_code(count: int) -> None:
    model, _, trace = recorded("Reused")
    values = others(trace, "/add", count)
    expected = model.head(values.mean(dim=(2, 3)))[:, TARGET]
    found = trace.probe("/add", values, TARGET)
    assert_close(found.scores, expected.detach(), 1e-9)  # double precision
    assert found.gradients.numel() == 0


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(
    ("name", "layer"),
    [("SmallNet", "input"), ("SmallNet", "bn1"), ("WritesInPlace", "third"), ("Dense", "layers.1"), ("Reused", "relu")],
)
def test_a_batch_gives_what_each_of_it_gives_alone(name: str, layer: str, *, gradient: bool) -> None:
    _, _, trace = recorded(name)
    values = others(trace, layer, 5)
    alone = [trace.probe(layer, value[None], TARGET, gradient=gradient) for value in values]
    for count in (2, 5):
        together = trace.probe(layer, values[:count], TARGET, gradient=gradient)
        assert_close(together.scores, torch.cat([each.scores for each in alone[:count]]), 1e-9)  # double precision
        if gradient:
            assert_close(together.gradients, torch.cat([each.gradients for each in alone[:count]]), 1e-9)


@pytest.mark.parametrize("layer", ["input", "conv1", "bn1", "conv2", "head"])
def test_one_of_a_recorded_batch_is_probed_as_if_it_had_been_recorded_alone(layer: str) -> None:
    """At ``conv2`` what ran before is that of the example, not of the first."""
    model = small("SmallNet").double()
    images = torch.randn(3, 3, 6, 8, dtype=torch.float64)
    together = iw.record(model, images)
    for example in range(3):
        alone = iw.record(model, images[example : example + 1])
        values = others(alone, layer, 2)
        for gradient in (False, True):
            found = together.probe(layer, values, TARGET, example=example, gradient=gradient)
            expected = alone.probe(layer, values, TARGET, gradient=gradient)
            torch.testing.assert_close(found.scores, expected.scores)
            torch.testing.assert_close(found.gradients, expected.gradients)


@pytest.mark.parametrize("count", [1, 2])
def test_what_bypasses_the_layer_is_that_of_the_example(count: int) -> None:
    """In ``Dense`` the score depends on the stem beside the layer that is changed."""
    model = small("Dense").double()
    images = torch.randn(3, 3, 6, 8, dtype=torch.float64)
    trace = iw.record(model, images)
    for example in range(3):
        values = others(trace, "layers.1", count, example)
        expected = plainly(model, images[example : example + 1], "layers.1", values)[0]
        assert_close(trace.probe("layers.1", values, TARGET, example=example).scores, expected, 1e-9)


def test_a_rerun_is_a_whole_trace_of_the_other_values() -> None:
    model, image, trace = recorded("SmallNet")
    values = others(trace, "conv1", 2)
    with trace.rerun({"conv1": values}) as other:
        assert other.layers == trace.layers
        assert torch.equal(other.activation("conv1"), values)
        assert torch.equal(other.activation("input"), image.expand(2, -1, -1, -1))
        torch.testing.assert_close(other.activation("bn1"), model.bn1(values).detach())
        with exchanged(model, "conv1", values):
            torch.testing.assert_close(other.logits, model(image.expand(2, -1, -1, -1)).detach())
    assert other.closed
    assert not trace.closed


def test_several_layers_are_exchanged_at_once() -> None:
    model, _, trace = recorded("Dense")
    first, last = others(trace, "stem", 2), others(trace, "layers.2", 2)
    stem = trace.activation("stem")
    with trace.rerun({"stem": first, "layers.2": last}) as other:
        expected = [first]
        for layer in model.layers[:2]:
            expected.append(layer(torch.cat(expected, dim=1)).relu())
        pooled = torch.cat([*expected, last.relu()], dim=1).mean(dim=(2, 3))
        torch.testing.assert_close(other.logits, model.head(pooled).detach())
    assert torch.equal(trace.activation("stem"), stem)


@pytest.mark.parametrize(
    ("target", "pick"),
    [
        (Contrast(1, 4), lambda logits, _: logits[:, 1] - logits[:, 4]),
        (SiteScore("conv2", 3), lambda _, maps: maps[:, 3].sum(dim=(1, 2))),
        (SiteScore("conv2"), lambda _, maps: maps.sum(dim=(1, 2, 3))),
        (lambda output: output[0, 1] * output[0, 2], lambda logits, _: logits[:, 1] * logits[:, 2]),
    ],
    ids=["contrast", "channel", "layer", "function"],
)
@pytest.mark.parametrize("layer", ["input", "bn1"])
def test_any_target_has_a_score_and_a_gradient_for_each_of_the_batch(
    layer: str, target: Any, pick: Callable[..., torch.Tensor]
) -> None:
    model, _, trace = recorded("SmallNet")
    values = others(trace, layer, 3)
    leaf = values.clone().requires_grad_()
    x = model.bn1(model.conv1(leaf)) if layer == "input" else leaf
    maps = model.conv2(x.relu())
    expected = pick(model.head(maps.relu().mean(dim=(2, 3))), maps)
    (gradients,) = torch.autograd.grad(expected.sum(), leaf)
    assert_close(trace.probe(layer, values, target).scores, expected.detach(), 1e-9)  # double precision
    found = trace.probe(layer, values, target, gradient=True)
    assert_close(found.scores, expected.detach(), 1e-9)
    assert_close(found.gradients, gradients, 1e-9)


@pytest.mark.parametrize(("site", "call"), [("relu:0", 0), ("relu", 1)])
def test_a_target_in_one_call_of_a_reused_module_is_read_from_that_call(site: str, call: int) -> None:
    model, _, trace = recorded("Reused")
    values = others(trace, "first", 2)
    expected = (values.relu() if call == 0 else model.second(values.relu()).relu())[:, 1].sum(dim=(1, 2)).detach()
    for gradient in (False, True):
        assert_close(trace.probe("first", values, SiteScore(site, 1), gradient=gradient).scores, expected, 1e-9)


@contextmanager
def counted(model: nn.Module) -> Iterator[dict[str, int]]:
    """How often each module without children runs, in the shadow of a model."""
    calls: dict[str, int] = {}
    paths = {id(module): path for path, module in shadow_of(model).modules.items() if not module._modules}
    run = nn.Module._call_impl

    def counting(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if id(module) in paths:
            calls[paths[id(module)]] = calls.get(paths[id(module)], 0) + 1
        return run(module, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "_call_impl", counting)
        yield calls


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("name", "layer", "behind"),
    [
        ("resnet18", "layer4", {"avgpool", "fc"}),
        ("resnet18", "layer2", {"layer3.0.conv1", "layer4.1.bn2", "avgpool", "fc"}),
        ("swin_t", "features.7", {"norm", "head"}),
    ],
)
def test_what_runs_before_the_layer_is_not_run_again(name: str, layer: str, behind: set[str], count: int) -> None:
    """Inside the stages before it no module is called; those behind it are called once."""
    model, _, trace = recorded(name)
    values = others(trace, layer, count)
    with counted(model) as calls:
        trace.probe(layer, values, TARGET)
    stages = [path for path, _ in model.named_modules() if path.startswith("layer" if name == "resnet18" else "feat")]
    before = stages[: stages.index(layer)]
    inside = {path for path in calls if any(path.startswith(f"{stage}.") for stage in (*before, layer))}
    assert before
    assert not inside
    assert {path: calls.get(path) for path in behind} == dict.fromkeys(behind, 1)


def test_a_module_that_stands_before_the_layer_does_not_compute() -> None:
    model = small("SmallNet")
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    with counted(model) as calls:
        trace.probe("relu", others(trace, "relu", 2), TARGET)
    assert {path for path in calls if path.startswith("conv")} == {"conv2"}
    with counted(model) as calls:
        trace.probe("head", others(trace, "head", 2), TARGET)
    assert not calls


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("layer", ["input", "stem.0", "stem", "body.0", "body", "head"])
@pytest.mark.parametrize("ending", ["well", "raised", "interrupted at once", "interrupted later"])
def test_the_model_is_as_it_was_however_a_probe_ends(ending: str, layer: str, *, gradient: bool) -> None:
    model = half_trained()
    mine = vars(model.stem)["forward"]
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    values = others(trace, layer, 2)
    before = state_of(model)
    if ending == "raised":
        model.alarm.told.set()
    if ending == "well":
        trace.probe(layer, values, TARGET, gradient=gradient)
    elif ending == "raised":
        if layer == "head" and not gradient:  # the alarm stands before it and does not run
            trace.probe(layer, values, TARGET)
        else:
            with pytest.raises(ArithmeticError, match="told to"):
                trace.probe(layer, values, TARGET, gradient=gradient)
    else:
        unwanted = asked(0 if ending == "interrupted at once" else 1)
        with interruptible(unwanted), pytest.raises(Interrupted, match=r"^$"):
            trace.probe(layer, values, TARGET, gradient=gradient)
    assert state_of(model) == before
    assert [module for module in model.modules() if "forward" in vars(module)] == [model.stem]
    assert vars(model.stem)["forward"] is mine
    model.alarm.told.clear()
    model.eval()
    expected = plainly(model, trace.activation("input"), layer, values) if layer != "input" else None
    model.train()
    model.stem[1].eval()
    if expected is not None:
        assert_close(trace.probe(layer, values, TARGET).scores, expected[0])


@pytest.mark.parametrize(
    ("name", "layer", "target"),
    [
        ("WithTuple", "middle", TARGET),
        ("WritesInPlace", "third", TARGET),
        ("Reused", "/add", TARGET),
        ("SmallNet", "input", SiteScore("conv2", 1)),
        ("SmallNet", "relu", SiteScore("conv2", 1)),
        ("SmallNet", "relu", lambda output: output.sum()),
    ],
)
@pytest.mark.parametrize("interrupted", [False, True])
def test_no_hook_stays_where_values_are_exchanged_or_read_by_hooks(
    name: str, layer: str, target: Any, *, interrupted: bool
) -> None:
    model = small(name)
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    values = others(trace, layer, 2)
    before = state_of(model)
    if interrupted:
        with interruptible(lambda: True), pytest.raises(Interrupted, match=r"^$"):
            trace.probe(layer, values, target)
    else:
        trace.probe(layer, values, target)
    assert state_of(model) == before


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        ({"conv1": (2, 6, 8, 6)}, InputError, r"values for 'conv1' must have shape \(B, 6, 6, 8\), got \(2, 6, 8, 6\)"),
        ({"input": (3, 6, 8)}, InputError, r"values for 'input' must have shape \(B, 3, 6, 8\), got \(3, 6, 8\)"),
        ({"conv1": (2, 6, 6, 8), "head": (3, 5)}, InputError, r"batches of one length, got lengths \[2, 3\]"),
        ({"conf1": (2, 6, 6, 8)}, LayerError, "layer 'conf1' was not recorded"),
        ({"conv1": (1, 6, 6, 8), "input": (2, 3, 6, 8)}, InputError, r"one length, got lengths \[1, 2\]"),
    ],
)
def test_values_that_do_not_fit_are_refused_in_words(
    values: dict[str, tuple[int, ...]], error: type[Exception], sentence: str
) -> None:
    _, _, trace = recorded("SmallNet")
    with pytest.raises(error, match=sentence):
        trace.rerun({name: torch.zeros(shape) for name, shape in values.items()})


def test_a_probe_refuses_what_does_not_fit() -> None:
    _, _, trace = recorded("SmallNet")
    for gradient in (False, True):
        with pytest.raises(InputError, match=r"values for 'bn1' must have shape \(B, 6, 6, 8\), got \(1, 5, 6, 8\)"):
            trace.probe("bn1", torch.zeros(1, 5, 6, 8), TARGET, gradient=gradient)
        with pytest.raises(LayerError, match="layer 'bn7' was not recorded"):
            trace.probe("bn7", torch.zeros(1, 5, 6, 8), TARGET, gradient=gradient)
        with pytest.raises(TargetError, match=r"target must be in 0\.\.4 \(the model has 5 classes\), got 5"):
            trace.probe("head", torch.zeros(1, 5), 5, gradient=gradient)


def test_a_model_without_a_batch_axis_takes_one_value_at_a_time() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    trace = iw.record(model, torch.randn(4, dtype=torch.float64))
    assert not trace.is_batch
    values = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    expected = model[2](values.tanh())[:, 1]
    (gradients,) = torch.autograd.grad(expected.sum(), values)
    found = trace.probe("0", values.detach(), 1, gradient=True)  # one by one
    torch.testing.assert_close(found.scores, expected.detach())
    torch.testing.assert_close(found.gradients, gradients)
    torch.testing.assert_close(trace.probe("0", values.detach(), 1).scores, expected.detach())
    with pytest.raises(InputError, match="'0' has no batch axis: give a batch of one value"):
        trace.rerun({"0": values.detach()})


def test_values_without_a_gradient_are_refused_only_when_one_is_asked_for() -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 3))
    trace = iw.record(model, torch.tensor([[1, 2, 3]]))
    values = torch.tensor([[4, 5, 6], [0, 0, 1]])
    torch.testing.assert_close(trace.probe("input", values, 1).scores, model(values)[:, 1].detach())
    with pytest.raises(GradientError, match="only floating-point values have a gradient"):
        trace.probe("input", values, 1, gradient=True)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("layer", ["input", "conv1", "head"])
def test_a_changed_parameter_makes_a_probe_impossible(layer: str, *, gradient: bool) -> None:
    model = small("SmallNet")
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    values = others(trace, layer, 1)
    with torch.no_grad():
        model.conv2.weight.mul_(2)
    with pytest.raises(StaleError, match=r"another pass cannot be taken from this trace: 'conv2\.weight' has changed"):
        trace.probe(layer, values, TARGET, gradient=gradient)
    with pytest.raises(StaleError, match=r"another pass cannot be taken from this trace: 'conv2\.weight' has changed"):
        trace.rerun({layer: values})


@pytest.mark.parametrize("gradient", [False, True])
def test_values_of_another_precision_become_the_models(*, gradient: bool) -> None:
    _, _, trace = recorded("SmallNet")
    values = others(trace, "conv1", 2).float()
    found = trace.probe("conv1", values, TARGET, gradient=gradient)
    expected = trace.probe("conv1", values.double(), TARGET, gradient=gradient)
    assert found.scores.dtype == torch.float64
    assert torch.equal(found.scores, expected.scores)


def test_values_at_an_input_and_at_a_layer_stand_together() -> None:
    torch.manual_seed(0)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.side, self.a, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            side = self.side(x)  # a pass with other values at ``a`` alone need not run it again
            result: torch.Tensor = self.head((self.a(x).tanh() + side).mean(dim=(2, 3)))
            return result

    model = Two()
    trace = iw.record(model, torch.randn(1, 3, 5, 5))
    x, h = torch.randn(3, 3, 5, 5), torch.randn(3, 4, 5, 5)
    expected = model.head((h.tanh() + model.side(x)).mean(dim=(2, 3)))[:, 2].detach()
    torch.testing.assert_close(trace.probe_all({"input": x, "a": h}, 2).scores, expected)
