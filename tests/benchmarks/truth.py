"""Do maps point at what decided? Every method on held-out scenes whose deciding object is known, beside controls.

``python -m tests.benchmarks.truth`` prints one table per model and writes its JSON. For ``scenes`` and ``scenes-vit``
the truth is the mask of the object that names the class; for ``scenes-shortcut`` the watermark that gives it away.
Only inputs that the model gets right are counted: otherwise the truth is not what decided.

- hits: the pointing game, how often the map's highest position lies in the mask (Zhang et al. 2016), with Wilson's 95 %
  interval; where several positions share the highest value (a coarse cell, a segment), the share of them in the mask;
- inside: share of the map's positive part that lies in the mask, mean and 95 % interval of the mean;
- verdict: against the best of the controls (a random map, an edge detector, the size of the input), by the intervals
  of the share inside.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import interp_widgets as iw
from interp_widgets.errors import InterpError
from interp_widgets.render.blend import resample
from interp_widgets.zoo import Example, ZooEntry, held_out
from tests.benchmarks.measure import Parts, configured, describe_machine, parser_for, write_json

MODELS = ("scenes", "scenes-vit", "scenes-shortcut")
Z = 1.96  # of a 95 % interval
ROUNDING = 1e-6  # of the map's range: what single precision leaves between positions interpolated from one value

Map = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """How well one method does on one model."""

    model: str
    method: str
    control: bool
    count: int
    hits: float
    hits_low: float
    hits_high: float
    inside: float
    inside_margin: float
    seconds: float
    verdict: str = ""

    def __str__(self) -> str:
        hits = f"{self.hits:6.1%} ({self.hits_low:.0%}-{self.hits_high:.0%})"
        return (
            f"{self.method:<26}{hits:>20}   {self.inside:6.1%} ± {self.inside_margin:4.1%}   "
            f"{self.seconds * 1e3:8.1f} ms   {self.verdict}"
        )


def random_map(image: NDArray[np.uint8], number: int) -> Map:
    """Noise at the resolution of a late layer, smooth as those maps are."""
    noise = np.random.default_rng(number).random((12, 12))
    return resample(noise, *image.shape[:2])


def edges(image: NDArray[np.uint8], _number: int) -> Map:
    """Sobel's gradient of the brightness."""
    grey = np.pad(image.mean(axis=2), 1, mode="edge")
    smooth = np.array([1.0, 2.0, 1.0])
    across = sum(weight * grey[i : i + image.shape[0]] for i, weight in enumerate(smooth))
    along = sum(weight * grey[:, i : i + image.shape[1]] for i, weight in enumerate(smooth))
    size: Map = np.hypot(across[:, 2:] - across[:, :-2], along[2:] - along[:-2])
    return size


def brightness(image: NDArray[np.uint8], _number: int) -> Map:
    """|input|: how far each pixel is from the grey in the middle."""
    distance: Map = np.abs(image.astype(np.float64) - 127.5).sum(axis=2)
    return distance


CONTROLS: dict[str, Callable[[NDArray[np.uint8], int], Map]] = {
    "random map": random_map,
    "edge detector": edges,
    "|input|": brightness,
}


def cases(name: str, count: int) -> tuple[ZooEntry, list[Example]]:
    """The model, and the held-out scenes that it gets right."""
    entry = iw.zoo.load(name)
    right = []
    for example in held_out(name, count):
        if example.mask is None or not example.mask.any():
            continue
        with torch.no_grad():
            scores = entry.model(iw.load_input(example.image, entry.preprocess))
        if int(scores.argmax()) == example.label:
            right.append(example)
    return entry, right


