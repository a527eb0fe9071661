import assert from "node:assert/strict";
import test from "node:test";

import { inkOn } from "../../interp_widgets/widgets/kit/diagram_paint.js";
import {
  anchored, around, boxAt, boxesIn, fitted, frontOf, headOf, inDrawing, kept, matching, piecesOf, revealing, showsPiece,
  toggled, walked, windowOf, zoomedAt,
} from "../../interp_widgets/widgets/kit/diagram_plan.js";

const box = (name, parent, sheet, role = "single") => ({
  name, parent, role, head: role === "open" ? 20 : 0, sheets: [sheet], tip: name, reason: "", words: [],
});
// input -> block (left -> join, right -> join, input -> right) -> output
const BOXES = [
  box("input", -1, [0, 0, 100, 40]),
  box("block", -1, [0, 60, 300, 200], "open"),
  box("left", 1, [10, 90, 100, 40]),
  box("right", 1, [150, 90, 100, 40], "closed"),
  box("join", 1, [80, 200, 100, 40]),
  box("output", -1, [0, 300, 100, 40]),
];
const LINKS = [[0, 2], [0, 3], [2, 4], [3, 4], [4, 5]];
const ENTRIES = [
  { name: "input", kind: "input", parent: -1 },
  { name: "block", kind: "Block", parent: -1 },
  { name: "block.left", kind: "Conv2d", parent: 1 },
  { name: "block.right", kind: "Sequential", parent: 1 },
  { name: "block.right.0", kind: "Conv2d", parent: 3 },
];
const PLAIN = { scale: 1, x: 0, y: 0 };
const at = (point, view = PLAIN) => BOXES[boxAt(BOXES, view, point)]?.name;

test("a point is in the innermost box there, and in an open scope only where its name is", () => {
  assert.equal(at([50, 20]), "input");
  assert.equal(at([20, 100]), "left");
  assert.equal(at([200, 65]), "block");
  assert.equal(at([20, 150]), undefined);
  assert.equal(at([100, 40]), undefined); // the lower right corner is outside
});

test("the name of an open scope stays at the upper edge while the scope is in sight, and is hit there", () => {
  const scrolled = { scale: 2, x: 0, y: -200 }; // the edge is at 100
  assert.deepEqual(headOf(BOXES, 1, scrolled), [0, 100, 300, 20]);
  assert.equal(at([20, 105], scrolled), "block"); // and covers what is below
  assert.deepEqual(headOf(BOXES, 1, { scale: 1, x: 0, y: -900 }), [0, 240, 300, 20]);
});

test("names of scopes in one another stay at the upper edge one below the other", () => {
  const nested = [box("outer", -1, [0, 0, 300, 900], "open"), box("inner", 0, [10, 30, 200, 800], "open")];
  const scrolled = { scale: 1, x: 0, y: -400 };
  assert.deepEqual(nested.map((_, i) => headOf(nested, i, scrolled)[1]), [400, 420]);
});

test("only what a window shows some of is drawn", () => {
  const names = (seen) => boxesIn(BOXES, seen).map((i) => BOXES[i].name);
  assert.deepEqual(names([0, 0, 50, 50]), ["input"]);
  assert.deepEqual(names([120, 80, 100, 60]), ["block", "right"]);
  assert.deepEqual(windowOf({ scale: 2, x: -20, y: 40 }, [100, 60]), [10, -20, 50, 30]);
  assert.ok(showsPiece([10, 0, 90, 100], [40, 40, 10, 10]));
  assert.ok(showsPiece([90, 0, 10, 100], [40, 40, 10, 10]));
  assert.ok(!showsPiece([10, 0, 30, 100], [40, 40, 10, 10]));
});

test("a piece that several lines share is drawn once", () => {
  assert.deepEqual(piecesOf([[0, 0, 0, 10, 5, 20], [0, 0, 0, 10, -5, 20]]), [
    [0, 0, 0, 10], [0, 10, 5, 20], [0, 10, -5, 20],
  ]);
});

