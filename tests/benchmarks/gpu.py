"""How fast it is on a graphics card: ``python -m tests.benchmarks.gpu``.

Prints one row per model, at 224 x 224 with random weights, and one row per method that needs many passes, with the
card's name and the targets; writes ``results/gpu.json``. Times are medians in milliseconds, the card waited for.

- forward: the plain model without autograd; + backward: with autograd, back to the input.
- record, + Grad-CAM: a recording, and a recording with its first map at the default layer, the model copied for it.
- again: the same while another trace of the model is there, whose copy of the model serves this one too.
- warm values, pixels: a Grad-CAM whose gradient is cached, as a tensor on the device and as coloured pixels in numpy.
- new class, last and middle: a Grad-CAM of a class never asked before, at the last and at a middle layer.
- memory: the peak of a recording with its first map over that of the plain pass forward and backward, both on top of
  model and input; on a card only.

``--device cpu`` measures a machine without a card, against the targets of a CPU. Missed targets are no failure; a part
that raises is reported, the others go on, and the exit code is 1.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

import interp_widgets as iw
from tests.benchmarks.measure import Parts, describe_machine, interleaved, parser_for, write_json
from tests.benchmarks.peers import LAYERS, build, plain_pass

MODELS = ("resnet50", "vit_b_16", "convnext_tiny")
MANY = "resnet50"  # the model of the methods with many passes
TARGET = 7
NAN = math.nan

# What is to be reached: of a card, of a CPU.
MOST_COLD = {"cuda": 2.5, "cpu": 1.3}  # record and first Grad-CAM over plain forward and backward
MOST_PIXELS = {"cuda": 1.0}  # ms
MOST_MEMORY = {"cuda": 1.1}  # over plain
MOST_SECONDS = {"RISE": 0.4, "ScoreCAM": 1.0, "DeepLiftSHAP": 1.0}  # on one H100


@dataclass(frozen=True)
class Subject:
    """A model and its input on the device."""

    name: str
    model: nn.Module
    image: torch.Tensor
    rounds: int

    @property
    def device(self) -> str:
        """``cuda`` or ``cpu``."""
        return self.image.device.type

    def milliseconds(self, calls: dict[str, Callable[[int], object]]) -> dict[str, float]:
        """The median of each call, in turns, the device waited for."""

        def waited_for(call: Callable[[int], object]) -> Callable[[int], object]:
            def run(number: int) -> object:
                found = call(number)
                self.wait()
                return found

            return run

        times = interleaved({name: waited_for(call) for name, call in calls.items()}, self.rounds, warm_up=2)
        return {name: 1e3 * statistics.median(each) for name, each in times.items()}

    def wait(self) -> None:
        """Return when the device has done what it was asked."""
        if self.device == "cuda":
            torch.cuda.synchronize(self.image.device)


@dataclass(frozen=True)
class ModelRow:
    """What was measured of one model, in milliseconds; NaN for what could not be measured here, or failed."""

    model: str
    device: str
    forward: float = NAN
    backward: float = NAN
    record: float = NAN
    first: float = NAN
    again: float = NAN
    values: float = NAN
    pixels: float = NAN
    last: float = NAN
    middle: float = NAN
    memory: float = NAN  # over plain

    HEAD = (
        f"{'model':14}{'forward':>9}{'+ backward':>12}{'record':>9}{'+ Grad-CAM':>12}{'again':>8}{'warm values':>13}"
        f"{'pixels':>8}{'new class, last':>17}{'middle':>8}{'memory':>9}"
    )

    def __str__(self) -> str:
        return (
            f"{self.model:14}{self.forward:9.2f}{self.backward:12.2f}{self.record:9.2f}{self.first:12.2f}{self.again:8.2f}"
            f"{self.values:13.2f}{self.pixels:8.2f}{self.last:17.2f}{self.middle:8.2f}{self.memory:8.2f}x"
        )

    def targets(self) -> Iterator[str]:
        """A sentence for each target of the device."""
        cold, again = self.first / self.backward, self.again / self.backward
        yield from _judged(f"{self.model}: record and first Grad-CAM over plain, x", cold, MOST_COLD.get(self.device))
        yield from _judged(f"{self.model}: the same, again, over plain, x", again, MOST_COLD.get(self.device))
        yield from _judged(f"{self.model}: warm pixels, ms", self.pixels, MOST_PIXELS.get(self.device))
        yield from _judged(f"{self.model}: peak memory over plain, x", self.memory, MOST_MEMORY.get(self.device))


@dataclass(frozen=True)
class MethodRow:
    """How long a method with many passes took, and how many evaluations of the model it made."""

    method: str
    device: str
    evaluations: int
    first_s: float
    total_s: float

    HEAD = f"{'method':18}{'evaluations':>12}{'first s':>10}{'total s':>10}"

    def __str__(self) -> str:
        return f"{self.method:18}{self.evaluations:12}{self.first_s:10.3f}{self.total_s:10.3f}"

    def targets(self) -> Iterator[str]:
        """The target's sentence, where there is one."""
        most = MOST_SECONDS.get(self.method) if self.device == "cuda" else None
        yield from _judged(f"{self.method}: {self.evaluations} evaluations, s", self.total_s, most)


def _judged(what: str, value: float, most: float | None) -> Iterator[str]:
    if most is not None:
        yield f"{what}: {value:.2f} <= {most:g} {'met' if value <= most else 'MISSED'}"