def measure(name: str, count: int, methods: Mapping[str, iw.Explainer], parts: Parts) -> Iterator[Score]:
    """One score per control and method; a method that raises what it should not is a part that failed."""
    entry, examples = cases(name, count)
    images = [np.asarray(example.image.convert("RGB")) for example in examples]
    for title, control in CONTROLS.items():
        yield _score(name, title, [control(image, i) for i, image in enumerate(images)], examples, 0.0, control=True)
    # one recording per image would keep all of them; the methods of one image share it
    found: dict[str, list[Map | None]] = {method: [] for method in methods}
    took = dict.fromkeys(methods, 0.0)
    for example in examples:
        with iw.record(entry.model, iw.load_input(example.image, entry.preprocess)) as trace:
            for method in list(found):
                started = time.perf_counter()
                try:
                    values = methods[method](trace, example.label).array
                except InterpError:
                    found[method].append(None)
                    continue
                except Exception:  # noqa: BLE001 - reported, and the other methods go on
                    parts.report(f"{name}, {method}")
                    del found[method]
                    continue
                took[method] += time.perf_counter() - started
                found[method].append(resample(values, *np.asarray(example.image).shape[:2]))
    for method, all_maps in found.items():
        maps = [each for each in all_maps if each is not None]
        truths = [example for each, example in zip(all_maps, examples, strict=True) if each is not None]
        if maps:
            yield _score(name, iw.EXPLAINERS[method].title, maps, truths, took[method] / len(maps), control=False)
        else:
            print(f"{iw.EXPLAINERS[method].title:<26} refuses this model")


def _score(
    model: str, method: str, maps: list[Map], examples: list[Example], seconds: float, *, control: bool
) -> Score:
    hits, shares = [], []
    for values, example in zip(maps, examples, strict=True):
        mask = example.mask
        assert mask is not None
        positive = values.clip(min=0)
        hits.append(float(mask[values >= values.max() - ROUNDING * np.ptp(values)].mean()) if positive.any() else 0.0)
        shares.append(float(positive[mask].sum() / positive.sum()) if positive.any() else 0.0)
    rate, count = float(np.mean(hits)), len(hits)
    centre = (rate + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(rate * (1 - rate) / count + Z**2 / (4 * count**2))
    margin = Z * float(np.std(shares, ddof=1)) / math.sqrt(count)
    return Score(
        model, method, control, count, rate, centre - half, centre + half, float(np.mean(shares)), margin, seconds
    )


def judged(scores: list[Score]) -> list[Score]:
    """The same with a verdict, the best first."""
    best = max((score for score in scores if score.control), key=lambda score: score.inside)
    result = []
    for score in scores:
        if score.control:
            verdict = "control"
        elif score.inside - score.inside_margin > best.inside + best.inside_margin:
            verdict = "better than every control"
        elif score.inside + score.inside_margin < best.inside - best.inside_margin:
            verdict = f"WORSE than {best.method}"
        else:
            verdict = f"no better than {best.method}"
        result.append(Score(**{**asdict(score), "verdict": verdict}))
    return sorted(result, key=lambda score: -score.inside)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything asked for, print the tables, write the JSON; the exit code."""
    parser = parser_for("truth", __doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--methods", nargs="+", default=list(iw.EXPLAINERS), choices=list(iw.EXPLAINERS))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--samples", type=int, help="of the methods that take several (default: as each comes)")
    parser.add_argument("--threads", type=int, default=2, help="1 where the models run in processes side by side")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    machine = describe_machine(options.threads)
    methods = {name: configured(name, options.samples) for name in options.methods}
    parts = Parts()
    for name in options.models:
        with parts.part(name):
            scores = judged(list(measure(name, options.images, methods, parts)))
            print(f"\n{name}: {scores[0].count} of {options.images} held-out scenes, those it gets right")
            print(f"{'method':<26}{'hits (95 %)':>20}   {'inside (95 %)':>14}   {'per image':>11}")
            for score in scores:
                print(score)
            document = {"machine": machine, "scores": [asdict(score) for score in scores]}
            print(f"written to {write_json(options.results, f'truth_{name}', document)}", flush=True)
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
