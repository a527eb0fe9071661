import assert from "node:assert/strict";
import test from "node:test";

import { paint } from "../../interp_widgets/widgets/kit/blend.js";
import {
  displays, noteOf, opacitiesOf, percentileOf, smoothed,
} from "../../interp_widgets/widgets/kit/look.js";
import { changed, shareOf } from "../../interp_widgets/widgets/kit/look_controls.js";

const EVEN = { percentile: 100, limit: null, smoothing: 0, photo: "colour", by_strength: false };

/** A frame of float32 values. */
function frameOf(values, h = 1) {
  const q = new Uint8Array(new Float32Array(values).buffer);
  return { h, w: values.length / h, lo: Math.min(0, ...values), hi: Math.max(0, ...values), width: 4, q };
}

test("a percentile is interpolated linearly between its neighbours", () => {
  assert.equal(percentileOf([1, 2, 4], 50), 2);
  assert.equal(percentileOf([1, 2, 4], 75), 3);
  assert.equal(percentileOf([7], 99), 7);
  for (let count = 1; count <= 40; count++) {
    const values = Array.from({ length: count }, (_, i) => Math.sin(i * i) % 0.5); // in no order, none twice
    values.push(...values.slice(0, 5)); // some twice
    const sorted = values.slice().sort((one, other) => one - other);
    const last = sorted.length - 1;
    for (let i = 0; i <= 2 * last; i++) {
      const place = (last * ((50 * i) / last)) / 100;
      const [first, second] = [sorted[Math.floor(place)], sorted[Math.min(Math.floor(place) + 1, last)]];
      const expected = first + (second - first) * (place - Math.floor(place));
      assert.equal(percentileOf(values.slice(), (50 * i) / last), expected);
    }
  }
});

test("smoothing mirrors at the edges and keeps the sum", () => {
  const values = Float64Array.from([9, 0, 0, 0, 0, 1]);
  for (const sigma of [0.5, 1, 4]) {
    const drawn = smoothed(values, 2, 3, sigma);
    const sum = drawn.reduce((total, value) => total + value, 0);
    assert.ok(Math.abs(sum - 10) < 1e-12); // rounding of a dozen additions
  }
  assert.equal(smoothed(values, 2, 3, 0.1), values); // reaches no neighbour
});

test("colours end at the percentile of the sizes, on both sides of a signed map", () => {
  const { low, high } = displays()(frameOf([-4, 1, 2, 0]), { ...EVEN, percentile: 50 }, true);
  assert.deepEqual([low, high], [-1.5, 1.5]);
});

test("a limit takes the place of the percentile", () => {
  const shown = displays()(frameOf([-4, 1, 2, 0]), { ...EVEN, limit: 1.5 }, false);
  assert.deepEqual([shown.low, shown.high], [-4, 1.5]);
  assert.equal(noteOf(shown), "shown up to 1.5, 25.0% beyond");
});

test("where nearly all is zero the few that are not are seen", () => {
  const values = new Array(400).fill(0);
  values[7] = 3;
  for (const signed of [true, false]) {
    assert.equal(displays()(frameOf(values, 20), { ...EVEN, percentile: 99 }, signed).high, 3);
  }
});

test("a map of zeros has ends", () => {
  const found = (signed) => displays()(frameOf([0, 0]), { ...EVEN, percentile: 99 }, signed);
  assert.deepEqual([found(true).low, found(true).high], [-1, 1]);
  assert.deepEqual([found(false).low, found(false).high], [0, 0]);
});

test("a frame's own ends hold at the largest value, a draft's too", () => {
  const draft = { ...frameOf([0.5, 1]), hi: 4 };
  assert.equal(displays()(draft, EVEN, false).high, 4);
});

test("the last frame is smoothed once, whatever else of its look changes", () => {
  const displayOf = displays();
  const frame = frameOf(Array.from({ length: 100 }, (_, i) => i), 10);
  const first = displayOf(frame, { ...EVEN, smoothing: 0.1 }, true);
  const second = displayOf(frame, { ...EVEN, smoothing: 0.1, percentile: 90 }, true);
  assert.equal(second.values, first.values);
  assert.notEqual(displayOf(frame, { ...EVEN, smoothing: 0.2 }, true).values, first.values);
});

