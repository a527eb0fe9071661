"""The model is run in its shadow: nothing of it changes, nobody else sees a pass, and a changed model is noticed."""

from __future__ import annotations

import _thread
import copy
import functools
import gc
import math
import random
import signal
import sys
import threading
import time
import types
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import CheckpointFunction, checkpoint

import interp_widgets as iw
from interp_widgets.errors import ModelError, StaleError
from interp_widgets.trace import shadow as shadow_module
from interp_widgets.trace.in_place import InPlace
from interp_widgets.trace.interrupt import Undisturbed
from interp_widgets.trace.shadow import Shadow, shadow_of
from tests.trace.reference import relative_error

ROUNDING = 1e-5  # of the largest value: single precision, the same operations on the same memory format


def image(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def plain() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten()), nn.Linear(144, 5)),
    )


# What torch says of the old kind of backward hooks, also without a recording.
pytestmark = pytest.mark.filterwarnings("ignore:Using a non-full backward hook")


# Kinds of models that a pass could leave a mark on


class Remembers(nn.Module):
    """Stores what it computes, counts its calls, keeps a list and a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(144, 5)
        self.last: torch.Tensor | None = None
        self.calls = 0
        self.log: list[torch.Tensor] = []
        self.seen: dict[str, int] = {"calls": 0}
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = self.conv(x)
        self.calls += 1
        self.log.append(self.last)
        self.seen["calls"] += 1
        self.count += 1
        self.count = self.count * 1
        return self.head(self.last.flatten(1))


class Draws(nn.Module):
    """Draws from every generator there is."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain()
        self.own = torch.Generator().manual_seed(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.rand_like(x[:1]) + np.random.rand() + random.random()  # noqa: NPY002
        return self.body(x + 1e-3 * noise + 1e-3 * torch.rand(1, generator=self.own))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.LSTM(24, 6, batch_first=True), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(2).transpose(1, 2).reshape(len(x), -1, 24))[0][:, -1])


class HiddenParts(nn.Module):
    """Modules in a plain list and in a mapping that only ``deepcopy`` knows to copy; a weak reference to a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 4, 3), nn.Linear(144, 5)
        self.hidden = [nn.Conv2d(4, 4, 1), nn.ReLU()]
        self.named = defaultdict(list, {"head": [self.head]})
        self.weak = weakref.ref(self.first.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.weak() is self.first.weight
        assert self.named["head"][0] is self.head
        for part in (self.first, *self.hidden):
            x = part(x)
        return self.head(x.flatten(1))


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.lock, self.ready = plain(), threading.Lock(), threading.Event()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock:
            return self.body(x)


class Captured(nn.Module):
    """Its work is done by closures that hold on to the module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain()
        self.scale = nn.Parameter(torch.ones(1))
        self.work = lambda x: self.body(x) * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.work(x)
        except Exception:  # noqa: BLE001 - a model may catch all
            return x.flatten(1)[:, :5]


def hooked(kind: str) -> nn.Module:
    model = plain()
    if kind == "backward hook":
        model[1].register_full_backward_hook(lambda _module, given, _arrived: (given[0] * 2,))
    elif kind == "backward hook of a container":
        model.register_full_backward_hook(lambda _module, _given, _arrived: None)
    elif kind == "backward pre-hook":
        model[5].register_full_backward_pre_hook(lambda _module, arrived: (arrived[0] * 3,))
    elif kind == "both backward hooks":
        model[5].register_full_backward_hook(lambda _module, given, _arrived: (given[0] * 2,))
        model[5].register_full_backward_pre_hook(lambda _module, arrived: (arrived[0] * 3,))
    else:
        model[0].register_backward_hook(lambda _module, _given, _arrived: None)
    return model


BACKWARD_HOOKS = (
    "backward hook",
    "backward hook of a container",
    "backward pre-hook",
    "both backward hooks",
    "old backward hook",
)


def of_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return plain()


def pruned() -> nn.Module:
    model = plain()
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def weight_normed(*, old: bool) -> nn.Module:
    model = plain()
    with pytest.warns(FutureWarning) if old else _nothing():
        (nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm)(model[5])
    return model


class _nothing:  # noqa: N801 - stands in for a context manager
    def __enter__(self) -> None: ...
    def __exit__(self, *_error: object) -> None: ...


