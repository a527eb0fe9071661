"""What a trace promises around its numbers: the model as it was, plain errors, caches, staleness, an end."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn

from interp_widgets.errors import ClosedError, GradientError, LayerError, OverwrittenError, StaleError, TargetError
from interp_widgets.trace import ClassScore, Contrast, OutputScore, SiteScore, record
from tests.trace.reference import Snapshot


def small(classes: int = 5) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    )


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 8, 9)


class Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("broken on purpose")


# Three ways of ending leave no mark


@pytest.mark.parametrize("evaluation", [True, False])
@pytest.mark.parametrize("ending", ["normal", "wrong target", "exception"])
def test_the_model_is_as_it_was_however_the_recording_ends(ending: str, evaluation: bool, image: torch.Tensor) -> None:
    model = small().train()
    model[0].eval()  # a mode of its own
    model[6].weight.requires_grad_(False)
    model(image).sum().backward()  # gradients that the user has not used yet
    model[1].register_forward_hook(lambda *_: None)
    if ending == "exception":
        model.insert(4, nn.Sequential(nn.Identity(), Broken()))
    before = Snapshot(model)
    if ending == "exception":
        with pytest.raises(KeyError, match="broken on purpose") as caught:
            record(model, image, evaluation=evaluation)
        assert caught.value.__notes__ == [
            (
                "interp_widgets: raised in layer '4.1' while Sequential was recorded "
                "on a float32 tensor of shape (2, 3, 8, 9)"
            )
        ]
    else:
        trace = record(model, image, evaluation=evaluation)
        if ending == "wrong target":
            with pytest.raises(TargetError, match=r"0\.\.4"):
                trace.gradient("0", 9)
        else:
            assert trace.gradient("0", 2).any()
    before.assert_unchanged(model)
    assert torch.overrides._get_current_function_mode_stack() == []


def test_train_mode_uses_the_batch_statistics_and_leaves_the_running_ones(image: torch.Tensor) -> None:
    model = small().train()
    before = Snapshot(model)
    trace = record(model, image, evaluation=False)
    before.assert_unchanged(model)
    assert torch.allclose(trace.activation("1").mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5)
    assert trace.activation("3").eq(0).sum() > trace.activation("2").eq(0).sum()
    assert not trace.stale
    assert trace.gradient("0", 1).any()
    torch.manual_seed(3)
    plain = copy.deepcopy(model)(image)
    torch.manual_seed(3)
    assert torch.equal(record(model, image, evaluation=False).output, plain)


def test_an_exception_that_the_model_handles_does_not_end_the_recording(image: torch.Tensor) -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.broken, self.body, self.worse = Broken(), small(), Broken()

        def forward(self, x: torch.Tensor, fail: torch.Tensor) -> torch.Tensor:
            try:
                x = self.broken(x)
            except KeyError:
                x = self.body(x)
            return self.worse(x) if fail else x

    model = Careful()
    trace = record(model, (image, torch.tensor(False)))
    assert "body.0" in trace.layers
    assert "broken" not in trace.layers
    with pytest.raises(KeyError, match="broken on purpose") as caught:
        record(model, (image, torch.tensor(True)))
    assert "raised in layer 'worse'" in caught.value.__notes__[0]


def test_a_module_that_returns_nothing_is_no_failure(image: torch.Tensor) -> None:
    class Log(nn.Module):
        def forward(self, x: torch.Tensor) -> None:
            return None

    class Logging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log, self.body, self.broken = Log(), small(), Broken()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.log(x)
            return self.broken(self.body(x))

    with pytest.raises(KeyError, match="broken") as caught:
        record(Logging(), image)
    assert "raised in layer 'broken'" in caught.value.__notes__[0]


def test_the_users_input_is_neither_changed_nor_followed(image: torch.Tensor) -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(216, 3))
    image = (image - 0.5).requires_grad_()
    before = image.detach().clone()
    trace = record(model, image)
    assert torch.equal(image, before)
    assert torch.equal(trace.activation("input"), before)
    trace.gradient("input", 0)
    assert image.grad is None


def test_two_traces_of_one_model_do_not_disturb_each_other(image: torch.Tensor) -> None:
    model = small()
    first = record(model, image)
    expected = first.gradient("1", 0).clone(), first.activation("1").clone()
    second = record(model, image * 2)
    other = second.gradient("1", 0)
    again = record(model, image)
    assert torch.equal(first.gradient("1", 0), expected[0])
    assert torch.equal(first.activation("1"), expected[1])
    assert torch.equal(again.gradient("1", 0), expected[0])
    assert not torch.equal(first.activation("1"), second.activation("1"))
    first.close()
    assert torch.equal(second.gradient("1", 0), other)


# Targets


def test_targets_are_classes_names_differences_sites_and_functions(image: torch.Tensor) -> None:
    trace = record(small(3).eval(), image, class_names=["cat", "dog", "eel"])
    scores = trace.output.sum(dim=0)
    assert torch.allclose(trace.score(1), scores[1])
    assert torch.allclose(trace.score("dog"), scores[1])
    assert torch.allclose(trace.score(Contrast(0, 2)), scores[0] - scores[2])
    assert torch.allclose(trace.score(lambda output: output[0, 1] * 2), trace.output[0, 1] * 2)
    assert torch.allclose(trace.score(SiteScore("0", channel=3)), trace.activation("0")[:, 3].sum())
    assert torch.allclose(
        trace.gradient("0", SiteScore("0", channel=3)).sum(dim=(0, 2, 3)), torch.tensor([0.0, 0, 0, 84])
    )
    assert trace.prediction == trace.probabilities[0].argmax()
    assert torch.allclose(
        trace.gradient("1", Contrast(0, 2)), trace.gradient("1", 0) - trace.gradient("1", 2), atol=1e-7
    )
    assert not trace.gradient("6", SiteScore("0")).any()


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (1203, r"^target must be in 0\.\.999 \(the model has 1000 classes\), got 1203$"),
        (-1, r"^target must be in 0\.\.999 \(the model has 1000 classes\), got -1$"),
        (
            2.0,
            "target must be a class index, a class name, a target object or a function of the output, got 2.0 .float.",
        ),
        (True, "target must be a class index.*got True .bool."),
        (
            "cat",
            "target 'cat' is a class name, but the trace has no class names: give class_names= to record, or an index",
        ),
        (Contrast(1, 1000), r"target must be in 0\.\.999"),
        (
            lambda output: output,
            r"a target function must return a tensor with one element, got \(1, 1000\): sum or select first",
        ),
        (lambda output: output.argmax() * 1j, "is complex; a target must be real"),
    ],
)
def test_a_wrong_target_is_refused_in_words(target: Any, sentence: str) -> None:
    trace = record(nn.Sequential(nn.Flatten(), nn.Linear(12, 1000)), torch.rand(1, 3, 2, 2))
    with pytest.raises(TargetError, match=sentence):
        trace.gradient("1", target)
    with pytest.raises(TargetError, match=sentence):
        trace.score(target)


def test_a_misspelt_class_name_gets_a_suggestion(image: torch.Tensor) -> None:
    trace = record(small(3), image, class_names=["tabby cat", "dog", "eel"])
    with pytest.raises(TargetError, match="no class is named 'taby cat'; did you mean 'tabby cat'"):
        trace.score("taby cat")


def test_a_misspelt_layer_gets_a_suggestion_and_the_first_names() -> None:
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    model = nn.Sequential()
    for name in names:
        model.add_module(name, nn.Identity())
    trace = record(model, torch.rand(1, 3))
    sentence = (
        r"^layer 'layer5' was not recorded; did you mean 'layer4'\? "
        r"Recorded: conv1, bn1, relu, maxpool, \.\.\. \(8 in all: trace.layers\)$"
    )
    for ask in (trace.activation, trace.gradient, trace.layout, trace.site, trace.channels):
        with pytest.raises(LayerError, match=sentence):
            ask("layer5")
    with pytest.raises(LayerError, match=r"layer must be a module path such as 'conv1', got 3 .int."):
        trace.activation(3)  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="was not recorded"):
        trace.activation("zzz")


def test_target_output_that_selects_nothing_is_refused(image: torch.Tensor) -> None:
    with pytest.raises(TargetError, match="target_output='boxes' does not select from the model's output"):
        record(small(), image, target_output="boxes")
    with pytest.raises(TargetError, match="target_output must select a tensor, got int"):
        record(small(), image, target_output=len)


# Caches and their budget


def test_a_second_question_costs_no_backward_pass(image: torch.Tensor) -> None:
    trace = record(small(), image)
    first = trace.gradient("1", 2)
    assert trace.backward_passes == 1
    assert trace.gradient("1", ClassScore(2)) is first
    assert trace.backward_passes == 1
    trace.gradients(["0", "1", "2", "6"], 2)
    assert trace.backward_passes == 2
    assert trace.has_gradient("6", 2)
    assert not trace.has_gradient("6", 3)


def test_the_least_recently_used_gradient_is_dropped_first_and_computed_again(image: torch.Tensor) -> None:
    model = small()
    one = record(model, image).gradient("1", 0).nbytes
    trace = record(model, image, memory_limit=3 * one)
    kept = [trace.gradient("1", target).clone() for target in (0, 1, 2)]
    trace.gradient("1", 0)  # used again: 1 is now the oldest
    trace.gradient("1", 3)
    assert [trace.has_gradient("1", target) for target in range(4)] == [True, False, True, True]
    passes = trace.backward_passes
    assert torch.equal(trace.gradient("1", 1), kept[1])
    assert trace.backward_passes == passes + 1
    tiny = record(model, image, memory_limit=0)
    assert len(tiny.gradients(["0", "1", "2"], 0)) == 3
    assert sum(tiny.has_gradient(layer, 0) for layer in ("0", "1", "2")) == 1


def test_nbytes_counts_shared_memory_once(image: torch.Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Identity())
    trace = record(model, image)
    assert trace.nbytes == image.nbytes + trace.activation("0").nbytes
    before = trace.nbytes
    gradient = trace.gradient("0", lambda output: output.square().sum())
    assert trace.nbytes == before + gradient.nbytes


# Staleness and overwritten values


@pytest.mark.parametrize("change", ["step", "load", "buffer", "replace"])
def test_a_trace_knows_that_its_model_has_changed(change: str, image: torch.Tensor) -> None:
    model = small()
    state = copy.deepcopy(model.state_dict())
    trace = record(model, image)
    kept = trace.gradient("1", 0), trace.activation("0")
    assert not trace.stale
    if change == "step":
        optimiser = torch.optim.Adam(model.parameters())
        model(image).sum().backward()
        optimiser.step()
    elif change == "load":
        model.load_state_dict(state)
    elif change == "buffer":
        model.train()(image)
    else:
        model[0].weight.data = model[0].weight.data * 2
    assert trace.stale
    with pytest.raises(
        StaleError,
        match=r"a gradient cannot be taken from this trace: '.*' has changed since the recording; record again",
    ):
        trace.gradient("1", 1)
    assert trace.gradient("1", 0) is kept[0]
    assert trace.activation("0") is kept[1]


def test_a_value_that_was_overwritten_and_not_yet_computed_again_is_refused_when_stale(image: torch.Tensor) -> None:
    model = small()
    trace = record(model, image)
    with torch.no_grad():
        model[1].weight.mul_(2)
    with pytest.raises(StaleError, match=r"the value of '1' cannot be taken from this trace: '1.weight' has changed"):
        trace.activation("1")


def test_values_overwritten_by_the_user_are_refused(image: torch.Tensor) -> None:
    trace = record(small(), image)
    trace.activation("0").zero_()
    with pytest.raises(
        OverwrittenError, match=r"the recorded value of '0' was overwritten after the recording.* record again"
    ):
        trace.activation("0")
    trace.output.zero_()
    with pytest.raises(OverwrittenError, match="the recorded value of '6' was overwritten"):
        trace.score(0)


def test_a_cached_gradient_overwritten_by_the_user_is_not_handed_out_again(image: torch.Tensor) -> None:
    trace = record(small(), image)
    expected = trace.gradient("1", 0).clone()
    trace.gradient("1", 0).zero_()
    assert torch.equal(trace.gradient("1", 0), expected)


# The end


def test_a_closed_trace_frees_its_memory_and_says_that_it_is_closed(image: torch.Tensor) -> None:
    with record(small(), image) as trace:
        trace.gradient("1", 0)
        values = [weakref.ref(value.tensor) for value in trace.tape.values if value.tensor is not None]
        assert not trace.closed
    assert trace.closed
    assert trace.nbytes == 0
    trace.close()
    gc.collect()
    assert all(value() is None for value in values)
    for ask in (
        lambda: trace.output,
        lambda: trace.activation("1"),
        lambda: trace.gradient("1", 0),
        lambda: trace.score(0),
        lambda: trace.logits,
    ):
        with pytest.raises(ClosedError, match="this trace is closed: record again"):
            ask()
    assert repr(trace) == "<Trace: closed>"


def test_a_trace_that_is_dropped_leaves_nothing_behind(image: torch.Tensor) -> None:
    trace = record(small(), image)
    trace.gradient("1", 0)
    gone = weakref.ref(trace)
    values = [weakref.ref(value.tensor) for value in trace.tape.values if value.tensor is not None]
    del trace
    gc.collect()
    assert gone() is None
    assert all(value() is None for value in values)


def test_what_a_trace_hands_out_is_detached(image: torch.Tensor) -> None:
    trace = record(small(), image)
    tensors = [
        trace.output,
        trace.activation("1"),
        trace.gradient("1", 0),
        trace.score(0),
        trace.logits,
        trace.probabilities,
    ]
    assert not any(tensor.requires_grad for tensor in tensors)


def test_a_gradient_that_no_operation_leads_to_is_explained() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.behind, self.head = nn.Identity(), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x) + self.behind(x.detach()).sum()

    trace = record(Constant(), torch.rand(1, 3))
    with pytest.raises(GradientError, match=r"no gradient at 'behind': autograd does not follow it back to the input"):
        trace.gradient("behind", 0)
    assert hash(OutputScore(len)) == hash(OutputScore(len))
