import assert from "node:assert/strict";
import test from "node:test";

import { decades, linear, logarithmic, symmetric, ticks } from "../../interp_widgets/widgets/kit/axes.js";
import { paths } from "../../interp_widgets/widgets/kit/curve.js";
import { layerAt, outlines } from "../../interp_widgets/widgets/kit/profile.js";

const near = (a, b) => Math.abs(a - b) < 1e-9;

test("ticks are round numbers inside the range, evenly spaced, no more than asked for and one", () => {
  assert.deepEqual(ticks(-20, 35, 4), [-20, 0, 20]);
  assert.deepEqual(ticks(0, 1, 4), [0, 0.5, 1]);
  assert.deepEqual(ticks(0.12, 0.29, 4), [0.15, 0.2, 0.25]);
  assert.deepEqual(ticks(3, 3, 4), [3]);
});

test("a linear axis has room beyond its ends, also where all numbers are the same, or there is none", () => {
  const { place } = linear([0, 100]);
  assert.ok(near(place(-4), 0) && near(place(104), 1) && near(place(50), 0.5));
  assert.ok(near(linear([7, 7]).place(7), 0.5));
  assert.ok(Number.isFinite(linear([]).place(0)));
});

test("a symmetric logarithmic axis keeps order and sign, and lays decades at equal distances", () => {
  const { place, ticks: marks } = symmetric([-100, 0, 100]);
  assert.ok(near(place(0), 0.5));
  assert.ok(near(place(10) - 0.5, 0.5 - place(-10)));
  assert.ok(place(-1) < place(-0.1) && place(-0.1) < place(0) && place(0) < place(0.1) && place(0.1) < place(1));
  assert.ok(Math.abs(place(100) - place(10) - (place(10) - place(1))) < 1e-3); // next to zero it is linear
  assert.deepEqual(marks, [...marks].sort((a, b) => a - b));
  assert.ok(marks.includes(0) && marks.includes(100) && marks.includes(-100));
  assert.deepEqual(symmetric([0, 0]).ticks.includes(0), true);
});

test("a logarithmic axis lays decades at equal distances, and what is not above zero nowhere", () => {
  const { place } = logarithmic([1e-4, 1, 0]);
  assert.ok(near(place(1e-2) - place(1e-4), place(1) - place(1e-2)));
  assert.ok(Number.isNaN(place(0)));
  assert.deepEqual(decades(1e-4, 1, 3).map(Math.log10).map(Math.round), [-4, -2, 0]);
  assert.deepEqual(decades(2, 3, 3), []);
});

test("the layer under the mouse is the nearest, also at and beyond the ends", () => {
  assert.equal(layerAt(52, 52, 152, 10), 0);
  assert.equal(layerAt(61.9, 52, 152, 10), 0);
  assert.equal(layerAt(62.1, 52, 152, 10), 1);
  assert.equal(layerAt(152, 52, 152, 10), 9);
  assert.equal(layerAt(3, 52, 152, 10), 0);
});

test("a box is drawn from its quantiles, and a layer without values not at all", () => {
  const found = outlines([[1, 2, 3, 4, 5], []], [3.5, null], (i) => 10 * i + 5, (value) => 100 - value, 2);
  assert.equal(found.boxes, "M3 98H7V96H3Z");
  assert.equal(found.whiskers, "M5 99V98M5 96V95");
  assert.equal(found.medians, "M3 97H7");
  assert.equal(found.means, "M5 96.5h0");
});

test("a curve goes through its points; the highest bar ends below the top, empty bins have none", () => {
  const data = { points: [0, 1], values: [0, 10], counts: [4, 0, 2], edges: [0, 1, 2, 3] };
  const { curve, bars } = paths(data, (x) => x, (y) => 100 - y, 100);
  assert.equal(curve, "M0 100L1 90");
  assert.equal(bars, "M0 100V15H1V100ZM2 100V57.5H3V100Z");
});
