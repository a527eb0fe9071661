"""How fast the recording answers, beside pytorch-grad-cam, Captum and torch-cam in one run.

``python -m tests.benchmarks.live`` prints a table with the target beside each number and writes ``results/live.json``.
Nothing here fails: it is a measurement, and it says which targets were missed. What each part measures:

- cold: ``record`` and a first Grad-CAM, over a plain forward pass with a backward pass to the input.
- warm: an answer that is in the recording's cache, each question asked once: a channel of some layer; another layer, method or
  class whose gradient was prefetched. The time is everything the kernel does: the map, its quantising to bytes, the message.
- class: a class never asked before, at the last and at a middle layer: one backward pass from the recorded graph, over a plain
  ``torch.autograd.grad`` to that layer.
- memory: the peak of torch's allocations on top of model and input, and of the resident set, in fresh processes.
- import: ``import interp_widgets`` over ``import torch, torchvision``, in fresh processes.
- bytes: what ``Picture`` sends for a change of class or layer.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

import interp_widgets as iw
from interp_widgets.widgets.picture import Picture
from tests.benchmarks.measure import describe_machine, fresh_process, interleaved, p95, seconds
from tests.benchmarks.peers import (
    PEERS,
    PGC_METHODS,
    activation_of,
    plain_backward_to,
    plain_pass,
    pytorch_grad_cam_call,
)

RESULTS = Path(__file__).parent / "results"
MIDDLE = {"resnet18": "layer2", "resnet50": "layer2", "vit_b_16": "encoder.layers.encoder_layer_5"}


@dataclass(frozen=True)
class Row:
    """One number: ``limit`` is its target, ``None`` for what is only reported."""

    what: str
    model: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        goal = "" if self.limit is None else f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return f"{self.model:<10} {self.what:<52} {self.value:>10.3g} {self.unit:<3} {goal:<12} {verdict:<7}{self.note}"


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Random weights, none of them zero (ViT's head starts at zero, and then every gradient is zero too)."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    for parameter in model.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.02)
    return model, torch.randn(1, 3, 224, 224)


class Listener:
    """A ``Picture`` whose browser has said hello; it counts the bytes it is sent."""

    def __init__(self) -> None:
        self.picture = Picture(size=320)
        self.picture._greeted = True
        self.bytes = 0
        self.picture._send = self._count  # what ipywidgets calls to hand a message to the kernel
        self._column = 0

    def show(self, values: Any) -> None:
        """Everything between a map and the wire: quantise, encode, choose the frame."""
        self._column += 1
        self.picture.put(0, self._column, values, lo=None)
        self.picture.column = self._column

    def _count(self, message: Any, buffers: Any = None) -> None:
        self.bytes += len(json.dumps(message, default=str)) + sum(len(buffer) for buffer in buffers or [])


def cold(name: str, model: nn.Module, image: torch.Tensor, rounds: int) -> Iterator[Row]:
    layer = iw.record(model, image).default_layer()
    calls: dict[str, Callable[[int], object]] = {
        "plain": lambda _: plain_pass(model, image, 7),
        "ours": lambda _: _first_map(model, image),
        **{peer: lambda _, call=call: call(model, image, layer, 7) for peer, call in PEERS.items()},
    }
    times = interleaved(_that_work(calls), rounds)
    plain = statistics.median(times["plain"])
    ratio = statistics.median(ours / base for ours, base in zip(times["ours"], times["plain"], strict=True))
    yield Row("cold: record + first Grad-CAM, over plain", name, ratio, "x", 1.3, note=f"plain {plain * 1e3:.0f} ms")
    for peer in PEERS.keys() & times.keys():
        yield Row(f"cold: {peer}, over plain", name, statistics.median(times[peer]) / plain, "x")


def _first_map(model: nn.Module, image: torch.Tensor) -> iw.Attribution:
    return iw.GradCAM()(iw.record(model, image), 7)


def warm(name: str, model: nn.Module, image: torch.Tensor, rounds: int, peer_rounds: int) -> Iterator[Row]:
    trace = iw.record(model, image)
    last = trace.default_layer()
    layers = [layer for layer in trace.layers if trace.is_spatial(layer) and trace.site(layer).differentiable]
    layers = layers[:: max(1, len(layers) // 12)][-12:]
    methods = [kind() for kind in iw.EXPLAINERS.values() if kind.at_layer]
    grad_cam, target = iw.GradCAM(), 7
    trace.gradients(layers, target)
    for k in range(100, 100 + rounds):
        trace.gradients([last], k)
    for layer in layers:
        trace.activation(layer)
    listener = Listener()

    def show_channel(question: tuple[str, int]) -> None:
        layer, channel = question
        listener.show(trace.maps(layer)[0, channel].numpy())

    def show_map(question: tuple[iw.Explainer, int, str]) -> None:
        explainer, k, layer = question
        listener.show(explainer(trace, k, layer).array)

    questions: dict[str, tuple[Callable[[Any], None], list[Any]]] = {
        "channel": (show_channel, [(layer, c) for c in range(rounds) for layer in layers][:rounds]),
        "layer": (show_map, [(grad_cam, target, layer) for layer in layers]),
        "method": (show_map, [(m, target, layer) for layer, m in product(layers[-6:], methods)]),
        "class": (show_map, [(grad_cam, k, last) for k in range(100, 100 + rounds)]),
    }
    show_map((grad_cam, target, last))  # the very first call of a kernel of torch's is not what is measured
    before = trace.backward_passes
    ours = {what: _each(ask, asked) for what, (ask, asked) in questions.items()}
    if trace.backward_passes != before:
        raise RuntimeError("a warm question was answered by a backward pass: its gradient was evicted")
    peers = _peer_calls(model, image, last, layers, peer_rounds)
    fastest = min(peers, key=lambda peer: statistics.median(peers[peer]))
    theirs = {peer: statistics.median(times) for peer, times in peers.items()}
    for what, times in ours.items():
        typical = statistics.median(times)
        note = f"p95 {p95(times) * 1e3:.2f} ms, {len(times)} questions"
        yield Row(f"warm: {what}, kernel part", name, typical * 1e3, "ms", 5, note=note)
        yield Row(
            f"warm: {what}, faster than pytorch-grad-cam", name, theirs["pytorch-grad-cam"] / typical, "x", 200, True
        )
        yield Row(f"warm: {what}, faster than {fastest}", name, theirs[fastest] / typical, "x", 50, True)
    for peer, time in theirs.items():
        yield Row(f"warm: {peer}, one Grad-CAM", name, time * 1e3, "ms")
    captum_activation = interleaved({"activation": lambda i: activation_of(model, image, layers[i % len(layers)])}, 5)
    yield Row(
        "warm: captum, one layer's activation", name, statistics.median(captum_activation["activation"]) * 1e3, "ms"
    )


def _each(ask: Callable[[Any], None], questions: list[Any]) -> list[float]:
    """Seconds of each question, each asked once."""
    gc.collect()
    return [seconds(lambda question=question: ask(question)) for question in questions]  # type: ignore[misc]


def _peer_calls(
    model: nn.Module, image: torch.Tensor, last: str, layers: list[str], rounds: int
) -> dict[str, list[float]]:
    """The peers' answer to the same kinds of question: another class, another layer, another method."""
    del layers
    calls: dict[str, Callable[[int], object]] = {
        peer: lambda i, call=call: call(model, image, last, 100 + i) for peer, call in PEERS.items()
    }
    calls["pytorch-grad-cam"] = lambda i: pytorch_grad_cam_call(
        model, image, last, 100 + i, PGC_METHODS[i % len(PGC_METHODS)]
    )
    return interleaved(_that_work(calls), rounds)


