import assert from "node:assert/strict";
import test from "node:test";

import {
  colours, enlarge, gridOf, lightened, neighbours, paint, paintBase,
} from "../../interp_widgets/widgets/kit/blend.js";
import { framesOf, keyOf, merge, valueAt, valuesOf } from "../../interp_widgets/widgets/kit/frames.js";
import { cellAt, reading } from "../../interp_widgets/widgets/kit/picture.js";

const GREY = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
const channels = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255, pixel >>> 24];

/** The trait `frames` with one block; each frame is 1 x its bytes, over 0..255. */
function held(frames) {
  return { blocks: Object.keys(frames).length ? [block(frames)] : [], revision: 1 };
}

function block(frames) {
  const index = [];
  const data = [];
  for (const [key, values] of Object.entries(frames)) {
    const [row, column] = key.split(",").map(Number);
    index.push([row, column, 1, values.length, 0, 255, data.length, 1]);
    data.push(...values);
  }
  return { index, data: new DataView(new Uint8Array(data).buffer) };
}

function message(frames, drop = []) {
  const { index, data } = block(frames);
  return [{ type: "frames", since: 1, revision: 2, index, drop }, data];
}

test("cells have their centres half a pixel inside, and edges are clamped", () => {
  const { first, second, weight } = neighbours(2, 4, true);
  assert.deepEqual([...first], [0, 0, 0, 1]);
  assert.deepEqual([...second], [1, 1, 1, 1]);
  assert.deepEqual([...weight], [0, 0.25, 0.75, 0]);
  assert.deepEqual([...neighbours(2, 4, false).first], [0, 0, 1, 1]);
});

test("the picture is the base enlarged by a whole number, or the map where there is no base", () => {
  assert.deepEqual(gridOf([96, 72], null, 200), { width: 96, height: 72, factor: 3, W: 288, H: 216 });
  assert.equal(gridOf([0, 0], { w: 7, h: 5 }, 14).factor, 2);
  assert.equal(gridOf([448, 448], null, 200).factor, 1);
});

test("a small image is enlarged to sharp squares", () => {
  const big = enlarge(new Uint8Array([10, 20, 30, 40, 50, 60]), 2, 1, 2);
  assert.deepEqual([...big.slice(0, 12)], [10, 20, 30, 10, 20, 30, 40, 50, 60, 40, 50, 60]);
});

const EVEN = new Float64Array(256);

test("opacity mixes the map's colour with the base", () => {
  const map = { h: 1, w: 1, values: [200], low: 0, high: 255 };
  const pixels = new Uint32Array(1);
  const base = new Uint8Array([100, 0, 50]);
  paint(pixels, { W: 1, H: 1 }, base, map, { table: GREY, opacities: EVEN.fill(0.25), smooth: true });
  assert.deepEqual(channels(pixels[0]), [125, 50, 88, 255]); // 0.75 base + 0.25 * 200, rounded
});

test("each colour may have an opacity of its own", () => {
  const map = { h: 1, w: 3, values: [0, 102, 255], low: 0, high: 255 };
  const pixels = new Uint32Array(3);
  const opacities = EVEN.map((_, i) => i / 255);
  paint(pixels, { W: 3, H: 1 }, new Uint8Array(9).fill(100), map, { table: GREY, opacities, smooth: true });
  assert.deepEqual([...pixels].map((pixel) => channels(pixel)[0]), [100, 101, 255]); // 100 * 0.6 + 102 * 0.4 = 100.8
});

test("without a base the map is opaque, and values beyond the range take the end's colour", () => {
  const map = { h: 1, w: 3, values: [0, 128, 255], low: 100, high: 150 };
  const pixels = new Uint32Array(3);
  paint(pixels, { W: 3, H: 1 }, null, map, { table: GREY, opacities: EVEN.fill(0.1), smooth: false });
  assert.deepEqual([...pixels].map((pixel) => channels(pixel)[0]), [0, 143, 255]);
});

test("an empty range colours with the first colour", () => {
  const pixels = new Uint32Array(1);
  const map = { h: 1, w: 1, values: [5], low: 5, high: 5 };
  paint(pixels, { W: 1, H: 1 }, null, map, { table: GREY, opacities: EVEN, smooth: true });
  assert.deepEqual(channels(pixels[0]), [0, 0, 0, 255]);
});

