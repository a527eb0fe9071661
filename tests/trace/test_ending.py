"""The end of a model: what it said, and the class scores before softmax and sigmoid."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.trace.ending import Scale
from interp_widgets.trace.targets import as_target
from tests.trace.test_cases import Net

ROWS = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def net(function: Callable[..., torch.Tensor], width: int = 4) -> Net:
    torch.manual_seed(0)
    return Net(function, head=nn.Linear(6, width)).double()


def shifted_by_hand(scores: torch.Tensor) -> torch.Tensor:
    powers = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
    return powers / powers.sum(dim=1, keepdim=True)


SOFTMAXES = {
    "of torch.special": lambda z: torch.special.softmax(z, 1),
    "by keyword": lambda z: torch.softmax(input=z, dim=1),
    "a view behind it": lambda z: z.softmax(1).view(-1, 4),
    "a view and its transpose behind it": lambda z: z.softmax(1).view(-1, 2, 2).transpose(1, 2).flatten(1),
    "another type behind it": lambda z: z.softmax(-1).float().double(),
    "by hand": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
    "by hand, shifted": shifted_by_hand,
    "a logarithm": lambda z: z.log_softmax(1),
    "a logarithm's exponential": lambda z: z.log_softmax(1).exp(),
    "sigmoid": torch.sigmoid,
    "a logarithm of sigmoid": nn.functional.logsigmoid,
    "a part of a softmax": lambda z: z.softmax(1)[:, 1:],
    "a part in reverse": lambda z: z.softmax(1).flip(1)[:, :2],
}
CLASSES = {
    "a view and its transpose behind it": [0, 2, 1, 3],
    "a part of a softmax": [1, 2, 3],
    "a part in reverse": [3, 2],
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("end", SOFTMAXES)
def test_what_the_model_says_is_shown_and_the_score_before_the_squashing_explained(end: str, rows: int) -> None:
    model = net(lambda self, x: SOFTMAXES[end](self.head(x)))
    trace = iw.record(model, ROWS[:rows])
    scores = model.head(ROWS[:rows])[:, CLASSES.get(end, [0, 1, 2, 3])].detach()
    said = model(ROWS[:rows]).detach()
    if "logarithm" in end and "exponential" not in end:
        said = said.exp()
    torch.testing.assert_close(trace.logits, scores)
    torch.testing.assert_close(trace.probabilities, said.float())
    assert trace.scale is (Scale.LABELS if "sigmoid" in end else Scale.SOFTMAX)
    assert trace.prediction == int(said[0].argmax())
    for target, row in enumerate(CLASSES.get(end, [0, 1, 2, 3])):
        weights = model.head.weight[row].detach()
        torch.testing.assert_close(trace.gradient("input", target), weights.expand(rows, -1))
        probe = trace.probe("input", ROWS[:2], target)  # another number of inputs than was recorded
        torch.testing.assert_close(probe.scores, model.head(ROWS[:2])[:, row].detach())


SINGLES = {
    "plain": lambda z: z,
    "squeezed": lambda z: z.squeeze(1),
    "its only column": lambda z: z[:, 0],
    "sigmoid": torch.sigmoid,
    "sigmoid, squeezed": lambda z: z.sigmoid().squeeze(1),
    "squeezed, sigmoid": lambda z: z.squeeze(1).sigmoid(),
    "sigmoid, squeezed of all axes": lambda z: z.sigmoid().squeeze(),
    "a sum": lambda z: (z * 2).sum(dim=1) / 2,
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("end", SINGLES)
def test_one_value_for_each_input_is_one_class_however_it_is_squeezed(end: str, rows: int) -> None:
    model = net(lambda self, x: SINGLES[end](self.head(x)), width=1)
    trace = iw.record(model, ROWS[:rows])
    assert trace.is_batch
    assert trace.examples == rows
    assert trace.class_count == 1
    torch.testing.assert_close(trace.logits, model.head(ROWS[:rows]).detach())
    torch.testing.assert_close(trace.probabilities, model.head(ROWS[:rows]).sigmoid().float().detach())
    assert trace.scale is (Scale.YES_OR_NO if "sigmoid" in end else Scale.VALUE)
    torch.testing.assert_close(trace.probe("input", ROWS, 0).scores, model.head(ROWS)[:, 0].detach())
    effects = iw.FeatureAblation()(trace, target=0).values
    torch.testing.assert_close(effects, (ROWS[0] * model.head.weight[0]).float().detach(), check_dtype=False)


def test_a_model_that_says_no_is_explained_by_what_speaks_against() -> None:
    model = net(lambda self, x: self.head(x).sigmoid(), width=1)
    score = model.head(ROWS)[:, 0].detach()
    negative, positive = int(score.argmin()), int(score.argmax())
    assert score[negative] < 0 < score[positive]
    trace = iw.record(model, ROWS, class_names=["fraud"])
    against = iw.InputXGradient()(trace, example=negative)
    assert against.label == "not fraud"
    torch.testing.assert_close(against.score, -float(score[negative]))
    torch.testing.assert_close(against.values.double(), -(ROWS[negative] * model.head.weight[0]).detach())
    assert iw.InputXGradient()(trace, example=positive).label == "fraud"
    assert iw.InputXGradient()(trace, target=0, example=negative).label == "fraud"
    assert as_target(None, trace).label(None) in ("class 0", "not class 0")


def test_a_single_value_without_a_class_name_is_explained_as_it_is() -> None:
    model = net(lambda self, x: self.head(x), width=1)
    row = ROWS[model.head(ROWS)[:, 0].argmin()][None]
    attribution = iw.InputXGradient()(iw.record(model, row))
    assert attribution.score < 0
    assert attribution.label == "one value"


def test_a_softmax_over_the_last_axis_of_several_tells_which_axis_counts_classes() -> None:
    model = net(lambda self, x: self.head(x[:, None].expand(-1, 5, -1)).softmax(-1))
    trace = iw.record(model, ROWS)
    assert trace.class_count == 4
    torch.testing.assert_close(trace.logits[:, :, 0], model.head(ROWS).detach())
    torch.testing.assert_close(trace.probabilities, model.head(ROWS).softmax(1).float().detach())


def test_classes_that_are_left_out_of_the_last_axis_of_several_are_counted_along_it() -> None:
    model = net(lambda self, x: self.head(x[:, None].expand(-1, 5, -1)).softmax(-1)[..., 1:])
    trace = iw.record(model, ROWS)
    assert trace.class_count == 3
    torch.testing.assert_close(trace.logits[:, :, 0], model.head(ROWS)[:, 1:].detach())
    torch.testing.assert_close(trace.probabilities, model.head(ROWS).softmax(1)[:, 1:].float().detach())


def test_rows_that_are_mixed_behind_the_softmax_are_explained_as_they_are() -> None:
    model = net(lambda self, x: self.head(x).softmax(1).flip(0))
    trace = iw.record(model, ROWS)
    torch.testing.assert_close(trace.logits, model(ROWS).detach())
    torch.testing.assert_close(trace.probabilities, model(ROWS).float().detach())


def test_two_scores_made_by_two_layers_are_no_softmax() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda self, x: self.a(x).exp() / self.b(x).exp().sum(1, keepdim=True), a=nn.Linear(6, 4), b=nn.Linear(6, 4)
    ).double()
    trace = iw.record(model, ROWS)
    torch.testing.assert_close(trace.logits, model(ROWS).detach())
