import assert from "node:assert/strict";
import test from "node:test";

import { bytes, clamp, figures, halves, identity, middle } from "../../interp_widgets/widgets/kit/dom.js";
import { statusOf } from "../../interp_widgets/widgets/kit/status_line.js";
import { grouped } from "../../interp_widgets/widgets/kit/menu.js";
import { say } from "../../interp_widgets/widgets/kit/words.js";

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

test("a long name is cut before its last eight letters, a short one not at all", () => {
  assert.deepEqual(halves("layer4.2.relu"), ["layer4.2.relu", ""]);
  assert.deepEqual(halves("features.denseblock3.denselayer12.conv2"), ["features.denseblock3.denselayer", "12.conv2"]);
  assert.deepEqual(halves("一二三四五六七八九十一二三四五六七八"), ["一二三四五六七八九十", "一二三四五六七八"]);
});

test("an accent stays with its letter, a family of signs in one piece", () => {
  const accented = "e\u0301"; // two code points, one letter
  assert.deepEqual(halves(accented.repeat(20)), [accented.repeat(12), accented.repeat(8)]);
  const family = "\u{1F468}\u200d\u{1F469}\u200d\u{1F467}";
  assert.deepEqual(halves(family.repeat(20)), [family.repeat(12), family.repeat(8)]);
});

test("names from right to left are cut between words, and not at all where directions mix", () => {
  const words = ["قطة", "منزلية", "صغيرة", "جدا", "جميلة"];
  const [start, end] = halves(words.join(" "));
  assert.equal(start + end, words.join(" "));
  assert.equal(end, " جميلة");
  assert.deepEqual(halves("ابجدهوزحطيكلمنسعفصقرشت"), ["ابجدهوزحطيكلمنسعفصقرشت", ""]);
  const mixed = "the class called חתול ביתי of the street";
  assert.deepEqual(halves(mixed), [mixed, ""]);
});

test("a text of too many letters loses its middle", () => {
  assert.equal(middle("layer4.2.relu", 13), "layer4.2.relu");
  assert.equal(middle("features.denseblock3.denselayer12.conv2", 20), "features.de…12.conv2");
});

test("a name from right to left is isolated in a sentence, any other stays as it is", () => {
  assert.equal(say("{name}, rank {rank}", { name: "قطة", rank: 3 }), "\u2068قطة\u2069, rank 3");
  assert.equal(say("{name}, rank {rank}", { name: "cat", rank: 3 }), "cat, rank 3");
});