def passes(subject: Subject) -> dict[str, float]:
    """Plain passes and recordings."""
    model, image = subject.model, subject.image

    def forward(_number: int) -> torch.Tensor:
        with torch.no_grad():
            return model(image)

    return subject.milliseconds(
        {
            "forward": forward,
            "backward": lambda _: plain_pass(model, image, TARGET),
            "record": lambda _: iw.record(model, image),
            "first": lambda _: iw.GradCAM()(iw.record(model, image), TARGET),
        }
    )


def again(subject: Subject) -> dict[str, float]:
    """A recording with its first map beside another trace of the model."""
    with iw.record(subject.model, subject.image):
        return subject.milliseconds({"again": lambda _: iw.GradCAM()(iw.record(subject.model, subject.image), TARGET)})


def warm(subject: Subject) -> dict[str, float]:
    """Answers from what is cached."""
    with iw.record(subject.model, subject.image) as trace:
        return subject.milliseconds(
            {
                "values": lambda _: iw.GradCAM()(trace, TARGET).values,
                "pixels": lambda _: iw.GradCAM()(trace, TARGET).pixels(),
            }
        )


def new_class(subject: Subject) -> dict[str, float]:
    """Classes that were never asked for, at two layers."""
    _, middle = LAYERS[subject.name]
    with iw.record(subject.model, subject.image) as trace:
        return subject.milliseconds(
            {
                "last": lambda number: iw.GradCAM()(trace, 200 + number),
                "middle": lambda number: iw.GradCAM()(trace, 600 + number, middle),
            }
        )


def memory(subject: Subject) -> dict[str, float]:
    """The peak over that of the plain pass; nothing on a CPU, where ``tests.benchmarks.live`` measures it."""
    if subject.device != "cuda":
        return {}

    def peak(call: Callable[[], object]) -> int:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        kept = call()
        subject.wait()
        del kept
        return torch.cuda.max_memory_allocated() - before

    plain = peak(lambda: plain_pass(subject.model, subject.image, TARGET))

    def ours() -> object:
        trace = iw.record(subject.model, subject.image)
        return trace, iw.GradCAM()(trace, TARGET)

    return {"memory": peak(ours) / plain}


PARTS: dict[str, Callable[[Subject], dict[str, float]]] = {
    "passes": passes,
    "again": again,
    "warm": warm,
    "new class": new_class,
    "memory": memory,
}


def methods(masks: int | None, samples: int | None) -> list[iw.Explainer]:
    """Those whose passes fill a card, with the numbers that the targets speak of unless others are given."""
    orders = {} if samples is None else {"samples": samples}
    return [
        iw.RISE(samples=masks or 500),
        iw.ScoreCAM(),
        iw.DeepLift(),
        iw.DeepLiftSHAP(samples=samples or 16),
        iw.ShapleySampling(**orders),
    ]


def many_passes(subject: Subject, explainer: iw.Explainer) -> MethodRow:
    """The median of the rounds, the input recorded; one round before them does not count."""
    firsts, totals, evaluations = [], [], 0
    for number in range(-1, subject.rounds):
        with iw.record(subject.model, subject.image) as trace:
            subject.wait()
            started = time.perf_counter()
            times = []
            for estimate in explainer.stream(trace, TARGET):
                subject.wait()
                times.append(time.perf_counter() - started)
                evaluations = estimate.total
        if number >= 0:
            firsts.append(times[0])
            totals.append(times[-1])
    name = type(explainer).__name__
    return MethodRow(name, subject.device, evaluations, statistics.median(firsts), statistics.median(totals))


def on_device(name: str, device: str, rounds: int) -> Subject:
    """A model of ``peers.build`` there."""
    model, image = build(name)
    return Subject(name, model.to(device), image.to(device), rounds)


def describe_device(device: str) -> str:
    """The card's name and memory, or the processor's."""
    if device == "cpu":
        return str(describe_machine(torch.get_num_threads())["cpu"])
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything asked for, print the tables, write the JSON; the exit code."""
    parser = parser_for("gpu", __doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(LAYERS))
    parser.add_argument("--many", default=MANY, choices=list(LAYERS), help="the model of the methods with many passes")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--many-rounds", type=int, default=3, help="of the methods with many passes")
    parser.add_argument("--masks", type=int, help="of RISE (default: 500)")
    parser.add_argument("--samples", type=int, help="of DeepLift SHAP and Shapley sampling (default: 16, and its own)")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("This machine has no CUDA device: nothing was measured; --device cpu measures the processor instead.")
        return 0
    device = describe_device(options.device)
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads; milliseconds, medians", flush=True)
    parts = Parts()
    rows: list[ModelRow] = []
    print(ModelRow.HEAD, flush=True)
    for name in options.models:
        row = ModelRow(name, options.device)
        for part, measure in PARTS.items():
            with parts.part(f"{part}, {name}"):
                row = replace(row, **measure(on_device(name, options.device, options.rounds)))
        rows.append(row)
        print(row, flush=True)
    many: list[MethodRow] = []
    print(f"\n{options.many}\n{MethodRow.HEAD}", flush=True)
    for explainer in methods(options.masks, options.samples):
        with parts.part(f"{type(explainer).__name__}, {options.many}"):
            many.append(many_passes(on_device(options.many, options.device, options.many_rounds), explainer))
            print(many[-1], flush=True)
    print()
    for measured in (*rows, *many):
        for sentence in measured.targets():
            print(sentence)
    document = {"device": device, "models": [asdict(row) for row in rows], "methods": [asdict(row) for row in many]}
    print(f"written to {write_json(options.results, 'gpu', document)}")
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
