"""Do the pixels that a map ranks first carry the class? Insertion and deletion (Petsiuk et al. 2018, arXiv:1806.07421).

``python -m tests.benchmarks.faithfulness`` prints one table per model and writes its JSON. It needs no mask, so that it
tells something about photographs, where nobody knows which pixels decided. The class is the one that is predicted; the
areas lie under its probability, over the share of the pixels from none to all.

- insertion: the highest pixels first are uncovered on the blurred picture; the higher the area, the better.
- deletion: the highest pixels first become grey, the 0 of the normalised input; the lower the area, the better.
- beats: on how many of the pictures the area is better than that of a random map.

Pixels that share a value, such as those of a segment, are taken in random order.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InterpError
from interp_widgets.explainers.baselines import blurred
from interp_widgets.render.blend import resample
from tests.benchmarks.measure import Parts, configured, describe_machine, parser_for, write_json
from tests.benchmarks.truth import CONTROLS, Map

MODELS = ("efficientnet_lite0",)  # with photographs; any of the zoo can be asked for
RANDOM = "random map"
BLUR = 5.0  # pixels of 224: the paper's


@dataclass(frozen=True)
class Areas:
    """The areas of one method on each of a model's pictures."""

    model: str
    method: str
    control: bool
    insertion: list[float]
    deletion: list[float]
    seconds: float
    insertion_beats: int = 0
    deletion_beats: int = 0

    def __str__(self) -> str:
        count = len(self.insertion)
        return (
            f"{self.method:<26}{np.mean(self.insertion):>10.3f}{np.mean(self.deletion):>10.3f}"
            f"{self.insertion_beats:>12} of {count}{self.deletion_beats:>8} of {count}{self.seconds * 1e3:>11.1f} ms"
        )


def area(
    model: nn.Module, start: torch.Tensor, end: torch.Tensor, values: Map, target: int, *, steps: int, batch: int = 8
) -> float:
    """The area under the target's probability while the pixels of ``start`` become those of ``end``, highest first.

    Args:
        model: from ``(B, C, H, W)`` to logits ``(B, classes)``.
        start: ``(C, H, W)``.
        end: ``(C, H, W)``.
        values: ``(H, W)``.
        target: a class.
        steps: in how many equal parts.
        batch: pictures at once.

    Returns:
        In 0..1, by trapezes.
    """
    noise = np.random.default_rng(0).random(values.size)
    order = np.lexsort((noise, -values.ravel()))  # the highest first, equal ones at random
    rank = np.empty(values.size, dtype=np.int64)
    rank[order] = np.arange(values.size)
    places = torch.from_numpy(rank.reshape(values.shape))  # (H, W)
    counts = torch.linspace(0, values.size, steps + 1).round()
    probabilities = []
    with torch.no_grad():
        for part in counts.split(batch):
            changed = places < part[:, None, None]  # (B, H, W)
            pictures = torch.where(changed[:, None], end, start)
            probabilities.append(model(pictures).softmax(dim=1)[:, target])
    return float(torch.trapezoid(torch.cat(probabilities), dx=1 / steps))


def measure(
    name: str, methods: Mapping[str, iw.Explainer], parts: Parts, *, steps: int, images: int
) -> Iterator[Areas]:
    """The areas of each control and method; a method that raises what it should not is a part that failed."""
    entry = iw.zoo.load(name)
    inputs = entry.inputs[:images]
    with torch.no_grad():
        targets = entry.model(inputs).argmax(dim=1).tolist()

    def areas(title: str, maps: Sequence[Map], seconds: float, *, control: bool) -> Areas:
        insertion, deletion = [], []
        for picture, values, target in zip(inputs, maps, targets, strict=True):
            vague = blurred(picture, BLUR * picture.shape[-1] / 224)
            grey = torch.zeros_like(picture)
            insertion.append(area(entry.model, vague, picture, values, target, steps=steps))
            deletion.append(area(entry.model, picture, grey, values, target, steps=steps))
        return Areas(name, title, control, insertion, deletion, seconds)

    shown = [np.asarray(entry.preprocess.crop(each.image).convert("RGB")) for each in entry.examples[:images]]
    for title, control in CONTROLS.items():
        yield areas(title, [control(image, number) for number, image in enumerate(shown)], 0.0, control=True)
    for method, explainer in methods.items():
        title = explainer.title
        started = time.perf_counter()
        try:
            maps = [
                _map(entry.model, picture, explainer, target) for picture, target in zip(inputs, targets, strict=True)
            ]
        except InterpError as error:
            print(f"{title:<26} refuses this model: {error}")
            continue
        except Exception:  # noqa: BLE001 - reported, and the other methods go on
            parts.report(f"{name}, {method}")
            continue
        yield areas(title, maps, (time.perf_counter() - started) / len(maps), control=False)


def _map(model: nn.Module, picture: torch.Tensor, explainer: iw.Explainer, target: int) -> Map:
    """The method's map, with the recording, in the size of the picture."""
    with iw.record(model, picture[None]) as trace:
        return resample(explainer(trace, target).array, *picture.shape[-2:])


def judged(found: Sequence[Areas]) -> list[Areas]:
    """The same beside the random map, the best insertion first."""
    random = next(each for each in found if each.method == RANDOM)
    result = [
        replace(
            each,
            insertion_beats=sum(a > b for a, b in zip(each.insertion, random.insertion, strict=True)),
            deletion_beats=sum(a < b for a, b in zip(each.deletion, random.deletion, strict=True)),
        )
        for each in found
    ]
    return sorted(result, key=lambda each: -float(np.mean(each.insertion)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything asked for, print the tables, write the JSON; the exit code."""
    parser = parser_for("faithfulness", __doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=iw.zoo.NAMES)
    parser.add_argument("--methods", nargs="+", default=list(iw.EXPLAINERS), choices=list(iw.EXPLAINERS))
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--steps", type=int, default=50, help="points of each curve")
    parser.add_argument("--samples", type=int, help="of the methods that take several (default: as each comes)")
    parser.add_argument("--threads", type=int, default=2, help="1 where the models run in processes side by side")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    machine = describe_machine(options.threads)
    methods = {name: configured(name, options.samples) for name in options.methods}
    parts = Parts()
    for name in options.models:
        with parts.part(name):
            found = judged(list(measure(name, methods, parts, steps=options.steps, images=options.images)))
            print(f"\n{name}: {len(found[0].insertion)} pictures, the class that it predicts")
            print(f"{'method':<26}{'insertion':>10}{'deletion':>10}{'beats: ins.':>17}{'del.':>13}{'per map':>14}")
            for each in found:
                print(each)
            document = {"machine": machine, "areas": [asdict(each) for each in found]}
            print(f"written to {write_json(options.results, f'faithfulness_{name}', document)}", flush=True)
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
