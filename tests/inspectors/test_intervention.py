"""An intervention says what a fresh pass says in which forward hooks change the same channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import ClosedError, InputError, LayerError, LayoutError, ParameterError, StaleError
from interp_widgets.inspectors.intervention import Edit, intervene
from interp_widgets.trace.passes import Passes
from tests.widgets.models import cnn, images

# Operations of float32 with another history of memory: a few units in the last place of values around 1.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


class Reused(nn.Module):
    """One ReLU at three places, the last of which writes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.relu(self.first(values))
        found = self.relu(self.second(found))
        result: torch.Tensor = self.relu(self.last(found) + 1)
        return result


class Shared(nn.Module):
    """What goes through dropout, in evaluation mode the same tensor, is used before and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(6, 6), nn.Dropout(), nn.Linear(6, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.first(values)
        result: torch.Tensor = self.last(self.drop(found) + found.cos())
        return result


class Branching(nn.Module):
    """Goes another way where the values say so: not where they are halved, but where a tenth of them is left."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6, bias=False), nn.Linear(6, 4)
        nn.init.eye_(self.first.weight)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.first(values)
        result: torch.Tensor = self.last(found) if found.sum() > 1 else self.last(-found)
        return result


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, values: torch.Tensor) -> torch.Tensor:
        return values.sign()

    @staticmethod
    def backward(_context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


class Custom(nn.Module):
    """A function of the user's own, whose sign stays when a value is halved."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.first(values)
        signs: torch.Tensor = _Sign.apply(found)  # type: ignore[no-untyped-call]  # torch has no type for it
        result: torch.Tensor = self.last(found) * signs.sum()
        return result


class Ending(nn.Module):
    """Ends in a function of the user's own; silence has no sign."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _Sign.apply(self.last(values))  # type: ignore[no-untyped-call]  # torch has no type for it
        return result


class Aliased(nn.Module):
    """Writes through a view."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.first(values)
        found[:, :3].mul_(found[:, 3:])
        result: torch.Tensor = self.last(found)
        return result


class Written(nn.Module):
    """A module that works by what it writes into its argument."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.first(values)
        self.relu(found)
        result: torch.Tensor = self.last(found)
        return result


class Nested(nn.Module):
    """The block returns what its last module returns, and uses it inside too."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        self.last = nn.Linear(6, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(self.block(values))
        return result


def _torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, weights=None, **options)


def _transformer() -> nn.Module:
    return nn.Sequential(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Linear(16, 5))


def _vision_transformer() -> nn.Module:
    model = torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=9)
    nn.init.normal_(model.heads[0].weight)  # torchvision's begins with zeros, which let nothing through
    return model


PICTURE = (2, 3, 64, 64)
# A model, the shape of its input, and edits at early, middle and late layers.
MODELS: dict[str, tuple[Callable[[], nn.Module], Sequence[int], Sequence[Edit]]] = {
    "resnet18": (
        _torchvision("resnet18"),
        PICTURE,
        [Edit("layer1.0.relu", 3, factor=2.5), Edit("layer4.1.bn2", 7, "mean"), Edit("layer4", 7, factor=0.5)],
    ),
    "densenet": (
        lambda: torchvision.models.DenseNet(8, (2, 3), 16, num_classes=9),
        PICTURE,
        [Edit("features.denseblock2.denselayer3.conv1", 5, "ablate"), Edit("features.norm5", 9, factor=3)],
    ),
    "mobilenet_v3_small": (
        _torchvision("mobilenet_v3_small"),
        PICTURE,
        [Edit("features.4.block.2.activation", 3, "mean"), Edit("features.11", factor=0.25)],
    ),
    "efficientnet_b0": (_torchvision("efficientnet_b0"), PICTURE, [Edit("features.6.2.block.1", 3, factor=0.0)]),
    "googlenet": (
        _torchvision("googlenet", init_weights=False, aux_logits=False),
        PICTURE,
        [Edit("inception4b.branch2", 3, factor=2), Edit("inception5a", 100, "mean")],
    ),
    "squeezenet1_1": (_torchvision("squeezenet1_1"), PICTURE, [Edit("features.6", factor=3)]),
    "shufflenet_v2_x0_5": (_torchvision("shufflenet_v2_x0_5"), PICTURE, [Edit("stage3.1.branch2", 3, "mean")]),
    "vision transformer": (
        _vision_transformer,
        (2, 3, 32, 32),
        [
            Edit("encoder.layers.encoder_layer_0", 11, factor=0.5),
            Edit("encoder.layers.encoder_layer_1.mlp", 20, "mean"),
        ],
    ),
    "swin transformer": (
        lambda: torchvision.models.SwinTransformer([4, 4], 16, [2, 2], [2, 2], [4, 4], num_classes=9),
        PICTURE,
        [Edit("features.1.1.attn", 7, factor=2), Edit("features.3", 3, "mean")],
    ),
    "transformer layer": (_transformer, (2, 7, 16), [Edit("0.linear1", 3, factor=3), Edit("0", 2, "ablate")]),
    "r3d_18": (
        lambda: torchvision.models.video.r3d_18(weights=None),
        (1, 3, 4, 32, 32),
        [Edit("layer2", None, "mean")],
    ),
    "reused": (Reused, (2, 6), [Edit("relu:0", 2, factor=2), Edit("relu:1", 1, "ablate"), Edit("relu", 3, factor=0.1)]),
    "shared": (Shared, (2, 6), [Edit("drop", 2, factor=2)]),
    "branching": (Branching, (1, 6), [Edit("first", factor=0.1)]),
    "custom": (Custom, (2, 6), [Edit("first", 2, "ablate")]),
    "ending": (Ending, (2, 6), [Edit("last", 2, "ablate")]),
    "aliased": (Aliased, (2, 6), [Edit("first", 2, factor=3)]),
    "written": (Written, (2, 6), [Edit("relu", 2, factor=3), Edit("first", 1, factor=2)]),
    "nested": (
        Nested,
        (2, 6),
        [Edit("block", 2, factor=2), Edit("block.1", 2, factor=0.5), Edit("block.0", 2, "ablate")],
    ),
}
WHOLE = ("shared", "branching", "custom", "ending", "aliased", "written")  # where the tape does not tell all


def _model(name: str) -> tuple[nn.Module, torch.Tensor, Sequence[Edit]]:
    torch.manual_seed(0)
    make, shape, edits = MODELS[name]
    return make().eval(), torch.rand(*shape), edits


def _edited(edit: Edit, axis: int, output: torch.Tensor) -> torch.Tensor:
    """What an edit does, one slice after the other."""
    parts = list(output.unbind(axis))
    chosen = range(len(parts)) if edit.channel is None else [edit.channel]
    for channel in chosen:
        part = parts[channel]
        if edit.kind == "mean":
            parts[channel] = torch.stack([example.mean().expand_as(example) for example in part.unbind(0)])
        else:
            parts[channel] = part * edit.factor
    return torch.stack(parts, axis)


class Hook:
    """Edits what a module returns at one of its calls."""

    def __init__(self, edit: Edit, axis: int, call: int) -> None:
        self.edit, self.axis, self.call = edit, axis, call
        self.calls = 0

    def __call__(self, _module: nn.Module, _given: Any, output: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return _edited(self.edit, self.axis, output) if self.calls == self.call else output


def by_hooks(model: nn.Module, inputs: torch.Tensor, edits: Sequence[Edit], trace: iw.Trace) -> torch.Tensor:
    """What a fresh pass says, with a hook for each edit at the call that it names."""
    handles = []
    for edit in edits:
        path, _, call = trace.site(edit.layer).name.partition(":")
        hook = Hook(edit, trace.channel_axis(edit.layer), int(call or 0) + 1)
        handles.append(model.get_submodule(path).register_forward_hook(hook))
    output: torch.Tensor = model(inputs)
    for handle in handles:
        handle.remove()
    return output.detach()


@pytest.mark.parametrize("name", MODELS)
def test_it_equals_a_fresh_pass_with_hooks(name: str) -> None:
    model, inputs, edits = _model(name)
    before = model(inputs).detach()
    with iw.record(model, inputs) as trace:
        recorded = {layer: trace.activation(layer).clone() for layer in trace.layers}
        several = [edits[:1], edits[-1:], edits]
        wanted = [by_hooks(model, inputs, given, trace) for given in several]
    assert not torch.equal(wanted[-1], before)
    with iw.record(model, inputs) as trace:  # again: the hooks that came and went have changed the model
        for _ in range(2):  # the first time finds out how it is done
            for given, output in zip(several, wanted, strict=True):
                found = intervene(trace, given)
                torch.testing.assert_close(found.value(trace.output_sites[0]), output, **CLOSE)
        assert [layer for layer in recorded if not torch.equal(trace.activation(layer), recorded[layer])] == []
    assert torch.equal(model(inputs), before)


@pytest.mark.parametrize("name", MODELS)
def test_the_model_runs_again_only_where_the_tape_does_not_tell_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, edits = _model(name)
    with iw.record(model, inputs) as trace:
        intervene(trace, edits[0])
        runs = []
        run = Passes._in_whole

        def counted(self: Passes, *arguments: Any) -> Any:
            runs.append(1)
            return run(self, *arguments)

        monkeypatch.setattr(Passes, "_in_whole", counted)
        intervene(trace, edits[0])
        assert bool(runs) == (name in WHOLE)


def test_a_model_in_half_precision_is_changed_as_by_hooks() -> None:
    torch.manual_seed(0)
    model, inputs = cnn().bfloat16(), images(2).bfloat16()
    edits = [Edit("0", 2, factor=2.5), Edit("0", 2, "mean"), Edit("3", factor=0.3)]
    with iw.record(model, inputs) as trace:
        wanted = by_hooks(model, inputs, edits, trace)
    with iw.record(model, inputs) as trace:
        for _ in range(2):
            found = intervene(trace, edits)
            assert found.logits.dtype == torch.bfloat16
            assert torch.equal(found.logits, wanted)


def test_edits_of_one_layer_act_in_the_order_given() -> None:
    model = nn.Sequential(
        nn.Identity(), nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(2, 2, bias=False)
    ).eval()
    with torch.no_grad():
        model[1].weight.fill_(1.0)
        model[3].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    with iw.record(model, torch.tensor([[[[1.0, 3.0]]]])) as trace:
        for _ in range(2):
            assert intervene(trace, [Edit("1", 0, factor=2), Edit("1", 0, factor=1.5)]).logits.tolist() == [[3.0, 9.0]]
            assert intervene(trace, [Edit("1", 0, "mean"), Edit("1", 0, factor=3)]).logits.tolist() == [[6.0, 6.0]]
            assert intervene(trace, Edit("1", 0, "ablate")).logits.tolist() == [[0.0, 0.0]]
            assert intervene(trace, []).logits.tolist() == [[1.0, 3.0]]
            assert intervene(trace, Edit("input", 0, factor=2)).logits.tolist() == [[2.0, 6.0]]


def test_every_layer_is_as_hooks_see_it() -> None:
    """The block returns what its last module returns; changed at the block, the module's own output stays."""
    model, inputs, _ = _model("nested")
    with iw.record(model, inputs) as trace:
        inner, outer = Edit("block.1", 2, factor=0.5), Edit("block", 2, factor=3)
        for _ in range(2):
            found = intervene(trace, [outer, inner])
            before = trace.activation("block.1")
            assert torch.equal(found.activation("block.0"), trace.activation("block.0"))
            assert torch.equal(found.activation("block.1")[:, 2], before[:, 2] * 0.5)
            assert torch.equal(found.activation("block")[:, 2], before[:, 2] * 0.5 * 3)
            assert torch.equal(found.activation("block")[:, :2], before[:, :2])
            last = torch.nn.functional.linear(found.activation("block"), model.last.weight, model.last.bias)
            assert torch.equal(found.activation("last"), last)


def test_it_tells_probabilities_their_change_and_scores() -> None:
    torch.manual_seed(0)
    with iw.record(cnn(), images(2)) as trace:
        found = intervene(trace, Edit("2", 3, factor=3))
        softmax = found.logits.softmax(1)
        torch.testing.assert_close(found.probabilities, softmax)
        torch.testing.assert_close(found.change, softmax - trace.logits.softmax(1))
        assert found.score(4) == found.logits[:, 4].sum()
        assert found.score() == found.logits[:, trace.prediction].sum()
        assert found.score(iw.SiteScore("0", channel=1)) == trace.score(iw.SiteScore("0", channel=1))
        sigmoid = iw.record(nn.Sequential(nn.Linear(4, 3), nn.Sigmoid()), torch.rand(1, 4))
        said = intervene(sigmoid, Edit("0", 1, factor=2))
        torch.testing.assert_close(said.probabilities, said.logits.sigmoid())


def test_a_model_that_draws_random_numbers_runs_again() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Dropout(), nn.Linear(6, 4))
    inputs = torch.rand(2, 6)
    edit = Edit("0", 2, factor=3)
    with iw.record(model, inputs, evaluation=False) as trace:
        wanted = []
        for _ in range(2):
            torch.manual_seed(1)
            wanted.append(by_hooks(model, inputs, [edit], trace))
    with iw.record(model, inputs, evaluation=False) as trace:
        intervene(trace, edit)
        torch.manual_seed(1)
        assert torch.equal(intervene(trace, edit).logits, wanted[0])


