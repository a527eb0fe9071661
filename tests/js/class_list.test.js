import assert from "node:assert/strict";
import test from "node:test";

import {
  matching, percent, probabilities, ranked, shownClasses,
} from "../../interp_widgets/widgets/kit/class_list.js";

const NAMES = ["tabby cat", "Persian cat", "dog", "cat flap"];

test("classes come by falling probability, equal ones as they came", () => {
  assert.deepEqual(ranked(new Float32Array([0.1, 0.4, 0.1, 0.4]), 4), [1, 3, 0, 2]);
  assert.deepEqual(ranked(new Float32Array(0), 3), [0, 1, 2]);
});

test("probabilities that do not fit the classes are not used", () => {
  const two = new Uint8Array(new Float32Array([0.25, 0.75]).buffer);
  assert.deepEqual([...probabilities(two, 2)], [0.25, 0.75]);
  assert.equal(probabilities(two, 3).length, 0);
});

test("probabilities are read from any offset of a message", () => {
  const message = new Uint8Array(9);
  message.set(new Uint8Array(new Float32Array([0.25, 0.75]).buffer), 1);
  assert.deepEqual([...probabilities(message.subarray(1), 2)], [0.25, 0.75]);
});

test("a query matches when each of its words is in the name or is the class's number", () => {
  const order = [3, 2, 1, 0];
  assert.deepEqual(matching(order, NAMES, "CAT"), [3, 1, 0]);
  assert.deepEqual(matching(order, NAMES, "cat per"), [1]);
  assert.deepEqual(matching(order, NAMES, " 2 "), [2]);
  assert.deepEqual(matching(order, NAMES, "  "), order);
});

test("the selected class has a row even when it ranks behind the last one shown", () => {
  assert.deepEqual(shownClasses([5, 6, 7, 8], 8, 2), [5, 6, 8]);
  assert.deepEqual(shownClasses([5, 6, 7, 8], 5, 2), [5, 6]);
  assert.deepEqual(shownClasses([5, 6, 7], 9, 2), [5, 6]); // it does not match the query
});

test("a probability is never said to be 0 or 100 % unless it is", () => {
  const words = [1, 0.99999, 0.5, 0.004, 0.00001, 0, NaN].map(percent);
  assert.deepEqual(words, ["100.0 %", ">99.9 %", "50.0 %", "0.40 %", "<0.01 %", "0.0 %", "–"]);
});
