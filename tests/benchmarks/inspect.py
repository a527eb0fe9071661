"""The inspectors beside torchinfo, torchview and TorchLens, in turns in one process.

``python -m tests.benchmarks.inspect`` prints a table with the targets beside the numbers and writes
``results/inspect.json``. Each peer is called as its documentation says; one that is not installed, or that refuses a
model, is said in its place. Installing them: ``pip install '.[bench]'``. A missed target is no failure; a part that
raises is reported, the others go on, and the exit code is 1.
"""

from __future__ import annotations

import statistics
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torchinfo
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import interp_widgets as iw
from tests.benchmarks.measure import Parts, Row, describe_machine, interleaved, parser_for, write_json
from tests.benchmarks.peers import LAYERS, SMALL, build

MODELS = ("resnet50", "densenet121", "vit_b_16")
IMAGES, SEARCHED, BATCH = 16, 64, 8  # of the data that is streamed

Calls = dict[str, Callable[[int], object]]


def table(name: str, model: nn.Module, image: torch.Tensor, rounds: int) -> Iterator[Row]:
    """The table of modules, a pass included, and its count of operations beside that of torch."""
    calls: Calls = {"ours": lambda _: iw.summary(model, image)}
    with FlopCounterMode(display=False) as counter:
        model(image)
    counted = counter.get_total_flops()
    yield Row("FLOPs / those of torch's counter", name, iw.summary(model, image).total_flops / counted, "x", 1.0)
    calls["torchinfo"] = lambda _: torchinfo.summary(model, input_data=image, verbose=0, depth=9)
    theirs = torchinfo.summary(model, input_data=image, verbose=0)
    yield Row("torchinfo's multiply-adds x 2 / torch's", name, 2 * theirs.total_mult_adds / counted, "x")
    yield from _timed("summary", name, calls, rounds)


def graph(name: str, model: nn.Module, image: torch.Tensor, rounds: int) -> Iterator[Row]:
    """The data flow, a pass included; then its picture with every module opened."""
    calls: Calls = {"ours": lambda _: iw.graph(model, image)}
    missing = []
    try:
        import torchview

        calls["torchview"] = lambda _: torchview.draw_graph(
            model, input_data=image, expand_nested=True, depth=9, save_graph=False
        )
    except ImportError:
        missing.append("torchview is not installed")
    try:
        import torchlens

        calls["torchlens"] = lambda _: torchlens.trace(model, image)
    except ImportError:
        missing.append("torchlens is not installed")
    yield from _timed("graph", name, calls, rounds, "; ".join(missing))
    found = iw.graph(model, image)
    drawing: Calls = {"ours": lambda _: found.to_svg(opened=list(found.scopes))}
    yield from _timed(f"SVG with all of its {len(found.nodes)} nodes", name, drawing, rounds)


def weights(name: str, model: nn.Module, _image: torch.Tensor, rounds: int) -> Iterator[Row]:
    """Norms, ranks and duplicates of each parameter."""
    yield from _timed("weights", name, {"ours": lambda _: iw.weights(model)}, rounds)


def activations(name: str, model: nn.Module, image: torch.Tensor, rounds: int) -> Iterator[Row]:
    """The profile of a stream of images, beside a loop that only runs the model."""
    loader = [image.repeat(BATCH, 1, 1, 1) for _ in range(IMAGES // BATCH)]

    def plain(_: int) -> None:
        with torch.no_grad():
            for batch in loader:
                model(batch)

    calls: Calls = {"ours": lambda _: iw.activations(model, loader), "a plain loop": plain}
    yield from _timed(f"activations of {IMAGES} images", name, calls, rounds)


def search(name: str, model: nn.Module, image: torch.Tensor, rounds: int) -> Iterator[Row]:
    """The inputs that excite each channel of a layer most, beside a loop that only runs the model."""
    loader = torch.randn(SEARCHED, *image.shape[1:]).split(BATCH)
    layer = LAYERS[name][-1]

    def plain(_: int) -> None:
        with torch.no_grad():
            for batch in loader:
                model(batch)

    calls: Calls = {"ours": lambda _: iw.top_activating(model, layer, None, loader), "plain": plain}
    times = {each: statistics.median(found) for each, found in interleaved(calls, rounds).items()}
    speed = times["plain"] / times["ours"]
    yield Row(f"top_activating of {layer} / a plain loop", name, speed, "x", 0.9, at_least=True)


PARTS: Mapping[str, Callable[[str, nn.Module, torch.Tensor, int], Iterator[Row]]] = {
    "table": table,
    "graph": graph,
    "weights": weights,
    "activations": activations,
    "search": search,
}


def _timed(what: str, model: str, calls: Calls, rounds: int, note: str = "") -> Iterator[Row]:
    """The median of each call; the first is ours, and carries the note."""
    refused = {}
    for name, call in list(calls.items())[1:]:
        try:
            call(0)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is the answer
            refused[name] = f"raises {type(error).__name__}: {str(error).splitlines()[0][:60]}"
    measured = {name: call for name, call in calls.items() if name not in refused}
    medians = {name: statistics.median(times) for name, times in interleaved(measured, rounds).items()}
    for name, median in medians.items():
        yield Row(f"{what}, {name}", model, median * 1000, "ms", note=note if name == "ours" else "")
    for name, reason in refused.items():
        yield Row(f"{what}, {name}", model, float("nan"), "ms", note=reason)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write it; the exit code."""
    parser = parser_for("inspect", __doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=(*MODELS, SMALL))
    parser.add_argument("--parts", nargs="+", default=tuple(PARTS), choices=tuple(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    machine = describe_machine(torch.get_num_threads())
    print(*(f"{key}={value}" for key, value in machine.items()), flush=True)
    rows: list[dict[str, Any]] = []
    parts = Parts()
    for name in options.models:
        for part in options.parts:
            with parts.part(f"{part}, {name}"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the peers'
                for row in PARTS[part](name, *build(name), options.rounds):
                    print(row, flush=True)
                    rows.append(asdict(row))
    print(f"written to {write_json(options.results, 'inspect', {'machine': machine, 'rows': rows})}")
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
