"""How fast the recording answers, beside pytorch-grad-cam, Captum and torch-cam in one run.

``python -m tests.benchmarks.live`` prints a table with the target beside each number and writes ``results/live.json``.
A missed target is no failure: this is a measurement. A part that raises is reported and the others go on; then the exit
code is 1. What each part measures:

- shadow: looking over a kept shadow and putting it back, over a plain forward pass; looking through all weights for
  writes that torch does not count; what the recorder does at each site.
- cold: ``record`` and a first Grad-CAM, over a plain forward pass with a backward pass to the input;
  the models of the zoo take a few milliseconds, so that the fixed cost of a recording shows.
- again: the same while another trace of the model is there, as in an Explorer.
- warm: an answer that is in the recording's cache, each question asked once: a channel of some layer; another layer,
  method or class whose gradient was prefetched. The time is everything the kernel does: the map, its quantising to
  bytes, the message. Methods that need more than that gradient are left out, and named.
- class: a class never asked before, at the last and at a middle layer: one backward pass from the recorded graph, over
  a plain ``torch.autograd.grad`` to that layer. Beside it the least that any Grad-CAM costs: that backward pass and
  the formula.
- memory: the peak of torch's allocations on top of model and input, and of the resident set, in fresh processes.
- import: ``import interp_widgets`` over ``import torch, torchvision``, in fresh processes.
- bytes, explorer: what one ``Picture``, and what the whole Explorer, sends for a change of class or layer; the
  Explorer's answer, and with everything that it prefetches afterwards.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any
from unittest.mock import patch

import torch
from ipywidgets import Widget
from torch import nn

import interp_widgets as iw
from interp_widgets.trace.shadow import Shadow, shadow_of
from interp_widgets.widgets.kit.picture import Picture
from tests.benchmarks.fresh import imports, memory
from tests.benchmarks.measure import Parts, Row, describe_machine, interleaved, p95, parser_for, seconds, write_json
from tests.benchmarks.peers import (
    LAYERS,
    PEERS,
    PGC_METHODS,
    ZOO,
    activation_of,
    build,
    plain_backward_to,
    plain_pass,
    pytorch_grad_cam_call,
)

MODELS = ("resnet18", "resnet50", "vit_b_16")  # of those in ``LAYERS``, what is measured unless told otherwise


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
        "ours, to the input": lambda _: iw.Gradient()(iw.record(model, image), 7),
        "ours, record alone": lambda _: iw.record(model, image),
        **{peer: lambda _, call=call: call(model, image, layer, 7) for peer, call in PEERS.items()},
    }
    times = interleaved(_that_work(calls), rounds)
    plain = statistics.median(times["plain"])
    ratio = statistics.median(ours / base for ours, base in zip(times["ours"], times["plain"], strict=True))
    yield Row(
        "cold: record + first Grad-CAM, over plain",
        name,
        ratio,
        "x",
        _first_target(name),
        note=f"plain {plain * 1e3:.0f} ms",
    )
    for other in times.keys() - {"plain", "ours"}:
        yield Row(f"cold: {other}, over plain", name, statistics.median(times[other]) / plain, "x")


def again(name: str, model: nn.Module, image: torch.Tensor, rounds: int) -> Iterator[Row]:
    """As ``cold``, while a trace of the model is there: its copy of the model serves again."""
    with iw.record(model, image):
        calls: dict[str, Callable[[int], object]] = {
            "plain": lambda _: plain_pass(model, image, 7),
            "ours": lambda _: _first_map(model, image),
        }
        times = interleaved(calls, rounds)
    ratio = statistics.median(ours / base for ours, base in zip(times["ours"], times["plain"], strict=True))
    yield Row("again: record + first Grad-CAM, over plain", name, ratio, "x", _first_target(name))


def _first_target(name: str) -> float:
    return 2.0 if name in ZOO else 1.3


def shadow(name: str, model: nn.Module, image: torch.Tensor, rounds: int) -> Iterator[Row]:
    """What it costs that a pass runs on a copy, and what the recorder does at each site."""
    trace = iw.record(model, image)
    subject = shadow_of(model)  # in use by the trace, so the next recordings run on it too

    def stage(_: int) -> None:
        if subject is not shadow_of(model):
            raise RuntimeError("the shadow was not kept")
        with subject.running(None):
            pass

    calls: dict[str, Callable[[int], object]] = {
        "plain": lambda _: _forward(model, image),
        "stage": stage,
        "sums": lambda _: subject.memory.sums(subject.memory.names),
        "make": lambda _: Shadow(model),
        "record": lambda _: iw.record(model, image),
    }
    times = {call: statistics.median(measured) for call, measured in interleaved(calls, rounds).items()}
    plain = times["plain"]
    yield Row("shadow: kept, looked over and put back, over plain forward", name, times["stage"] / plain, "x", 0.1)
    yield Row("shadow: made anew", name, times["make"] * 1e3, "ms")
    yield Row("shadow: all weights looked through, over plain forward", name, times["sums"] / plain, "x")
    each = (times["record"] - plain - times["stage"] - times["sums"]) / len(trace.sites)
    yield Row("record: the recorder, per site", name, each * 1e6, "us", 60, note=f"{len(trace.sites)} sites")


def _forward(model: nn.Module, image: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = model(image)
    return output


def _first_map(model: nn.Module, image: torch.Tensor) -> iw.Attribution:
    return iw.GradCAM()(iw.record(model, image), 7)


def warm(name: str, model: nn.Module, image: torch.Tensor, rounds: int, peer_rounds: int) -> Iterator[Row]:
    trace = iw.record(model, image)
    last = trace.default_layer()
    layers = [layer for layer in trace.layers if trace.is_spatial(layer) and trace.site(layer).differentiable]
    layers = layers[:: max(1, len(layers) // 12)][-12:]
    grad_cam, target = iw.GradCAM(), 7
    trace.gradients(layers, target)
    methods = _answered_from_the_cache(trace, target, layers[-1])
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
        raise RuntimeError(
            f"{trace.backward_passes - before} warm questions were answered by backward passes: their gradients were "
            "evicted, or a method asked for others"
        )
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
    for peer, typical in theirs.items():
        yield Row(f"warm: {peer}, one Grad-CAM", name, typical * 1e3, "ms")
    captum_activation = interleaved({"activation": lambda i: activation_of(model, image, layers[i % len(layers)])}, 5)
    yield Row(
        "warm: captum, one layer's activation", name, statistics.median(captum_activation["activation"]) * 1e3, "ms"
    )


def _answered_from_the_cache(trace: iw.Trace, target: int, layer: str) -> list[iw.Explainer]:
    """The methods that explain a layer by its activation and the gradient that is cached there; prints the others.

    Which they are is seen, not listed: a new method that needs more is left out by itself.
    """
    answered, left_out = [], []
    for name, kind in iw.EXPLAINERS.items():
        if not kind.at_layer:
            continue
        method = kind()
        before = trace.backward_passes
        estimates = method.stream(trace, target, layer)
        is_one_shot = next(estimates).total == 1
        needs_more = method.own_pass or trace.backward_passes > before or not is_one_shot
        (left_out if needs_more else answered).append((name, method))
    print(f"  warm methods leave out {', '.join(name for name, _ in left_out)}: they need more than one gradient")
    return [method for _, method in answered]


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
    for place, layer in (("last", trace.default_layer()), ("middle", LAYERS[name][1])):
        backward, activation = plain_backward_to(model, image, layer), trace.maps(layer)[0]
        calls: dict[str, Callable[[int], object]] = {
            "plain": lambda i, backward=backward: backward(200 + i),
            "formula": lambda i, layer=layer, backward=backward, activation=activation: iw.GradCAM().attribute(
                activation, trace.maps(layer, backward(800 + i))[0]
            ),
            "ours": lambda i, layer=layer: iw.GradCAM()(trace, 200 + i, layer),
            "gradient": lambda i, layer=layer: trace.gradient(layer, 500 + i),
        }
        times = interleaved(calls, rounds, warm_up=3)
        plain, ours = statistics.median(times["plain"]), statistics.median(times["ours"])
        note = f"plain {plain * 1e3:.2f} ms, ours {ours * 1e3:.2f} ms"
        yield Row(f"class: new, {place} layer, over plain backward", name, ours / plain, "x", 1.2, note=note)
        gradient, formula = statistics.median(times["gradient"]), statistics.median(times["formula"])
        yield Row(f"class: new, {place} layer, its gradient alone", name, gradient / plain, "x")
        yield Row(f"class: new, {place} layer, plain backward and formula", name, formula / plain, "x")
        peers = interleaved(
            _that_work(
                {p: lambda i, call=call, layer=layer: call(model, image, layer, 300 + i) for p, call in PEERS.items()}
            ),
            peer_rounds,
        )
        for peer, measured in peers.items():
            yield Row(f"class: new, {place} layer, faster than {peer}", name, statistics.median(measured) / ours, "x")


def message_bytes(name: str, model: nn.Module, image: torch.Tensor) -> Iterator[Row]:
    """One map per change, as ``Picture`` sends it."""
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


def explorer_bytes(name: str, model: nn.Module, image: torch.Tensor) -> Iterator[Row]:
    """All messages of an Explorer, JSON and buffers: until the answer is drawn, and until all is quiet."""
    sent = [0]

    def count(_widget: Widget, message: Any, buffers: Any = None) -> None:
        sent[0] += len(json.dumps(message, default=str)) + sum(memoryview(buffer).nbytes for buffer in buffers or [])

    with patch.object(Widget, "_send", count), iw.explore(model, image) as explorer:
        for widget in list(widgets_of(explorer)):
            if isinstance(widget, Picture):
                widget._greeted = True
        explorer.wait()
        layers = [layer for layer in explorer.session.trace.layers if explorer.session.trace.is_spatial(layer)]
        changes: dict[str, list[Any]] = {"target": list(range(40, 50)), "layer": layers[:: max(1, len(layers) // 10)]}
        for trait, values in changes.items():
            answers, totals = [], []
            for value in values:
                sent[0] = 0
                setattr(explorer.session, trait, value)
                answers.append(_sent_with_the_answer(explorer, sent))
                explorer.wait()
                totals.append(sent[0])
            what = "class" if trait == "target" else trait
            for label, counts, limit in (("answer", answers, 20), ("with prefetching", totals, None)):
                note = f"largest {max(counts) / 1e3:.1f} kB"
                size = statistics.median(counts) / 1e3
                yield Row(f"bytes: Explorer, a {what} change, {label}", name, size, "kB", limit, note=note)


def _sent_with_the_answer(explorer: iw.Explorer, sent: list[int]) -> int:
    """Bytes until the picture shows what was asked for."""
    picture = explorer.controls["attribution"]
    while picture.busy or not picture.has(picture.row, picture.column):
        time.sleep(0.0005)
    return sent[0]


def widgets_of(widget: Widget) -> Iterator[Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_of(child)


PARTS: dict[str, Callable[[str, nn.Module, torch.Tensor, argparse.Namespace], Iterator[Row]]] = {
    "again": lambda name, model, image, options: again(name, model, image, options.rounds),
    "shadow": lambda name, model, image, options: shadow(name, model, image, options.rounds),
    "cold": lambda name, model, image, options: cold(name, model, image, options.rounds),
    "warm": lambda name, model, image, options: warm(
        name, model, image, 3 * options.rounds, max(1, options.rounds // 3)
    ),
    "class": lambda name, model, image, options: new_class(
        name, model, image, 2 * options.rounds, max(1, options.rounds // 3)
    ),
    "bytes": lambda name, model, image, _options: message_bytes(name, model, image),
    "explorer": lambda name, model, image, _options: explorer_bytes(name, model, image),
    "memory": lambda name, _model, _image, options: memory(name, options.threads, min(3, options.rounds)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything asked for, print the table, write the JSON; the exit code."""
    parser = parser_for("live", __doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(LAYERS))
    parser.add_argument("--parts", nargs="+", default=[*PARTS, "import"], choices=[*PARTS, "import"])
    parser.add_argument("--rounds", type=int, default=15, help="of what is slow; quick questions are asked more often")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    machine = describe_machine(options.threads)
    print(" ".join(f"{key}={value}" for key, value in machine.items()), flush=True)
    rows: list[Row] = []
    parts = Parts()

    def report(part: str, measured: Callable[[], Iterator[Row]]) -> None:
        with parts.part(part):
            for row in measured():
                rows.append(row)
                print(row, flush=True)
        document = {"machine": machine, "rows": [{**asdict(row), "met": row.met} for row in rows]}
        # after each part, so that a run that is stopped leaves what it had
        write_json(options.results, "live", document)

    for name in options.models:
        for part in options.parts:
            if part in PARTS:
                report(f"{part}, {name}", lambda part=part, name=name: PARTS[part](name, *build(name), options))
    if "import" in options.parts:
        report("import", lambda: imports(max(1, options.rounds // 2)))
    judged = [row for row in rows if row.met is not None]
    print(f"{sum(bool(row.met) for row in judged)} of {len(judged)} targets met")
    for row in judged:
        if not row.met:
            print("missed:", row)
    print(f"written to {options.results / 'live.json'}")
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
