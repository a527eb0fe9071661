"""How long a method takes on resnet50 at 224 x 224, to its first picture and to its end, beside its peer in one run.

``python -m tests.benchmarks.methods`` prints a table with the targets beside the numbers and writes
``results/methods.json``. Ours begins where a click in the Explorer begins: the input is recorded. A peer is called as
its documentation says, with the same number of evaluations of the model and batches of 16. What a peer refuses is said
in its place. A missed target is no failure; a method of ours that raises is reported, the others go on, and the exit
code is 1.
"""

from __future__ import annotations

import copy
import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import captum.attr
import numpy as np
import pytorch_grad_cam
import shap
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

import interp_widgets as iw
from tests.benchmarks.measure import Parts, describe_machine, parser_for, seconds, write_json
from tests.benchmarks.peers import SMALL, build

MODELS, LAYER = ("resnet50", SMALL), "layer4"
TARGET, BATCH = 243, 16
FIRST = 0.3  # seconds to the first picture
FACTORS = {"AblationCAM": 1 / 20, "ScoreCAM": 1 / 1.5}  # of the peer's time; 1 for the others
SLOW = 60.0  # seconds of both together: above it one round is enough, and it is not only for warming up

Peer = Callable[[nn.Module, torch.Tensor], object]


@dataclass(frozen=True)
class Result:
    """One method beside its peer; ``peer_s`` is ``None`` where there is none, or it refuses."""

    method: str
    first_s: float
    total_s: float
    evaluations: int
    peer: str
    peer_s: float | None
    limit: float
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Our time over the peer's."""
        return None if self.peer_s is None else self.total_s / self.peer_s

    def __str__(self) -> str:
        first = f"{self.first_s:7.3f} {'met' if self.first_s <= FIRST else 'MISSED':<7}"
        if self.ratio is None:
            beside = f"{self.peer or 'none':<28} {self.note}"
        else:
            met = "met" if self.ratio <= self.limit else "MISSED"
            beside = f"{self.peer:<28} {self.peer_s:8.3f} {self.ratio:7.3f} <= {self.limit:<6.3g} {met}"
        return f"{self.method:<20} {first} {self.total_s:8.3f} {self.evaluations:>6}   {beside}"


def segments_of(image: torch.Tensor) -> torch.Tensor:
    """The parts that our methods cut the image into, as a peer takes them."""
    return iw.explainers.segments.segments(image[0], 49, "grid")[None]


def _captum(kind: str, **options: Any) -> Peer:
    return lambda model, image: getattr(captum.attr, kind)(model).attribute(image, target=TARGET, **options)


def _noise(kind: str, samples: int) -> Peer:
    def call(model: nn.Module, image: torch.Tensor) -> object:
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
        return tunnel.attribute(image, target=TARGET, nt_type=kind, nt_samples=samples, nt_samples_batch_size=BATCH)

    return call


def _cam(kind: str) -> Peer:
    def call(model: nn.Module, image: torch.Tensor) -> object:
        with getattr(pytorch_grad_cam, kind)(model, [model.get_submodule(LAYER)]) as cam:
            cam.batch_size = BATCH
            targets = None if kind == "FinerCAM" else [ClassifierOutputTarget(TARGET)]
            return cam(image, targets=targets)

    return call


def _gradient_shap(model: nn.Module, image: torch.Tensor) -> object:
    return captum.attr.GradientShap(model).attribute(image, torch.zeros_like(image), n_samples=32, target=TARGET)


def _guided_grad_cam(model: nn.Module, image: torch.Tensor) -> object:
    return captum.attr.GuidedGradCam(model, model.get_submodule(LAYER)).attribute(image, target=TARGET)


def _deep_lift_shap(model: nn.Module, image: torch.Tensor) -> object:
    return captum.attr.DeepLiftShap(model).attribute(image, torch.randn(16, *image.shape[1:]), target=TARGET)


def _segmented(kind: str, **options: Any) -> Peer:
    return lambda model, image: getattr(captum.attr, kind)(model).attribute(
        image, target=TARGET, feature_mask=segments_of(image), **options
    )


