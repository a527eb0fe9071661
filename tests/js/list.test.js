import assert from "node:assert/strict";
import test from "node:test";

import { ENDS, destination, scrolledTo, within, writes } from "../../interp_widgets/widgets/kit/list.js";

const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 5, ...ENDS };
const key = (name, more = {}) => ({ key: name, ctrlKey: false, metaKey: false, altKey: false, ...more });

test("arrows go by one, pages by many, Home and End to the ends", () => {
  assert.equal(destination(key("ArrowDown"), 3, 10, STEPS), 4);
  assert.equal(destination(key("ArrowUp"), 3, 10, STEPS), 2);
  assert.equal(destination(key("PageDown"), 3, 10, STEPS), 8);
  assert.equal(destination(key("Home"), 3, 10, STEPS), 0);
  assert.equal(destination(key("End"), 3, 10, STEPS), 9);
});

test("a step over the edge says so, and the nearest option is at the edge", () => {
  assert.equal(destination(key("ArrowUp"), 0, 10, STEPS), -1);
  assert.equal(destination(key("PageDown"), 8, 10, STEPS), 13);
  assert.equal(within(-1, 10), 0);
  assert.equal(within(13, 10), 9);
});

test("from nowhere the keys come in at the side they walk away from", () => {
  assert.equal(destination(key("ArrowDown"), -1, 10, STEPS), 0);
  assert.equal(destination(key("ArrowUp"), -1, 10, STEPS), 9);
});

test("other keys, commands and empty lists lead nowhere", () => {
  assert.equal(destination(key("a"), 0, 10, STEPS), null);
  assert.equal(destination(key("ArrowDown", { ctrlKey: true }), 0, 10, STEPS), null);
  assert.equal(destination(key("ArrowDown"), -1, 0, STEPS), null);
  assert.equal(destination(key("Home"), 3, 10, { ArrowDown: 1 }), null); // a search field keeps its Home
});

test("a letter belongs into the search field, a command does not", () => {
  assert.equal(writes(key("x")), true);
  assert.equal(writes(key("x", { metaKey: true })), false);
  assert.equal(writes(key("Enter")), false);
});

test("an option out of sight is scrolled to the nearer edge, one in sight stays", () => {
  assert.equal(scrolledTo(10, 20, 50, 100), 10);
  assert.equal(scrolledTo(140, 20, 50, 100), 60);
  assert.equal(scrolledTo(60, 20, 50, 100), 50);
});
