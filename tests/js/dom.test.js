import assert from "node:assert/strict";
import test from "node:test";

import { bytes, clamp, figures, identity } from "../../interp_widgets/widgets/kit/dom.js";
import { statusOf } from "../../interp_widgets/widgets/kit/status_line.js";
import { grouped } from "../../interp_widgets/widgets/kit/menu.js";

test("numbers have three figures, a real minus sign, and powers of ten only when they help", () => {
  const words = [0, 1.23456, -0.5, 123456.5, 0.00012, -Infinity, NaN].map(figures);
  assert.deepEqual(words, ["0", "1.23", "\u22120.5", "1.2e+5", "1.2e\u22124", "–", "–"]);
});

test("whole numbers are not rounded", () => {
  assert.deepEqual([1905, -1905, 123456, 1e9].map(figures), ["1905", "\u22121905", "123456", "1.0e+9"]);
});

test("the bytes of a view are those it shows, not those of the whole buffer", () => {
  const buffer = new Uint8Array([1, 2, 3, 4]).buffer;
  assert.deepEqual([...bytes(new DataView(buffer, 1, 2))], [2, 3]);
  assert.deepEqual([...bytes(buffer)], [1, 2, 3, 4]);
  assert.deepEqual([...bytes(null)], []);
});

test("no two elements have the same id", () => {
  const made = Array.from({ length: 100 }, () => identity("x"));
  assert.equal(new Set(made).size, 100);
});

test("a clamped number lies between its bounds", () => {
  assert.deepEqual([-1, 0.5, 3].map((value) => clamp(value, 0, 1)), [0, 0.5, 1]);
});

test("an error takes the text's place, and a lost kernel takes both", () => {
  assert.deepEqual(statusOf(true, "RISE, 35 s left", ""), { words: "RISE, 35 s left", isError: false });
  assert.deepEqual(statusOf(true, "RISE", "no such file"), { words: "no such file", isError: true });
  const lost = statusOf(false, "RISE, 35 s left", "no such file");
  assert.equal(lost.words, "not connected: pictures that are here still move, new ones need Run");
  assert.equal(lost.isError, false);
});

test("options under one heading stand together, where the first of them stood", () => {
  const options = [["a", "1"], ["b", "2"], ["c", "3"], ["d", "4"]];
  const runs = grouped(options, { 1: "CAM", 3: "CAM" });
  assert.deepEqual(runs.map(({ heading, options: own }) => [heading, own.map(({ value }) => value)]), [
    ["CAM", ["1", "3"]],
    ["", ["2"]],
    ["", ["4"]],
  ]);
});