test("the light image is grey and keeps white", () => {
  assert.deepEqual([...lightened(new Uint8Array([255, 255, 255, 0, 0, 0, 255, 0, 0]))], [
    255, 255, 255, 140, 140, 140, 175, 175, 175,
  ]);
});

test("three bytes become one opaque pixel", () => {
  const pixels = new Uint32Array(2);
  paintBase(pixels, new Uint8Array([1, 2, 3, 255, 254, 253]));
  assert.deepEqual([...pixels].map(channels), [[1, 2, 3, 255], [255, 254, 253, 255]]);
  assert.deepEqual(channels(colours(GREY)[77]), [77, 77, 77, 255]);
});

test("a value of one byte lies in its frame's range, one of four bytes is exact wherever it begins", () => {
  const bytes = { h: 1, w: 2, lo: -1, hi: 1, width: 1, q: new Uint8Array([0, 255]) };
  assert.equal(valueAt(bytes, 0, 1), 1);
  assert.deepEqual([...valuesOf(bytes)], [-1, 1]);
  const raw = new Uint8Array([9, ...new Uint8Array(new Float32Array([1e-9, -0.3]).buffer)]);
  const trait = { blocks: [{ index: [[0, 0, 1, 2, -0.3, 1, 1, 4]], data: new DataView(raw.buffer) }], revision: 1 };
  const exact = framesOf(trait).get("0,0");
  assert.deepEqual([...valuesOf(exact)], [Math.fround(1e-9), Math.fround(-0.3)]);
  assert.equal(valueAt(exact, 0, 1), Math.fround(-0.3));
});

test("the frames of a trait are found by their keys", () => {
  const store = framesOf(held({ "0,1": [1, 2], "4,0": [3] }));
  assert.deepEqual([...store.keys()], ["0,1", "4,0"]);
  assert.deepEqual([...store.get(keyOf(4, 0)).q], [3]);
});

test("a message adds, replaces and drops frames, in the trait's own object too", () => {
  const trait = held({ "0,0": [1], "0,1": [2], "0,2": [3] });
  merge(trait, ...message({ "0,1": [9], "7,7": [5] }, [[0, 0]]));
  const known = (store) => Object.fromEntries([...store].map(([key, frame]) => [key, [...frame.q]]));
  const expected = { "0,1": [9], "0,2": [3], "7,7": [5] };
  assert.deepEqual(known(framesOf(trait)), expected);
  assert.equal(trait.revision, 2);
  const saved = { blocks: trait.blocks, revision: 2 }; // what a second view or a saved notebook reads
  assert.deepEqual(known(framesOf(saved)), expected);
});

test("blocks without a frame are let go", () => {
  const trait = held({ "0,0": [1] });
  merge(trait, ...message({}, [[0, 0]]));
  assert.deepEqual(trait.blocks, []);
});

test("dropped frames give their memory back", () => {
  const large = Array.from({ length: 100_000 }, () => 7);
  const trait = held({ "0,0": large, "0,1": [2] });
  merge(trait, ...message({ "0,2": [3] }, [[0, 0]]));
  const kept = trait.blocks.reduce((sum, each) => sum + each.data.byteLength, 0);
  assert.equal(kept, 2);
  assert.deepEqual([...framesOf({ blocks: trait.blocks }).get("0,1").q], [2]);
});

test("the cursor is in a cell, at the edges too, or nowhere", () => {
  const frame = { h: 2, w: 4 };
  assert.deepEqual(cellAt(frame, [0.9, 0.1]), { row: 0, column: 3 });
  assert.deepEqual(cellAt(frame, [1, 1]), { row: 1, column: 3 });
  assert.equal(cellAt(frame, [-1, -1]), null);
  assert.equal(cellAt(undefined, [0.5, 0.5]), null);
});

test("a small picture keeps its label beside the value", () => {
  const cell = { row: 0, column: 1 };
  assert.equal(reading(0.25, cell, "a map", 320), "value 0.25 at row 0, column 1");
  assert.equal(reading(2, cell, "small", 100), "2 small, row 0, column 1");
});