def with_shared_buffer() -> nn.Module:
    model = plain()
    model[1].register_buffer("part", model[1].running_mean[:2])
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    **{kind: functools.partial(hooked, kind) for kind in BACKWARD_HOOKS},
    "inference mode": of_inference_mode,
    "pruned": pruned,
    "old weight norm": functools.partial(weight_normed, old=True),
    "weight norm": functools.partial(weight_normed, old=False),
    "spectral norm": lambda: nn.Sequential(nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(192, 5))),
    "remembers": Remembers,
    "draws": Draws,
    "recurrent": Recurrent,
    "hidden parts": HiddenParts,
    "locked": Locked,
    "captured": Captured,
    "shared buffer": with_shared_buffer,
}


def everything(model: nn.Module) -> list[Any]:
    """All that must be as it was, to the bit: what modules hold by identity, versions, numbers, random states."""
    held = []
    for module in model.modules():
        for name, value in vars(module).items():
            held.append((name, id(value), _inside(value)))
    tensors = [
        value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Tensor)
    ]
    tensors += [*model.parameters(), *model.buffers()]
    numbers = [
        (
            id(each),
            -1 if each.is_inference() else each._version,
            each.requires_grad,
            None if not each.is_leaf else id(each.grad),
            each.detach().clone().numpy().tobytes(),
        )
        for each in tensors
    ]
    states = (torch.get_rng_state().numpy().tobytes(), random.getstate(), np.random.get_state()[1].tobytes())  # noqa: NPY002
    own = [module.own.get_state().numpy().tobytes() for module in model.modules() if isinstance(module, Draws)]
    flags = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), "apply" in vars(CheckpointFunction))
    return [held, numbers, states, own, flags, torch.overrides._get_current_function_mode_stack()]


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, id(item)) for key, item in value.items()]
    return list(map(id, value)) if isinstance(value, (list, tuple, set)) else None


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_nothing_of_a_model_changes(kind: str, training: bool) -> None:
    model = MODELS[kind]().train(training)
    before = everything(model)
    trace = iw.record(model, image())
    layer = trace.layers[0]
    trace.gradient(layer, 1)
    iw.IntegratedGradients(steps=3)(trace, 1)
    trace.probe("input", image(), 1)
    with trace.rerun({"input": image()}) as other:
        other.score(1)
    assert everything(model) == before


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "draws"])
def test_what_is_recorded_is_what_the_model_computes(kind: str) -> None:
    model = MODELS[kind]().eval()
    trace = iw.record(model, image())
    with torch.no_grad():
        expected = model(image())
    assert torch.equal(trace.output, expected)


@pytest.mark.parametrize("kind", BACKWARD_HOOKS)
def test_gradients_are_those_of_plain_autograd_with_the_users_backward_hooks(kind: str) -> None:
    model = hooked(kind).eval()
    trace = iw.record(model, image())
    seen: list[torch.Tensor] = []
    handle = model[0].register_forward_hook(lambda _module, _args, output: seen.append(output))
    leaf = image().requires_grad_()
    expected = torch.autograd.grad(model(leaf)[:, 1].sum(), [leaf, seen[0]])
    handle.remove()
    again = iw.record(model, image())
    del trace
    assert relative_error(again.gradient("input", 1), expected[0]) < ROUNDING
    assert relative_error(again.gradient("0", 1), expected[1]) < ROUNDING


def test_the_shadow_shares_the_parameters_and_nothing_else() -> None:
    model = plain()
    shadow = Shadow(model)
    for theirs, own in zip(model.parameters(), shadow.copy.parameters(), strict=True):
        assert own is not theirs
        assert own.data_ptr() == theirs.data_ptr()
        assert not own.requires_grad
        with torch.no_grad():
            theirs.mul_(1)
        assert own._version == theirs._version
    for theirs, own in zip(model.buffers(), shadow.copy.buffers(), strict=True):
        assert own.data_ptr() != theirs.data_ptr()


def test_buffers_of_one_memory_are_of_one_memory_in_the_shadow() -> None:
    copied = Shadow(with_shared_buffer()).copy
    copied[1].running_mean.fill_(7)
    assert copied[1].part.tolist() == [7, 7]


