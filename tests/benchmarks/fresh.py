"""What is measured in fresh processes: the peak of memory, and the time of an import."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from tests.benchmarks.measure import Row, fresh_process
from tests.benchmarks.peers import LAYERS

__all__ = ["imports", "memory"]

MEMORY = """
import ctypes, gc, json, sys, torch
torch.set_num_threads({threads})
import interp_widgets as iw
from tests.benchmarks.peers import PEERS, build, plain_pass
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
nn = torch.nn
tiny = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 222 * 222, 8)).eval()
run("ours" if what == "ours" else "plain", (tiny, torch.randn(1, 3, 224, 224)))  # what libraries allocate once
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
    layer, _ = LAYERS[name]
    for what, allocations, repeats in (("allocations", True, 1), ("resident set", False, rounds)):
        found: dict[str, list[float]] = {"plain": [], "ours": [], "pytorch-grad-cam": [], "captum": []}
        for _ in range(repeats):
            for contender, peaks in found.items():
                code = MEMORY.format(name=name, what=contender, layer=layer, threads=threads, allocations=allocations)
                peaks.extend(fresh_process(code))
        plain = statistics.median(found.pop("plain"))
        for contender, peaks in found.items():
            ours = contender == "ours"
            label = "record + first Grad-CAM" if ours else contender
            yield Row(
                f"memory: peak {what}, {label}, over plain",
                name,
                statistics.median(peaks) / plain,
                "x",
                1.4 if ours else None,
                note=f"plain {plain / 2**20:.0f} MiB",
            )


IMPORT = """
import json, sys, time
started = time.perf_counter()
import {what}
took = time.perf_counter() - started
loaded = [n for n in ("matplotlib", "scipy", "sklearn", "IPython", "ipywidgets", "ipycanvas") if n in sys.modules]
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
