"""The browser's arithmetic of a look, run by node, against Python's."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import interp_widgets
from interp_widgets.render.colours import colour_table
from interp_widgets.render.look import Look

KIT = Path(interp_widgets.__file__).parent / "widgets" / "kit"
NODE = shutil.which("node")
DRAW = """
const { paint, lightened } = await import(given.kit + "/blend.js");
const { displays, opacitiesOf } = await import(given.kit + "/look.js");
const { h, w, H, W, lo, hi, signed } = given;
const frame = { h, w, lo, hi, width: 4, q: new Uint8Array(new Float32Array(given.values).buffer) };
const drawn = given.looks.map((look) => {
  const display = displays()(frame, look, signed);
  const base = look.photo === "grey" ? lightened(given.base) : given.base;
  const pixels = new Uint32Array(H * W);
  const opacities = opacitiesOf(look, signed, 0.6);
  paint(pixels, { W, H }, base, display, { table: given.table, opacities, smooth: true });
  return [display.low, display.high, [...pixels].flatMap((pixel) => [0, 8, 16].map((bits) => (pixel >> bits) & 255))];
});
console.log(JSON.stringify(drawn));
"""
LOOKS = [
    Look(),
    Look(percentile=100),
    Look(percentile=95, smoothing=0.05),
    Look(smoothing=0.2, photo="grey", by_strength=True),
    Look(percentile=99.5, photo="grey", by_strength=True),
    Look(limit=0.4, smoothing=0.03, by_strength=True),
]


@pytest.mark.skipif(NODE is None, reason="the browser's arithmetic is run by node")
@pytest.mark.parametrize("signed", [True, False])
def test_the_browser_draws_the_pixels_that_python_draws(signed: bool) -> None:
    random = np.random.default_rng(5)
    values = random.standard_t(2, size=(24, 31)).astype(np.float32)
    values = values if signed else np.abs(values)
    ends = (min(0.0, float(values.min())), float(values.max()))
    base = random.integers(0, 256, (48, 70, 3), dtype=np.uint8)
    table = colour_table("RdBu_r" if signed else "viridis")
    given = {
        "kit": KIT.as_uri(), "h": 24, "w": 31, "H": 48, "W": 70, "lo": ends[0], "hi": ends[1], "signed": signed,
        "values": values.ravel().tolist(), "base": base.ravel().tolist(), "table": table.ravel().tolist(),
        "looks": [asdict(look) for look in LOOKS],
    }  # fmt: skip
    script = f"const given = {json.dumps(given)};\ngiven.base = Uint8Array.from(given.base);\n{DRAW}"
    command = [str(NODE), "--input-type=module", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=True)
    for look, (low, high, pixels) in zip(LOOKS, json.loads(done.stdout), strict=True):
        display = look.applied_to(values, signed=signed, ends=ends)
        expected = display.over(base, table)
        # exp differs in the last bit, so what is smoothed does in the last few
        assert (low, high) == pytest.approx((display.low, display.high), rel=1e-13)
        apart = np.abs(np.reshape(pixels, expected.shape) - expected.astype(int))
        assert apart.max() <= 1, look
        assert (apart > 0).mean() < 1e-3, look