test("arrows walk along the lines and among what stands side by side", () => {
  const walk = (name, key) => {
    const to = walked(BOXES, LINKS, BOXES.findIndex((each) => each.name === name), key);
    return to === null ? null : BOXES[to]?.name;
  };
  assert.equal(walk("input", "ArrowDown"), "left");
  assert.equal(walk("left", "ArrowRight"), "right");
  assert.equal(walk("right", "ArrowLeft"), "left");
  assert.equal(walk("left", "ArrowLeft"), undefined);
  assert.equal(walk("left", "ArrowDown"), "join");
  assert.equal(walk("join", "ArrowUp"), "right");
  assert.equal(walk("join", "ArrowRight"), undefined);
  assert.equal(walk("join", "Backspace"), "block");
  assert.equal(walk("block", "ArrowDown"), "left");
  assert.equal(walk("block", "ArrowUp"), "input");
  assert.equal(walk("input", "ArrowUp"), undefined);
  assert.equal(walk("output", "ArrowDown"), undefined);
  assert.equal(walk("left", "End"), "output");
  assert.equal(walk("left", "Home"), "input");
  assert.equal(walk("left", "x"), null);
});

test("names and types are searched, also in closed scopes", () => {
  assert.deepEqual(matching(ENTRIES, "conv"), [2, 4]);
  assert.deepEqual(matching(ENTRIES, "right"), [3, 4]);
  assert.deepEqual(around(ENTRIES, 4), ["block.right", "block"]);
});

test("what is open in a scope closes with it", () => {
  assert.deepEqual(toggled(["block"], ENTRIES, "block.right"), ["block", "block.right"]);
  assert.deepEqual(toggled(["block", "block.right"], ENTRIES, "block.right"), ["block"]);
  assert.deepEqual(toggled(["block", "block.right"], ENTRIES, "block"), []);
});

test("a high drawing fits its width from the top, another one wholly, and none is enlarged", () => {
  assert.deepEqual(fitted([200, 4000], [400, 400], 0.45), { scale: 1, x: 100, y: 0 });
  assert.deepEqual(fitted([800, 4000], [400, 400], 0.45), { scale: 0.5, x: 0, y: 0 });
  assert.deepEqual(fitted([800, 600], [400, 400], 0.45), { scale: 0.5, x: 0, y: 50 });
});

test("zooming keeps the point under the mouse, and stays within limits", () => {
  const before = { scale: 0.5, x: 10, y: -30 };
  const after = zoomedAt(before, 3, [70, 90]);
  assert.deepEqual(inDrawing(after, [70, 90]), inDrawing(before, [70, 90]));
  assert.equal(zoomedAt(before, 1e9, [0, 0]).scale, 4);
});

test("what is opened keeps its upper middle where it was", () => {
  const view = { scale: 0.5, x: 7, y: 9 };
  const moved = anchored(view, [300, 500, 400], [100, 50, 100]);
  assert.equal(moved.x + (300 + 200) * 0.5, view.x + (100 + 50) * 0.5);
  assert.equal(moved.y + 500 * 0.5, view.y + 50 * 0.5);
});

test("a box is brought into sight by the shortest way, and the drawing never leaves", () => {
  const room = [200, 200];
  assert.deepEqual(revealing(PLAIN, [30, 30, 50, 50], room), PLAIN);
  assert.deepEqual(revealing(PLAIN, [30, 500, 50, 50], room), { scale: 1, x: 0, y: 200 - 24 - 550 });
  assert.deepEqual(revealing(PLAIN, [30, -90, 50, 50], room), { scale: 1, x: 0, y: 24 + 90 });
  assert.deepEqual(kept({ scale: 1, x: 5000, y: -5000 }, [300, 300], room), { scale: 1, x: 176, y: -276 });
  assert.deepEqual(frontOf({ sheets: [[3, 3, 1, 1], [0, 0, 1, 1]] }), [0, 0, 1, 1]);
});

test("ink on a colour is what contrasts more", () => {
  assert.equal(inkOn("#440154"), "#ffffff");
  assert.equal(inkOn("#fde725"), "#000000");
});