def test_a_shadow_is_kept_while_the_model_holds_what_it_held() -> None:
    model = plain()
    first = iw.record(model, image())
    shadow = shadow_of(model)
    with iw.record(model, image()):
        assert shadow_of(model) is shadow
    with torch.no_grad():
        model[0].weight.mul_(2)  # the same memory
    assert shadow_of(model) is shadow
    model[1].running_mean.data.add_(1)  # the shadow has its own
    assert shadow_of(model) is not shadow
    assert torch.equal(iw.record(model, image()).output, model.eval()(image()))
    del first


def test_a_model_and_its_copy_are_freed_with_the_last_trace_without_the_garbage_collector() -> None:
    """A copy in a circle would keep all weights in memory until the collector comes."""
    model = plain().eval()
    trace = iw.record(model, image())
    iw.GradCAM()(trace, 1)
    gone = [weakref.ref(held) for held in (trace, shadow_of(model), shadow_of(model).copy, model)]
    gc.disable()
    try:
        del trace, model
        assert [held() for held in gone] == [None] * 4
    finally:
        gc.enable()


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def shadow_after_a_trace(model: nn.Module) -> weakref.ref[Shadow]:
    """The shadow of a trace that is gone."""
    iw.record(model, image())
    with iw.record(model, image()):
        return weakref.ref(shadow_of(model))


@pytest.mark.usefixtures("_no_collector")
def test_the_last_shadow_serves_the_next_recording_and_goes_with_its_model() -> None:
    model = plain()
    kept = shadow_after_a_trace(model)
    assert kept() is shadow_of(model)
    gone = weakref.ref(model)
    del model
    assert gone() is None
    assert kept() is None


def calls_itself() -> Callable[[int], int]:
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n else 1

    return factorial


PLAIN = [F.relu, torch.relu, F.gelu, math.sqrt, calls_itself()]


