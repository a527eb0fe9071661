"""Numbers that were wrong once, against values that need nothing of ours: a formula of the paper, or plain torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import interp_widgets as iw
from tests.trace.test_cases import Net

SUM_ROUNDING = 1e-5  # relative; float32 sums of a few dozen terms, in another order than torch's

# Each with what it says for the logits z: a last operation that turns scores into probabilities.
ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax by keyword": lambda z: torch.softmax(input=z, dim=1),
    "softmax behind a view": lambda z: z.softmax(1).view(-1, 3),
    "softmax behind a slice": lambda z: z.softmax(1)[:, :],
    "softmax by hand": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
    "logarithm of softmax": lambda z: F.log_softmax(z, dim=1),
    "several labels": torch.sigmoid,
}


def _with_end(end: Callable[[Tensor], Tensor]) -> tuple[nn.Module, Tensor, Tensor]:
    """A network that ends so, an input, and the scores before that."""
    torch.manual_seed(0)
    model = Net(lambda self, x: end(self.head(x)), head=nn.Linear(4, 3))
    given = torch.randn(1, 4)
    with torch.no_grad():
        return model, given, model.head(given)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_what_the_model_says_is_said_once_and_the_score_before_it_is_explained(end: Callable[[Tensor], Tensor]) -> None:
    model, given, scores = _with_end(end)
    said = scores.sigmoid() if end is torch.sigmoid else scores.softmax(1)
    with iw.record(model, given) as trace:
        torch.testing.assert_close(trace.probabilities, said, rtol=SUM_ROUNDING, atol=0)
        for target in range(3):
            assert float(trace.score(target)) == pytest.approx(float(scores[0, target]), rel=SUM_ROUNDING)
            # d score / d input of a linear layer: its row
            torch.testing.assert_close(trace.gradient("input", target)[0], model.head.weight[target].detach())


def test_a_single_sigmoid_is_not_applied_again() -> None:
    torch.manual_seed(0)
    model, given = nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Sigmoid()), torch.rand(1, 3, 2, 2)
    with torch.no_grad():
        said = model(given)
    assert float(iw.record(model, given).probabilities) == float(said)


@pytest.mark.parametrize("squeeze", [False, True], ids=["(N, 1)", "(N,)"])
@pytest.mark.parametrize(
    "method",
    [iw.FeatureAblation(), iw.ShapleySampling(samples=8), iw.KernelSHAP(samples=400), iw.IntegratedGradients()],
    ids=lambda method: type(method).__name__,
)
def test_each_feature_of_a_regression_has_its_own_value(method: iw.Explainer, *, squeeze: bool) -> None:
    torch.manual_seed(0)
    head = nn.Linear(5, 1)
    model = Net(lambda self, x: self.head(x).squeeze(1) if squeeze else self.head(x), head=head)
    given = torch.randn(1, 5)
    # of a linear model every one of these is weight times input, whatever the order of the features
    expected = (head.weight * given).detach()
    found = method(iw.record(model, given)).values
    # KernelSHAP solves a least-squares problem on the coalitions it drew; of a linear game it has one solution
    torch.testing.assert_close(found.reshape(1, 5).float(), expected, rtol=1e-3, atol=1e-4)


def test_an_input_without_a_batch_is_explained_whole() -> None:
    torch.manual_seed(0)
    linear, conv = nn.Linear(6, 3), nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(0), nn.Linear(16, 3))
    saliency = iw.Gradient()(iw.record(linear, torch.randn(6)), 1).values  # of absolute values
    torch.testing.assert_close(saliency, linear.weight[1].detach().abs())
    image = torch.rand(3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(conv(image)[2], image)
    with iw.record(conv, image.detach(), batch_axis=None) as trace:
        torch.testing.assert_close(trace.gradient("input", 2).reshape(3, 4, 4), gradient)


def test_lrp_epsilon_plus_counts_the_positive_bias_as_bach_et_al_do() -> None:
    # two positive products, 2 and 6, beside a bias of 4 in the denominator: 12. The score is 2 + 6 + 4 = 12.
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 3.0]]))
        linear.bias.fill_(4.0)
    model = nn.Sequential(nn.Conv1d(1, 1, 2), nn.Flatten())
    with torch.no_grad():
        model[0].weight.copy_(linear.weight.view(1, 1, 2))
        model[0].bias.copy_(linear.bias)
    found = iw.LRP(rule="epsilon-plus", epsilon=1e-9)(iw.record(model, torch.tensor([[[2.0, 2.0]]])), 0)
    torch.testing.assert_close(found.values.flatten(), torch.tensor([2.0, 6.0]), rtol=1e-5, atol=0)


def test_integrated_gradients_of_two_inputs_are_those_of_the_paper() -> None:
    model = Net(lambda _, a, b: F.relu(F.relu(a) - 1 - F.relu(b)))
    given = torch.tensor([[3.0]]), torch.tensor([[1.0]])
    parts = iw.IntegratedGradients(steps=200)(iw.record(model, given)).parts
    # 200 nodes know the place of the kink to about their distance, 1/200
    assert [float(part) for part in parts.values()] == pytest.approx([1.5, -0.5], abs=0.01)


def test_a_layers_own_baseline_moves_the_embedding_and_leaves_a_float_beside_it() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda self, ids, mask: self.head((self.table(ids) * mask[..., None]).sum(1)),
        table=nn.Embedding(7, 4),
        head=nn.Linear(4, 2),
    )
    ids, mask = torch.tensor([[1, 2, 3]]), torch.tensor([[1.0, 1.0, 0.0]])
    found = iw.IntegratedGradients()(iw.record(model, (ids, mask)), 1, layer="table")
    # linear in the embedding: a word has its vector times the weights of the class, and nothing where it is masked
    expected = (model.table.weight[ids[0]] * model.head.weight[1]).sum(1).detach() * mask[0]
    torch.testing.assert_close(found.values.reshape(3, 4).sum(1), expected, rtol=1e-4, atol=1e-6)
