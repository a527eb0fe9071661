import assert from "node:assert/strict";
import test from "node:test";

import { searched, short, unfolded } from "../../interp_widgets/widgets/kit/layer_tree.js";
import { ancestors, family, pieces } from "../../interp_widgets/widgets/kit/tree.js";

const node = (path, parent, kind) => ({ path, parent, kind });
const NODES = [
  node("conv1", -1, "Conv2d"),
  node("layer1", -1, "Sequential"),
  node("layer1.0", 1, "BasicBlock"),
  node("layer1.0.relu", 2, "ReLU"),
  node("layer1.1", 1, "BasicBlock"),
  node("fc", -1, "Linear"),
];

test("children, levels and siblings follow from the parents", () => {
  const { roots, children, levels, siblings, byPath } = family(NODES);
  assert.deepEqual(roots, [0, 1, 5]);
  assert.deepEqual(children, [[], [2, 4], [3], [], [], []]);
  assert.deepEqual(levels, [1, 1, 2, 3, 2, 1]);
  assert.deepEqual(siblings[4], [2, 4]);
  assert.deepEqual(siblings[5], [0, 1, 5]);
  assert.equal(byPath.get("layer1.1"), 4);
});

test("ancestors come from the nearest to the farthest", () => {
  assert.deepEqual(ancestors(NODES, 3), [2, 1]);
  assert.deepEqual(ancestors(NODES, 0), []);
});

test("a node is seen when all above it are open", () => {
  assert.deepEqual(unfolded(NODES, new Set()), [0, 1, 5]);
  assert.deepEqual(unfolded(NODES, new Set(["layer1"])), [0, 1, 2, 4, 5]);
  assert.deepEqual(unfolded(NODES, new Set(["layer1.0"])), [0, 1, 5]); // its parent is closed
});

test("a search keeps the matches by path and by type, with what is above them", () => {
  assert.deepEqual(searched(NODES, "relu"), { found: [3], visible: [1, 2, 3] });
  assert.deepEqual(searched(NODES, "basic"), { found: [2, 4], visible: [1, 2, 4] });
  assert.deepEqual(searched(NODES, "nothing"), { found: [], visible: [] });
});

test("what was searched for is cut out as it is written", () => {
  assert.deepEqual(pieces("BasicBlock", "block"), ["Basic", "Block", ""]);
  assert.deepEqual(pieces("Conv2d", "block"), ["Conv2d"]);
  assert.deepEqual(pieces("Conv2d", ""), ["Conv2d"]);
});

test("a match is marked in each part of a name that was cut in two", () => {
  assert.deepEqual(pieces("BasicBlock", "block", 0, 7), ["Basic", "Bl", ""]);
  assert.deepEqual(pieces("BasicBlock", "block", 7, 10), ["", "ock", ""]);
  assert.deepEqual(pieces("BasicBlock", "block", 0, 4), ["Basi"]);
});

test("numbers of parameters are short", () => {
  assert.deepEqual([0, 999, 9408, 147968, 25_600_000, 7e9].map(short), ["", "999", "9.4k", "148k", "25.6M", "7.0B"]);
});