def test_an_operation_between_modules_is_changed_too() -> None:
    torch.manual_seed(0)

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.last(values + self.first(values))
            return result

    model, inputs = Residual(), torch.rand(2, 6)
    with iw.record(model, inputs) as trace:
        total = inputs + model.first(inputs)
        total[:, 2] *= 2.5
        for _ in range(2):
            assert torch.equal(intervene(trace, Edit("/add", 2, factor=2.5)).logits, model.last(total).detach())


def _tokens() -> nn.Module:
    return nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))


REFUSALS: dict[str, tuple[Callable[[iw.Trace], object], type[Exception], str]] = {
    "layer": (lambda trace: intervene(trace, Edit("5x")), LayerError, "'5x' was not recorded"),
    "channel": (lambda trace: intervene(trace, Edit("0", 8)), ParameterError, r"0\.\.7 .*8 channels.*got 8"),
    "negative": (lambda _trace: Edit("0", -1), ParameterError, "whole number of 0 or more, got -1"),
    "factor": (lambda _trace: Edit("0", 1, factor=3.01), ParameterError, r"factor must be in 0\.0\.\.3\.0, got 3\.01"),
    "below": (lambda _trace: Edit("0", 1, factor=-0.1), ParameterError, r"factor must be in .*-0\.1"),
    "nan": (lambda _trace: Edit("0", 1, factor=float("nan")), ParameterError, "factor must be in .*got nan"),
    "factor of none": (lambda _trace: Edit("0", 1, "mean", factor=2), ParameterError, "'mean' takes none, got 2"),
    "kind": (lambda _trace: Edit("0", 1, "median"), ParameterError, "one of scale, mean, ablate, got 'median'"),  # type: ignore[arg-type]  # that is the point
    "mean": (lambda trace: intervene(trace, Edit("6", 1, "mean")), LayoutError, "no positions"),
    "no edit": (lambda trace: intervene(trace, ["0"]), ParameterError, "edits are made by iw.Edit"),  # type: ignore[list-item]  # that is the point
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_changed_is_refused_in_words(name: str) -> None:
    call, kind, words = REFUSALS[name]
    with iw.record(cnn(), images(1)) as trace:
        logits = trace.logits.clone()
        with pytest.raises(kind, match=words):
            call(trace)
        assert torch.equal(trace.logits, logits)


def test_whole_numbers_and_values_without_channels_are_refused() -> None:
    with (
        iw.record(_tokens(), torch.tensor([[1, 2]])) as trace,
        pytest.raises(InputError, match=r"values of torch\.int64"),
    ):
        intervene(trace, Edit("input", 0))
    model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    with iw.record(model, torch.rand(3, 4)) as trace, pytest.raises(LayoutError, match="no channels: its shape is 3"):
        intervene(trace, Edit("1", 0))


def test_a_value_written_between_modules_is_refused() -> None:
    model = torchvision.models.resnet18(weights=None).eval()
    with iw.record(model, torch.rand(1, 3, 32, 32)) as trace:
        written = next(name for name in trace.sites if name.startswith("layer1.0/") and "add" in name)
        with pytest.raises(LayerError, match="choose the module that returns it"):
            intervene(trace, Edit(written, 0))


def test_a_changed_model_and_a_closed_trace_are_refused() -> None:
    model = cnn()
    trace = iw.record(model, images(1))
    intervene(trace, Edit("2", 3, factor=2))
    with torch.no_grad():
        model[6].weight.mul_(2)
    with pytest.raises(StaleError, match=r"'6\.weight' has changed"):
        intervene(trace, Edit("2", 3, factor=2))
    trace.close()
    with pytest.raises(ClosedError, match="closed"):
        intervene(trace, Edit("2", 3, factor=2))


def test_an_exception_on_the_way_leaves_model_and_recording_as_they_were() -> None:
    model, inputs = cnn(), images(1)
    before = model(inputs).detach()

    def fail(_value: torch.Tensor) -> torch.Tensor:
        raise KeyError("on the way")

    with iw.record(model, inputs) as trace:
        for _ in range(2):
            with pytest.raises(KeyError, match="on the way"):
                trace.replay({"2": fail})
        assert torch.equal(trace.logits, before)
        assert torch.equal(intervene(trace, []).logits, before)
    assert torch.equal(model(inputs), before)
