import assert from "node:assert/strict";
import test from "node:test";

import { compared, inSight, matching, resorted, walked, widths } from "../../interp_widgets/widgets/kit/table.js";
import { family } from "../../interp_widgets/widgets/kit/tree.js";

const row = (path, parent, count) => ({ path, parent, cells: [path, count ? String(count) : ""], keys: [null, count] });
const ROWS = [
  row("", -1, 60),
  row("layer10", 0, 30),
  row("layer2", 0, null),
  row("layer2.a", 2, 0.5),
  row("layer2.b", 2, 0.25),
  row("layer1", 0, 9),
];
const order = (column, descending) => {
  const sorted = (siblings) => siblings.toSorted((a, b) => compared(ROWS[a], ROWS[b], column, descending));
  return walked(family(ROWS), sorted, () => true).map((i) => ROWS[i].path);
};

test("numbers are sorted as numbers among siblings, and what has none comes last in both directions", () => {
  assert.deepEqual(order(1, true), ["", "layer10", "layer1", "layer2", "layer2.a", "layer2.b"]);
  assert.deepEqual(order(1, false), ["", "layer1", "layer10", "layer2", "layer2.b", "layer2.a"]);
});

test("texts are sorted as people count", () => {
  assert.deepEqual(order(0, false), ["", "layer1", "layer2", "layer2.a", "layer2.b", "layer10"]);
  assert.deepEqual(order(0, true), ["", "layer10", "layer2", "layer2.b", "layer2.a", "layer1"]);
});

test("only the rows in open ones are walked", () => {
  const closed = (i) => i === 0;
  assert.deepEqual(walked(family(ROWS), (siblings) => siblings, closed), [0, 1, 2, 5]);
});

test("a title sorts numbers from the largest, texts from the first, then the other way, then not", () => {
  const unsorted = { sortedBy: -1, descending: false };
  const down = resorted(1, true, unsorted);
  assert.deepEqual(down, { sortedBy: 1, descending: true });
  const up = resorted(1, true, down);
  assert.deepEqual(up, { sortedBy: 1, descending: false });
  assert.deepEqual(resorted(1, true, up), unsorted);
  assert.deepEqual(resorted(0, false, down), { sortedBy: 0, descending: false });
  assert.deepEqual(resorted(0, false, { sortedBy: 0, descending: false }), { sortedBy: 0, descending: true });
});

test("a row matches by its path or any of its cells", () => {
  assert.deepEqual(matching(ROWS, "layer2."), [3, 4]);
  assert.deepEqual(matching(ROWS, "0.2"), [4]);
});

test("of many rows those in sight are made, with a few around them", () => {
  assert.deepEqual(inSight(0, 220, 2000), [0, 16]);
  assert.deepEqual(inSight(22 * 1000, 220, 2000), [994, 1016]);
  assert.deepEqual(inSight(22 * 1990, 220, 2000), [1984, 2000]);
  assert.deepEqual(inSight(0, 220, 3), [0, 3]);
  assert.deepEqual(inSight(900, -24, 0), [0, 0]);
});

test("a column is as wide as its longest text or its title, within limits", () => {
  const columns = [{ title: "module" }, { title: "count" }, { title: "note" }];
  const rows = [{ cells: ["a", "1", "x".repeat(90)] }, { cells: ["b", "1,234,567", ""] }];
  assert.deepEqual(widths(columns, rows), [24, 11, 28]);
});