@pytest.mark.parametrize("function", PLAIN, ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_functions_that_hold_nothing_do_not_keep_a_shadow_from_being_kept(function: Any) -> None:
    model = plain()
    model[0].activation = function
    kept = shadow_after_a_trace(model)
    assert kept() is not None


def test_only_one_shadow_is_kept() -> None:
    first, second = plain(), plain()
    kept = [shadow_after_a_trace(first), shadow_after_a_trace(second)]
    assert kept[0]() is None
    assert kept[1]() is shadow_of(second)


@pytest.mark.usefixtures("_no_collector")
def test_of_a_large_model_the_shadow_goes_with_its_last_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the model moved to another device, the shadow would hold its weights here."""
    model = plain()
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    monkeypatch.setattr(shadow_module, "MOST_KEPT", weights - 1)
    assert shadow_after_a_trace(model)() is None
    monkeypatch.setattr(shadow_module, "MOST_KEPT", weights)
    assert shadow_after_a_trace(model)() is not None


class Locked:
    """Cannot be copied, so that the model and its copy both use it."""

    def __init__(self, held: Any) -> None:
        self.lock, self.held = threading.Lock(), held


def with_bound_hook(model: nn.Module) -> None:
    model[0].register_forward_pre_hook(types.MethodType(lambda _model, _module, _args: None, model))


def with_closure(model: nn.Module) -> None:
    model[0].register_forward_pre_hook(lambda _module, _args: model and None)


def with_default(model: nn.Module) -> None:
    model[0].register_forward_pre_hook(lambda _module, _args, *, _held=model: None)


def with_list(model: nn.Module) -> None:
    model[0].everything = [model]


def with_object(model: nn.Module) -> None:
    model[0].holder = types.SimpleNamespace(inner=(model,))


def with_lock(model: nn.Module) -> None:
    model[0].holder = Locked(model)


BACK = [with_bound_hook, with_closure, with_default, with_list, with_object, with_lock]


@pytest.mark.parametrize("refer", BACK, ids=lambda each: each.__name__)
def test_a_model_that_its_parts_hold_on_to_is_freed_all_the_same(refer: Callable[[nn.Module], None]) -> None:
    """A shadow that was kept would keep these parts, and with them the model."""
    model = plain()
    refer(model)
    kept, gone = shadow_after_a_trace(model), weakref.ref(model)
    assert kept() is None
    del model
    gc.collect()
    assert gone() is None


def test_a_closure_that_holds_on_to_the_model_is_run_in_place() -> None:
    model = Captured()
    trace = iw.record(model, image())
    assert isinstance(trace._passes._again.stage.shadow, InPlace)
    assert "body.0" in trace.layers
    assert torch.equal(trace.output, model.eval()(image()))


def test_in_place_another_thread_is_not_recorded() -> None:
    model, inside, go_on = Captured(), threading.Event(), threading.Event()
    asked: list[int] = []

    class Waits(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            asked.append(threading.get_ident())
            if asked[0] == threading.get_ident() and len(asked) == 1:
                inside.set()
                assert go_on.wait(20)
            return x

    model.body.insert(3, Waits())
    found: list[iw.Trace] = []
    thread = threading.Thread(target=lambda: found.append(iw.record(model, image())))
    thread.start()
    assert inside.wait(20)
    with torch.no_grad():
        model(image() * 5)
    go_on.set()
    thread.join(20)
    alone = iw.record(model, image())
    for layer in alone.layers:
        assert torch.equal(found[0].activation(layer), alone.activation(layer)), layer


# A changed model


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "stride": lambda model: setattr(model[0], "stride", (2, 2)),
    "eps": lambda model: setattr(model[1], "eps", 0.1),
    "forward hook": lambda model: model[2].register_forward_hook(lambda _module, _args, output: output * 2),
    "forward pre-hook": lambda model: model[2].register_forward_pre_hook(lambda _module, args: args),
    "backward hook": lambda model: model[2].register_full_backward_hook(lambda *_: None),
    "forward": lambda model: setattr(model[2], "forward", torch.tanh),
    "another module": lambda model: model.__setitem__(2, nn.Tanh()),
    "another parameter": lambda model: setattr(model[5], "bias", nn.Parameter(torch.ones(5))),
    "other data": lambda model: setattr(model[5].bias, "data", torch.ones(5)),
    "step": lambda model: model[5].bias.detach().mul_(2),
}
UNCOUNTED: dict[str, Callable[[nn.Sequential], object]] = {
    "data": lambda model: model[5].weight.data.mul_(-2),
    "numpy": lambda model: model[5].weight.detach().numpy().__setitem__((0, 0), 5.0),
    "a bias by numpy": lambda model: model[0].bias.detach().numpy().__imul__(2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_makes_a_trace_stale(change: str) -> None:
    model = plain().eval()
    trace = iw.record(model, image())
    assert not trace.stale
    CHANGES[change](model)
    assert trace.stale
    with pytest.raises(StaleError, match="has changed since the recording"):
        trace.gradient("0", 1)
    with pytest.raises(StaleError, match="has changed since the recording"):
        trace.probe("input", image(), 1)
    expected = model(image())
    assert torch.equal(iw.record(model, image()).output, expected)


@pytest.mark.parametrize("change", UNCOUNTED)
def test_a_write_that_torch_does_not_count_is_noticed_when_a_pass_is_taken(change: str) -> None:
    model = plain().eval()
    trace = iw.record(model, image())
    UNCOUNTED[change](model)
    for ask in (lambda: trace.gradient("input", 1), lambda: trace.probe("input", image(), 1)):
        with pytest.raises(StaleError, match=r"'\d\.(weight|bias)' has changed since the recording"):
            ask()
    assert torch.equal(iw.record(model, image()).output, model(image()))


def test_a_write_before_the_layer_leaves_the_gradient_there_as_it_is() -> None:
    model = plain().eval()
    trace = iw.record(model, image())
    expected = iw.record(model, image()).gradient("4", 1)
    model[0].weight.data.mul_(2)
    assert torch.equal(trace.gradient("4", 1), expected)


def test_modes_and_what_forward_stores_make_no_trace_stale() -> None:
    model = Remembers().eval()
    trace = iw.record(model, image())
    model.train()
    model.eval()
    assert not trace.stale
    trace = iw.record(model, image())
    model.last, model.calls = torch.ones(1), 9
    model.log.append(torch.ones(1))
    assert not trace.stale
    trace.probe("input", image(), 1)


# What a model may hold beside modules and tensors


class Holds(nn.Module):
    """Its output depends on something it holds, and changes it at each call."""

    def __init__(self, held: Any, used: Callable[[Any], float]) -> None:
        super().__init__()
        self.body, self.held, self.used = plain(), held, used

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) * self.used(self.held)


def _counted(held: Any) -> float:
    held["k"] += 1
    return float(held["k"])


def _appended(held: Any) -> float:
    held.append(1)
    return float(len(held))


def _raised(held: Any) -> float:
    held.k += 1
    return float(held.k)


def _summed(held: Any) -> float:
    held += 1
    return float(held[0])


HELD: dict[str, tuple[Callable[[], Any], Callable[[Any], float]]] = {
    "dict": (lambda: {"k": 1}, _counted),
    "defaultdict": (lambda: defaultdict(int), _counted),
    "Counter": (lambda: Counter(k=3), _counted),
    "list": (list, _appended),
    "deque": (lambda: deque(maxlen=9), _appended),
    "namespace": (lambda: types.SimpleNamespace(k=1), _raised),
    "array": (lambda: np.ones(3), _summed),
    "torch generator": (lambda: torch.Generator().manual_seed(1), lambda held: float(torch.rand(1, generator=held))),
    "numpy generator": (lambda: np.random.default_rng(2), lambda held: float(held.random())),
}


@pytest.mark.parametrize("kind", HELD)
def test_each_pass_begins_with_what_the_model_holds_and_leaves_it(kind: str) -> None:
    make, used = HELD[kind]
    model = Holds(make(), used).eval()
    before = copy.deepcopy(model.held)
    trace = iw.record(model, image(1))
    scores = [trace.probe("input", image(1), 1).scores for _ in range(3)]
    assert [each.item() for each in scores] == pytest.approx([trace.score(1).item()] * 3)
    assert torch.equal(iw.record(model, image(1)).output, trace.output)
    assert _state(model.held) == _state(before)


def _state(held: Any) -> Any:
    if isinstance(held, torch.Generator):
        return held.get_state().tolist()
    if isinstance(held, np.random.Generator):
        return held.bit_generator.state
    return held.tolist() if isinstance(held, np.ndarray) else held


EDITS: dict[str, tuple[Callable[[], Any], Callable[[Any], float], Callable[[Any], object]]] = {
    "namespace": (lambda: types.SimpleNamespace(k=1), lambda held: held.k, lambda held: setattr(held, "k", 5)),
    "array": (lambda: np.ones(3), lambda held: float(held[0]), lambda held: held.__setitem__(0, 5)),
    "deque": (lambda: deque([1]), len, lambda held: held.append(2)),
    "Counter": (lambda: Counter(k=1), lambda held: held["k"], lambda held: held.update(k=4)),
    "defaultdict": (lambda: defaultdict(int, k=1), lambda held: held["k"], lambda held: held.update(k=4)),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_inside_what_the_model_holds_is_seen(kind: str) -> None:
    make, used, edit = EDITS[kind]
    model = Holds(make(), used).eval()
    trace = iw.record(model, image())
    edit(model.held)
    with pytest.raises(StaleError, match=r"'held.* has changed since the recording"):
        trace.probe("input", image(), 1)
    assert torch.equal(iw.record(model, image()).output, model(image()))


def test_weights_that_are_shuffled_or_hidden_in_a_list_are_looked_through() -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 8), nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 5)).eval()
    trace = iw.record(model, image())
    model[2].weight.data.copy_(model[2].weight.data[torch.randperm(64)])
    with pytest.raises(StaleError, match=r"'2\.weight' has changed"):
        trace.gradient("input", 1)
    hidden = HiddenParts().eval()
    trace = iw.record(hidden, image())
    hidden.hidden[0].weight.data.neg_()
    with pytest.raises(StaleError, match="'hidden parameter 0' has changed"):
        trace.gradient("input", 1)


def test_another_class_of_a_module_is_seen() -> None:
    class Doubled(nn.ReLU):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 2

    model = plain().eval()
    trace = iw.record(model, image())
    model[2].__class__ = Doubled
    assert trace.stale
    assert torch.equal(iw.record(model, image()).output, model(image()))


def test_what_a_closure_did_to_the_model_before_it_was_noticed_is_taken_back() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.calls = plain(), 0

            def work(x: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                return self.body(x) * self.calls

            self.work = work

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.work(x)

    model = Counts().eval()
    trace = iw.record(model, image())
    assert model.calls == 0
    assert torch.equal(trace.output, model(image()))


def test_a_lazy_model_must_be_run_once_first() -> None:
    with pytest.raises(iw.InterpError, match="has not been run yet"):
        iw.record(nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), image())


# Threads

# Ten models that another thread calls meanwhile; what ``draws`` computes depends on who drew before.
BESIDE = (
    *("plain", "remembers", "recurrent", "weight norm", "old weight norm"),
    *("hidden parts", "spectral norm", "pruned", "backward hook of a container", "shared buffer"),
)


def losses(model: nn.Module, steps: int, meanwhile: Callable[[], object] = lambda: None) -> list[float]:
    """The losses of a training run with dropout and batch norm."""
    torch.manual_seed(11)
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    found = []
    for step in range(steps):
        optimiser.zero_grad()
        data = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        loss = nn.functional.cross_entropy(model(data), torch.arange(4))
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
        meanwhile()
    return found


def in_a_thread(work: Callable[[], object]) -> Iterator[list[BaseException]]:
    """Do something again and again while the caller goes on; what it raised."""
    stop, errors = threading.Event(), []

    def run() -> None:
        while not stop.is_set():
            try:
                work()
            except StaleError:
                continue  # the weights moved on
            except BaseException as error:  # noqa: BLE001 - reported to the test
                errors.append(error)
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def explain(model: nn.Module) -> None:
    with iw.record(model, image()) as trace:
        trace.gradient("0", 1)
        trace.probe("input", image(), 1, gradient=True)
        iw.Occlusion()(trace, 1)


@pytest.mark.parametrize("steps", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_training_loop_beside_recordings_is_as_if_alone(steps: int) -> None:
    alone = losses(plain(), steps)
    model = plain()
    for errors in in_a_thread(lambda: explain(model)):
        beside = losses(model, steps, lambda: time.sleep(0))
        assert not errors
    assert beside == alone


@pytest.mark.parametrize("seconds", [0.3, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", BESIDE)
def test_a_trace_beside_calls_of_the_model_is_as_if_alone(kind: str, seconds: float) -> None:
    """A minute in the slow tests."""
    model = MODELS[kind]().eval()
    alone = iw.record(model, image())
    expected = {layer: alone.activation(layer) for layer in alone.layers}
    gradient = alone.gradient("input", 1)

    def call() -> None:
        with torch.no_grad():
            model(torch.rand(3, 3, 8, 8))

    until = time.monotonic() + seconds
    for errors in in_a_thread(call):
        while time.monotonic() < until:
            trace = iw.record(model, image())
            assert {*trace.layers} == {*expected}
            for layer, value in expected.items():
                assert torch.equal(trace.activation(layer), value), layer
            assert torch.equal(trace.gradient("input", 1), gradient)
        assert not errors


def test_checkpoints_of_another_thread_stay_checkpoints() -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Waits(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inside.set()
            assert go_on.wait(20)
            return x * 2

    thread = threading.Thread(target=lambda: iw.record(Waits(), torch.ones(1, 2)))
    thread.start()
    assert inside.wait(20)
    calls = []

    def block(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return x.exp()

    for reentrant in (True, False):
        calls.clear()
        checkpoint(block, torch.ones(2, requires_grad=True), use_reentrant=reentrant).sum().backward()
        assert len(calls) == 2, "a checkpointed block runs again on the way back"
    go_on.set()
    thread.join(20)
    assert "apply" not in vars(CheckpointFunction)


# Ctrl-C


def test_an_interrupt_waits_for_what_must_not_be_disturbed() -> None:
    done = []

    def undisturbed(*, in_the_gate: bool) -> None:
        with Undisturbed() as gate:
            (gate.call if in_the_gate else functools.partial)(signal.raise_signal, signal.SIGINT)()
            done.append(in_the_gate)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        undisturbed(in_the_gate=False)
    assert done == [False], "it goes on to the end"
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        undisturbed(in_the_gate=True)
    assert done == [False], "it ends at once"
    assert signal.getsignal(signal.SIGINT) is before


ASKS: dict[str, Callable[[nn.Module, iw.Trace], object]] = {
    "record": lambda model, _trace: iw.record(model, image()).close(),
    "rerun": lambda _model, trace: trace.rerun({"input": image()}).close(),
    "probe": lambda _model, trace: trace.probe("input", image(), 1, gradient=True),
    "guided": lambda _model, trace: iw.GuidedBackprop()(trace, 1),
    "occlusion": lambda _model, trace: iw.Occlusion()(trace, 1),
    "integrated gradients": lambda _model, trace: iw.IntegratedGradients(steps=4)(trace, 1),
    "DeepLift": lambda _model, trace: iw.DeepLift()(trace, 1),
}


# Python itself may be interrupted between opening a file and the block that closes it.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("kind", ["plain", "captured", "remembers", "draws"])
@pytest.mark.parametrize("times", [12, pytest.param(500, marks=pytest.mark.slow)])
def test_interrupts_at_random_moments_leave_nothing_behind(kind: str, times: int) -> None:
    """2,000 in the slow tests, 500 for each of four models."""
    model = MODELS[kind]().train()
    trace = iw.record(model, image())
    before, expected = everything(model), iw.Gradient()(trace, 1).values
    moments = random.Random(4)
    asks = [ask for name, ask in ASKS.items() if kind != "draws" or name in ("record", "rerun", "probe")]
    hit = 0
    for turn in range(times):
        ask = asks[turn % len(asks)]
        started = time.perf_counter()
        ask(model, trace)
        timer = threading.Timer(moments.random() * 1.2 * (time.perf_counter() - started), _thread.interrupt_main)
        try:
            timer.start()
            ask(model, trace)
            timer.join()
            time.sleep(0)  # an interrupt that came late is delivered here
        except KeyboardInterrupt:
            hit += 1
        timer.join()
        assert everything(model) == before
        if kind != "draws":
            assert torch.equal(iw.Gradient()(iw.record(model, image()), 1).values, expected)
    assert hit >= times // 6
    assert copy.copy(signal.getsignal(signal.SIGINT)) is signal.default_int_handler


class MovesItsWeight(nn.Module):
    """Writes into a parameter whenever it runs; ``how`` says by which call."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)
        self.how = how

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            if self.how == "in place":
                self.inner.weight.mul_(0.5)
            elif self.how == "part":
                self.inner.weight[0] = 0.0
            elif self.how == "out":
                torch.mul(self.inner.bias, 2.0, out=self.inner.bias)
        found: torch.Tensor = self.inner(values)
        return found


@pytest.mark.parametrize("how", ["in place", "part", "out"])
def test_a_model_that_writes_into_its_parameters_is_refused_and_not_changed(how: str) -> None:
    model = MovesItsWeight(how)
    before = {name: (parameter.clone(), parameter._version) for name, parameter in model.named_parameters()}
    with pytest.raises(ModelError, match=r"the model writes into its parameter 'inner.(weight|bias)'"):
        iw.record(model, torch.rand(2, 4))
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name][0])
        assert parameter._version == before[name][1]


def test_an_embedding_that_renorms_its_rows_is_recorded() -> None:
    model = nn.Sequential(nn.Embedding(5, 4, max_norm=0.1), nn.Flatten(), nn.Linear(8, 2))
    tokens = torch.tensor([[1, 2]])
    expected = model(tokens).detach()
    found = iw.record(model, tokens).activation("2")
    torch.testing.assert_close(found, expected)  # each call rounds the rows anew, the model's own as well


def test_a_write_that_torch_does_not_count_is_remembered_once_it_was_found() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    trace = iw.record(model, torch.rand(1, 4))
    model[2].weight.data.mul_(2)
    assert not trace.stale
    with pytest.raises(StaleError, match=r"'2\.weight' has changed"):
        trace.gradient("0", 0)
    assert trace.stale


def test_a_half_imported_compiler_has_compiled_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may be importing it, by making an optimiser for instance."""
    monkeypatch.setitem(sys.modules, "torch._dynamo.eval_frame", types.ModuleType("eval_frame"))
    assert iw.record(nn.Linear(4, 3), torch.rand(1, 4)).prediction in range(3)