def _that_work(calls: dict[str, Callable[[int], object]]) -> dict[str, Callable[[int], object]]:
    """Without the peers that cannot do this model, such as torch-cam on a ViT without a reshape of its own."""
    working = {}
    for name, call in calls.items():
        try:
            call(0)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            if name in ("plain", "ours"):
                raise
            print(f"  {name} is left out: {type(error).__name__}: {str(error)[:90]}")
        else:
            working[name] = call
    return working


def new_class(name: str, model: nn.Module, image: torch.Tensor, rounds: int, peer_rounds: int) -> Iterator[Row]:
    trace = iw.record(model, image)
    for place, layer in (("last", trace.default_layer()), ("middle", MIDDLE[name])):
        backward = plain_backward_to(model, image, layer)
        calls: dict[str, Callable[[int], object]] = {
            "plain": lambda i, backward=backward: backward(200 + i),
            "ours": lambda i, layer=layer: iw.GradCAM()(trace, 200 + i, layer),
            "gradient": lambda i, layer=layer: trace.gradient(layer, 500 + i),
        }
        times = interleaved(calls, rounds, warm_up=3)
        plain, ours = statistics.median(times["plain"]), statistics.median(times["ours"])
        note = f"plain {plain * 1e3:.2f} ms, ours {ours * 1e3:.2f} ms"
        yield Row(f"class: new, {place} layer, over plain backward", name, ours / plain, "x", 1.2, note=note)
        gradient = statistics.median(times["gradient"])
        yield Row(f"class: new, {place} layer, its gradient alone", name, gradient / plain, "x")
        peers = interleaved(
            _that_work(
                {p: lambda i, call=call, layer=layer: call(model, image, layer, 300 + i) for p, call in PEERS.items()}
            ),
            peer_rounds,
        )
        for peer, measured in peers.items():
            yield Row(f"class: new, {place} layer, faster than {peer}", name, statistics.median(measured) / ours, "x")


