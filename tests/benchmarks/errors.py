"""Do stated errors hold? Every method that draws samples, run with many seeds, its stated error beside the spread.

``python -m tests.benchmarks.errors`` prints one table per model and writes ``results/errors.json``. Both errors are
Euclidean norms over the norm of the mean map:

- claimed: the root mean square, over the seeds, of the standard error that each map states;
- true: the standard deviation of the map over the seeds;
- ratio: claimed over true, with the standard error that so many seeds leave to a ratio of 1.

A ratio further from 1 than three of its standard errors and ``LEEWAY`` is marked, and the exit code is 1. A
completeness gap is no error of this kind: it is measured, not estimated, and does not depend on a seed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch

import interp_widgets as iw
from interp_widgets.explainers import ErrorKind
from tests.benchmarks.measure import Parts, configured, describe_machine, parser_for, write_json

MODELS = ("scenes", "digits")
SEEDS = 30
# Apart, because the baselines of sample i of ExpectedGradients and DeepLiftSHAP are drawn with seed + i.
STRIDE = 100_000
LEEWAY = 0.05  # a standard error is an estimate: of a variance whose own bias falls with the samples

STATING = [name for name, kind in iw.EXPLAINERS.items() if kind.error_kind is ErrorKind.STANDARD_ERROR]


@dataclass(frozen=True)
class Stated:
    """The error that a method states, and the one that its maps have.

    Args:
        claimed, true: relative to the mean map.
        margin: the standard error of ``claimed / true`` where that is 1.
    """

    method: str
    claimed: float
    true: float
    margin: float

    @property
    def ratio(self) -> float:
        return self.claimed / self.true

    @property
    def holds(self) -> bool:
        return abs(self.ratio - 1) <= LEEWAY + 3 * self.margin

    def __str__(self) -> str:
        verdict = "" if self.holds else "   DOES NOT HOLD"
        return f"{self.method:<26}{self.claimed:9.4f}{self.true:9.4f}   {self.ratio:5.2f} ± {self.margin:.2f}{verdict}"


def stated_and_true(
    explainer: iw.Explainer, trace: iw.Trace, target: iw.TargetLike, layer: str | None = None, *, seeds: int = SEEDS
) -> Stated:
    """The error that a method states beside the spread of its maps over many seeds.

    The margin: a variance from n seeds has the relative variance ``2 / (n - 1) * sum(v^2) / sum(v)^2``, v being the
    variances along the principal axes of the maps (Satterthwaite 1946, doi:10.2307/3002019), here those of the n maps;
    a standard deviation half the relative error. To that comes the standard error of the mean of what is stated.
    """
    found = [explainer_with(explainer, seed=STRIDE * number)(trace, target, layer) for number in range(seeds)]
    maps = torch.stack([each.values.double().flatten() for each in found])  # (seeds, positions)
    size = float(maps.mean(dim=0).norm())
    errors = [math.nan if each.error is None else each.error for each in found]
    squares = torch.tensor(errors).double().square() * maps.square().sum(dim=1)  # (seeds,)
    centred = maps - maps.mean(dim=0)
    products = centred @ centred.T  # (seeds, seeds)
    variance = float(products.trace()) / (seeds - 1)
    of_true = math.sqrt(2 / (seeds - 1) * float(products.square().sum()) / float(products.trace()) ** 2) / 2
    of_claimed = float(squares.std() / squares.mean()) / math.sqrt(seeds) / 2
    claimed, true = math.sqrt(float(squares.mean())) / size, math.sqrt(variance) / size
    return Stated(type(explainer).title, claimed, true, math.hypot(of_true, of_claimed))


def explainer_with(explainer: iw.Explainer, *, seed: int) -> iw.Explainer:
    """The same method with another seed."""
    return replace(explainer, seed=seed)  # type: ignore[call-arg]  # every method of STATING has a seed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything asked for, print the tables, write the JSON; the exit code."""
    parser = parser_for("errors", __doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--methods", nargs="+", default=STATING, choices=STATING)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--samples", type=int, help="of each method (default: as it comes)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    document: dict[str, object] = {"machine": describe_machine(options.threads)}
    parts = Parts()
    for name in options.models:
        entry = iw.zoo.load(name)
        trace = iw.record(entry.model, entry.inputs[:1])
        print(f"\n{name}, {options.seeds} seeds\n{'method':<26}{'claimed':>9}{'true':>9}   claimed / true")
        rows = []
        for method in options.methods:
            with parts.part(f"{method}, {name}"):
                row = stated_and_true(configured(method, options.samples), trace, None, seeds=options.seeds)
                print(row, flush=True)
                rows.append(row)
                if not row.holds:
                    parts.failed.append(f"the error that {method} states, {name}")
        document[name] = [asdict(row) | {"ratio": row.ratio} for row in rows]
    print(f"written to {write_json(options.results, 'errors', document)}")
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