test("opacity is even, or follows the strength from transparent to opaque", () => {
  assert.deepEqual(new Set(opacitiesOf(EVEN, true, 0.3)), new Set([0.3]));
  const look = { ...EVEN, by_strength: true };
  const signed = opacitiesOf(look, true, 0.6);
  assert.deepEqual([signed[0], signed[127], signed[128], signed[255]], [1, 0, 0, 1]);
  const unsigned = opacitiesOf(look, false, 0.6);
  assert.deepEqual([unsigned[0], unsigned[255]], [0, 1]);
  assert.ok(unsigned[51] > 0.2 && unsigned[51] < 0.4); // 0.2 ** 0.7 = 0.324
});

test("the note says what was done", () => {
  const shown = displays()(frameOf(Array.from({ length: 400 }, (_, i) => i), 20), { ...EVEN, smoothing: 0.1 }, false);
  // the largest of scipy.ndimage.gaussian_filter(numpy.arange(400.0).reshape(20, 20), 2, truncate=3) is 374.7
  assert.equal(noteOf(shown), "shown up to the largest value (375); smoothed by 2 px");
});

test("a map of 224 x 224 is smoothed, given its ends and painted at 448 x 448 within a frame", (t) => {
  const side = 224;
  const values = Array.from({ length: side * side }, (_, i) => Math.sin(i * 12.9898) ** 15); // long tails
  const frame = frameOf(values, side);
  const base = new Uint8Array(4 * 3 * values.length).fill(200);
  const pixels = new Uint32Array(4 * values.length);
  const displayOf = displays();
  const milliseconds = [];
  for (let i = 0; i < 40; i++) {
    const look = { percentile: 99, limit: null, smoothing: 0.01 + 0.00001 * i, photo: "grey", by_strength: true };
    const begun = performance.now();
    const display = displayOf(frame, look, true);
    const opacities = opacitiesOf(look, true, 0.6);
    paint(pixels, { W: 448, H: 448 }, base, display, { table: new Uint8Array(768), opacities, smooth: true });
    noteOf(display);
    milliseconds.push(performance.now() - begun);
  }
  milliseconds.sort((a, b) => a - b);
  t.diagnostic(`${milliseconds[0].toFixed(1)} ms at best, median ${milliseconds[20].toFixed(1)} ms`);
  assert.ok(milliseconds[0] < 16, `${milliseconds}`); // the quickest: what else the machine does only adds to it
});

test("each control changes its part of the look and nothing else", () => {
  const difference = (look, ...moved) => {
    const after = changed(look, ...moved);
    return Object.fromEntries(Object.entries(after).filter(([name, value]) => look[name] !== value));
  };
  assert.deepEqual(difference(EVEN, "number", "97.5", 0.3), { percentile: 97.5 });
  assert.deepEqual(difference(EVEN, "end", "value", 0.3), { limit: 0.3 }); // begins where the colours end now
  assert.deepEqual(difference({ ...EVEN, limit: 0.3 }, "number", "1e-3", 0.3), { limit: 0.001 });
  assert.deepEqual(difference({ ...EVEN, limit: 0.3 }, "end", "percentile", 0.3), { limit: null });
  assert.deepEqual(difference(EVEN, "smoothing", "0.02"), { smoothing: 0.02 });
  assert.deepEqual(difference(EVEN, "grey", true), { photo: "grey" });
  assert.deepEqual(difference(EVEN, "strength", true), { by_strength: true });
});

test("a number that cannot be meant changes nothing", () => {
  for (const entered of ["", "-", "101", "-1", "much"]) assert.equal(changed(EVEN, "number", entered, 1), null);
  for (const entered of ["", "0", "-2", "1e999x"]) {
    assert.equal(changed({ ...EVEN, limit: 2 }, "number", entered, 1), null);
  }
});

test("no smoothing is off", () => {
  assert.equal(shareOf(0), "off");
  assert.equal(shareOf(0.0125), "1.25%");
});