MEMORY = """
import ctypes, gc, json, sys, torch
torch.set_num_threads({threads})
import interp_widgets as iw
from tests.benchmarks.live import build
from tests.benchmarks.peers import PEERS, plain_pass
from torch.profiler import ProfilerActivity, profile

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

def run(what, small):
    model, image = small
    if what == "plain":
        return plain_pass(model, image, 7)
    if what == "ours":
        trace = iw.record(model, image)
        return trace, iw.GradCAM()(trace, 7)
    return PEERS[what](model, image, {layer!r}, 7)

what = {what!r}
subject = build({name!r})
import torchvision
tiny = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 222 * 222, 8))
run("ours" if what == "ours" else "plain", (tiny.eval(), subject[1]))  # what libraries allocate once
gc.collect()
ctypes.CDLL("libc.so.6").malloc_trim(0)
if {allocations}:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        kept = run(what, subject)
    now = peak = 0
    memory = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(memory, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    print(json.dumps(peak))
else:
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    kept = run(what, subject)
    print(json.dumps(status("VmHWM") - before))
"""


def memory(name: str, threads: int, rounds: int) -> Iterator[Row]:
    layer = "layer4" if name.startswith("resnet") else "encoder.layers.encoder_layer_10"
    for what, allocations, repeats in (("allocations", True, 1), ("resident set", False, rounds)):
        found: dict[str, list[float]] = {"plain": [], "ours": [], "pytorch-grad-cam": [], "captum": []}
        for _ in range(repeats):
            for contender, values in found.items():
                code = MEMORY.format(name=name, what=contender, layer=layer, threads=threads, allocations=allocations)
                values += fresh_process(code)
        plain = statistics.median(found.pop("plain"))
        for contender, values in found.items():
            ours = contender == "ours"
            label = "record + first Grad-CAM" if ours else contender
            yield Row(
                f"memory: peak {what}, {label}, over plain",
                name,
                statistics.median(values) / plain,
                "x",
                1.4 if ours else None,
                note=f"plain {plain / 2**20:.0f} MiB",
            )


IMPORT = """
import json, sys, time
started = time.perf_counter()
import {what}
took = time.perf_counter() - started
loaded = [name for name in ("matplotlib", "ipywidgets", "IPython", "ipycanvas", "scipy", "torchvision") if name in sys.modules]
print(json.dumps([took, loaded]))
"""


def imports(rounds: int) -> Iterator[Row]:
    base, ours, loaded = [], [], []
    for _ in range(rounds):
        base.append(fresh_process(IMPORT.format(what="torch, torchvision"))[0][0])
        took, loaded = fresh_process(IMPORT.format(what="torch, torchvision, interp_widgets"))[0]
        ours.append(took)
    more = statistics.median(ours) - statistics.median(base)
    note = f"torch, torchvision {statistics.median(base):.2f} s; loaded besides: {', '.join(loaded) or 'nothing'}"
    yield Row("import: interp_widgets, over torch and torchvision", "", more, "s", 0.5, note=note)


def message_bytes(name: str, model: nn.Module, image: torch.Tensor) -> Iterator[Row]:
    """One map per change, as ``Picture`` sends it; ``explorer_bytes`` counts all that the Explorer sends."""
    trace = iw.record(model, image)
    last = trace.default_layer()
    sizes: dict[str, list[int]] = {"class": [], "layer": []}
    for k in range(5):
        sizes["class"].append(_bytes_of(iw.GradCAM()(trace, k, last).array))
    layers = [layer for layer in trace.layers if trace.is_spatial(layer) and trace.site(layer).differentiable]
    for layer in layers:
        sizes["layer"].append(_bytes_of(iw.GradCAM()(trace, 7, layer).array))
    for what, counts in sizes.items():
        note = f"largest {max(counts) / 1e3:.1f} kB"
        yield Row(f"bytes: Picture, a {what} change", name, statistics.median(counts) / 1e3, "kB", 20, note=note)


def _bytes_of(values: Any) -> int:
    listener = Listener()
    listener.show(values)
    listener.picture.close()
    return listener.bytes


def main() -> None:
    """Run everything asked for, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MIDDLE), choices=list(MIDDLE))
    parser.add_argument("--parts", nargs="+", default=["cold", "warm", "class", "memory", "import", "bytes"])
    parser.add_argument("--rounds", type=int, default=15, help="of what is slow; quick questions are asked more often")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = describe_machine(options.threads)
    print(" ".join(f"{key}={value}" for key, value in machine.items()))
    rows: list[Row] = []

    def report(found: Iterator[Row]) -> None:
        for row in found:
            rows.append(row)
            print(row, flush=True)

    for name in options.models:
        model, image = build(name)
        if "cold" in options.parts:
            report(cold(name, model, image, options.rounds))
        if "warm" in options.parts:
            report(warm(name, model, image, 40, max(5, options.rounds // 3)))
        if "class" in options.parts:
            report(new_class(name, model, image, 30, max(5, options.rounds // 3)))
        if "bytes" in options.parts:
            report(message_bytes(name, model, image))
        if "memory" in options.parts:
            report(memory(name, options.threads, 3))
    if "import" in options.parts:
        report(imports(7))
    judged = [row for row in rows if row.met is not None]
    print(f"{sum(bool(row.met) for row in judged)} of {len(judged)} targets met")
    for row in judged:
        if not row.met:
            print("missed:", row)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "live.json"
    document = {"machine": machine, "rows": [{**asdict(row), "met": row.met} for row in rows]}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