def _occlusion(model: nn.Module, image: torch.Tensor) -> object:
    side = round(0.15 * 224)
    return captum.attr.Occlusion(model).attribute(
        image, (3, side, side), strides=(3, side // 2, side // 2), target=TARGET, perturbations_per_eval=BATCH
    )


def _partition(model: nn.Module, image: torch.Tensor) -> object:
    def scores(batch: Any) -> Any:
        with torch.no_grad():
            return model(torch.from_numpy(np.moveaxis(batch, -1, 1).copy()).float())[:, TARGET].double().numpy()

    last = image[0].detach().permute(1, 2, 0).double().numpy()
    masker = shap.maskers.Image(np.zeros_like(last))
    return shap.PartitionExplainer(scores, masker)(last[None], max_evals=200, batch_size=BATCH, silent=True)


Case = tuple[iw.Explainer, str, Peer | None]


def cases() -> list[Case]:
    """Each method with as many evaluations as its peer; one that has no line here is measured alone."""
    plain = [(iw.EXPLAINERS[name](), f"pytorch-grad-cam {name}", _cam(name)) for name in (
        *("GradCAM", "GradCAMPlusPlus", "XGradCAM", "HiResCAM", "LayerCAM", "EigenCAM", "EigenGradCAM", "FinerCAM"),
        *("FullGrad", "AblationCAM", "ScoreCAM"),
    )]  # fmt: skip
    several: list[Case] = [
        (iw.Gradient(), "captum Saliency", _captum("Saliency")),
        (iw.InputXGradient(), "captum InputXGradient", _captum("InputXGradient")),
        (iw.GuidedBackprop(), "captum GuidedBackprop", _captum("GuidedBackprop")),
        (iw.Deconvnet(), "captum Deconvolution", _captum("Deconvolution")),
        (iw.GuidedGradCAM(), "captum GuidedGradCam", _guided_grad_cam),
        (iw.IntegratedGradients(steps=32), "captum IntegratedGradients", _captum(
            "IntegratedGradients", n_steps=32, internal_batch_size=BATCH)),
        (iw.BlurIG(steps=32), "", None),
        (iw.ExpectedGradients(samples=32), "captum GradientShap", _gradient_shap),
        (iw.SmoothGrad(samples=32), "captum NoiseTunnel", _noise("smoothgrad", 32)),
        (iw.SmoothGradSquared(samples=32), "captum NoiseTunnel sq", _noise("smoothgrad_sq", 32)),
        (iw.VarGrad(samples=32), "captum NoiseTunnel var", _noise("vargrad", 32)),
        (iw.DeepLift(), "captum DeepLift", _captum("DeepLift")),
        (iw.DeepLiftSHAP(samples=16), "captum DeepLiftShap", _deep_lift_shap),
        (iw.LRP(), "captum LRP", _captum("LRP")),
        (iw.Occlusion(), "captum Occlusion", _occlusion),
        (iw.RISE(samples=100), "", None),
        (iw.FeatureAblation(), "captum FeatureAblation", _segmented("FeatureAblation", perturbations_per_eval=BATCH)),
        (iw.LIME(samples=100), "captum Lime", _segmented("Lime", n_samples=100, perturbations_per_eval=BATCH)),
        (iw.KernelSHAP(samples=100), "captum KernelShap", _segmented(
            "KernelShap", n_samples=100, perturbations_per_eval=BATCH)),
        (iw.ShapleySampling(samples=1), "captum ShapleyValueSampling", _segmented(
            "ShapleyValueSampling", n_samples=2, perturbations_per_eval=BATCH)),
        (iw.PartitionSHAP(samples=200), "shap PartitionExplainer", _partition),
    ]  # fmt: skip
    listed = {type(explainer) for explainer, _, _ in (*plain, *several)}
    others: list[Case] = [(kind(), "", None) for kind in iw.EXPLAINERS.values() if kind not in listed]
    return [*plain, *several, *others]


def ours(trace: iw.Trace, explainer: iw.Explainer) -> tuple[float, float, int]:
    """Seconds to the first estimate and to the last, and evaluations; nothing cached."""
    gc.collect()
    started = time.perf_counter()
    first, found = 0.0, None
    for found in explainer.stream(trace, TARGET, LAYER if explainer.at_layer else None):  # noqa: B007 - the last counts
        first = first or time.perf_counter() - started
    return first, time.perf_counter() - started, 0 if found is None else found.total


def measure(model: nn.Module, image: torch.Tensor, case: Case, rounds: int) -> Result:
    """One method and its peer, in turns."""
    explainer, name, peer = case
    other = copy.deepcopy(model)  # some peers change the model's parameters for a while
    firsts, totals, peers, note, evaluations = [], [], [], "", 0
    for number in range(-1, rounds):
        with iw.record(model, image) as trace:  # anew, so that no gradient is cached
            first, total, evaluations = ours(trace, explainer)
        took = None
        if peer is not None and not note:
            try:
                took = seconds(lambda: peer(other, image.clone().requires_grad_()))
            except Exception as error:  # noqa: BLE001 - whatever a peer raises is the answer
                note = f"raises {type(error).__name__}: {str(error).splitlines()[0][:60]}"
        slow = total + (took or 0.0) > SLOW
        if number >= 0 or slow:
            firsts.append(first)
            totals.append(total)
            peers += [] if took is None else [took]
        if slow:
            break
    limit = FACTORS.get(type(explainer).__name__, 1.0)
    peer_s = statistics.median(peers) if peers and not note else None
    result = Result(type(explainer).__name__, 0.0, 0.0, evaluations, name, peer_s, limit, note)
    return replace(result, first_s=statistics.median(firsts), total_s=statistics.median(totals))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write it; the exit code."""
    parser = parser_for("methods", __doc__)
    parser.add_argument("--model", default=MODELS[0], choices=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", help="all by default")
    options = parser.parse_args(arguments)
    machine = describe_machine(torch.get_num_threads())
    print(*(f"{key}={value}" for key, value in machine.items()), flush=True)
    print(
        f"{'method':<20} {'first s':>7} {'<= 0.3':<7} {'total s':>8} {'evals':>6}   {'peer':<28} {'peer s':>8}   ratio"
    )
    results: list[Result] = []
    parts = Parts()
    for case in cases():
        name = type(case[0]).__name__
        if options.methods and name not in options.methods:
            continue
        with parts.part(name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the peers'
            model, image = build(options.model)  # anew: peers leave hooks behind when they raise
            results.append(measure(model, image, case, options.rounds))
            print(results[-1], flush=True)
    if not options.methods:
        document = {"machine": machine, "results": [asdict(result) for result in results]}
        print(f"written to {write_json(options.results, 'methods', document)}")
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
