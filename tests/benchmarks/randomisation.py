"""Does a map depend on what the model has learned? Parameter randomisation (Adebayo et al. 2018, arXiv:1810.03292).

``python -m tests.benchmarks.randomisation`` randomises the weights of ``scenes`` from the output down, stage after
stage, with several seeds, and prints for each method the rank correlation of its map before and after (sizes of the
values, so that a change of sign alone is no change). A method whose maps stay alike when every weight is random (mean
correlation above ``ALIKE``) shows the input, not the model; one whose maps stay the same when the last layer alone is
random (above ``SAME``) shows what the model sees, not what speaks for the class.
"""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InterpError
from interp_widgets.evaluation.agreement import rank_correlations
from interp_widgets.zoo import held_out
from tests.benchmarks.measure import Parts, configured, parser_for, write_json

ALIKE = 0.5  # a quarter of the ranks' variance is that of the map before
SAME = 0.9  # four fifths of it are, and a person sees the same picture


def stages(model: nn.Module) -> list[str]:
    """The model's own parts with parameters, the output first."""
    return [name for name, part in model.named_children() if any(True for _ in part.parameters())][::-1]


def randomise(model: nn.Module, names: list[str], seed: int, images: torch.Tensor) -> nn.Module:
    """A copy with these parts drawn anew: each parameter from the distribution of its own values, shuffled.

    The statistics of batch normalisation are measured again on ``images``: with those of the trained weights most
    ReLUs would be shut, and a blank map passes any test.
    """
    changed = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in names:
            for parameter in changed.get_submodule(name).parameters():
                order = torch.randperm(parameter.numel(), generator=generator)
                parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
        normalisations = [part for part in changed.modules() if isinstance(part, nn.BatchNorm2d)]
        for part in normalisations:
            part.reset_running_stats()
            part.momentum = None  # the plain mean over all that is seen
            part.train()
        changed(images)
    return changed.eval()


def alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The rank correlation of the sizes of the values; 0 for a constant map."""
    return float(np.nan_to_num(rank_correlations([np.abs(a), np.abs(b)])[0, 1]))


def fault(values: list[float]) -> str:
    """What is wrong with a method, by its correlations from the last layer to all of them; empty when nothing is."""
    if values[-1] > ALIKE:
        return "shows the input, not the model"
    if values[0] > SAME:
        return "shows what the model sees, not what speaks for the class"
    return ""


def measure(
    name: str, methods: Mapping[str, iw.Explainer], count: int, seeds: int, run: Parts
) -> dict[str, list[float]]:
    """Of each method the mean correlation after randomising the first stage, the first two, and so on.

    A method that raises what it should not is a part that failed.
    """
    entry = iw.zoo.load(name)
    parts = stages(entry.model)
    batch = torch.cat([iw.load_input(example.image, entry.preprocess) for example in held_out(name, 64)])
    found: dict[str, list[list[float]]] = {method: [[] for _ in parts] for method in methods}

    def map_of(method: str, trace: iw.Trace, label: int) -> NDArray[np.float32] | None:
        """``None`` where the method refuses, or has failed."""
        try:
            return methods[method](trace, label).array
        except InterpError as error:
            print(f"{method}: {error}")
        except Exception:  # noqa: BLE001 - reported, and the other methods go on
            run.report(method)
            del found[method]
        return None

    for example in held_out(name, count):
        image = iw.load_input(example.image, entry.preprocess)
        with iw.record(entry.model, image) as trace:
            trained = {method: map_of(method, trace, example.label) for method in list(found)}
        for seed, depth in itertools.product(range(seeds), range(len(parts))):
            with iw.record(randomise(entry.model, parts[: depth + 1], seed, batch), image) as trace:
                for method in list(found):
                    before = trained[method]
                    after = None if before is None else map_of(method, trace, example.label)
                    if before is not None and after is not None:
                        found[method][depth].append(alike(before, after))
    return {method: [float(np.mean(each)) for each in depths if each] for method, depths in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, write the JSON; the exit code."""
    parser = parser_for("randomisation", __doc__)
    parser.add_argument("--model", default="scenes")
    parser.add_argument("--methods", nargs="+", default=list(iw.EXPLAINERS), choices=list(iw.EXPLAINERS))
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="of the methods that take several (default: as each comes)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    parts = stages(iw.zoo.load(options.model).model)
    methods = {name: configured(name, options.samples) for name in options.methods}
    run = Parts()
    found = measure(options.model, methods, options.images, options.seeds, run)
    told = f"{options.model}, {options.images} images, {options.seeds} seeds"
    print(f"{told}: rank correlation with the trained model's map")
    print(f"{'method':<26}" + "".join(f"{'..' * bool(i) + part:>12}" for i, part in enumerate(parts)))
    for method, values in sorted(found.items(), key=lambda item: item[1][-1:]):
        verdict = "refuses this model" if not values else f"FAILS: {fault(values)}" if fault(values) else "passes"
        print(f"{iw.EXPLAINERS[method].title:<26}" + "".join(f"{value:>12.2f}" for value in values) + f"   {verdict}")
    print(f"written to {write_json(options.results, 'randomisation', {'stages': parts, 'correlations': found})}")
    return run.exit_code()


if __name__ == "__main__":
    sys.exit(main())
