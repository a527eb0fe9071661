"""How fast the inputs that excite channels most are found, beside a plain loop over the same batches.

``python -m tests.benchmarks.top_activating`` prints, for layers of resnet18, seconds of processor time of both, each
the least of three taken in turns, and their ratio; the target is 0.9. All channels are searched for, by their maximum.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torchvision

import interp_widgets as iw

LAYERS = ("conv1", "layer2", "layer4", "fc")
INPUTS, BATCH, TIMES = 128, 16, 3
TARGET = 0.9


def cpu_seconds(call: Callable[[], object]) -> float:
    """Processor time that a call takes."""
    begun = time.process_time()
    call()
    return time.process_time() - begun


def main() -> None:
    """Print a line for each layer."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    batches = torch.rand(INPUTS, 3, 224, 224).split(BATCH)

    def loop() -> None:
        with torch.no_grad():
            for batch in batches:
                model(batch)

    loop()  # the first one warms up
    for layer in LAYERS:
        pairs = [
            (cpu_seconds(loop), cpu_seconds(lambda: iw.top_activating(model, layer, None, batches)))  # noqa: B023 - called at once
            for _ in range(TIMES)
        ]
        plain, searched = (min(each) for each in zip(*pairs, strict=True))
        speed = plain / searched
        verdict = "as wanted" if speed >= TARGET else f"below {TARGET}"
        print(f"{layer}: plain loop {plain:.2f} s, top_activating {searched:.2f} s, {speed:.2f} x, {verdict}")


if __name__ == "__main__":
    main()
