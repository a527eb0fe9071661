// The parts of save.js that need no page.

import assert from "node:assert/strict";
import test from "node:test";

import { Refusal, orders, placeOf, toClipboard } from "../../interp_widgets/widgets/kit/save.js";

const PNG = new Uint8Array([1, 2, 3]);

/** A model that hands out what is sent, and takes an answer. */
function fakeModel() {
  const sent = [];
  let hear = null;
  return {
    sent,
    on: (_event, callback) => { hear = callback; },
    send: (message) => sent.push(message),
    answer: (message, buffers = []) => hear(message, buffers),
  };
}

/** A page whose clipboard keeps what it is given, or refuses. */
function pageWith(write) {
  class ClipboardItem {
    constructor(parts) { this.parts = parts; }
  }
  return { navigator: { clipboard: { write } }, ClipboardItem };
}

test("an answer belongs to the order with its id, whatever came first", async () => {
  const model = fakeModel();
  const { ask } = orders(model);
  const first = ask("png");
  const second = ask("svg");
  assert.deepEqual(model.sent.map(({ type, kind }) => [type, kind]), [["make", "png"], ["make", "svg"]]);
  model.answer({ type: "made", id: "of another view", name: "no.png" }, [PNG]);
  model.answer({ type: "made", id: model.sent[1].id, name: "b.svg" }, [PNG.buffer]);
  model.answer({ type: "refused", id: model.sent[0].id, reason: "not yet" });
  assert.deepEqual(await second, { name: "b.svg", data: PNG });
  await assert.rejects(first, (error) => error instanceof Refusal && error.message === "not yet");
});

test("whoever waits is told when nobody answers any more", async () => {
  const { ask, refuse } = orders(fakeModel());
  const answer = ask("png");
  refuse("not connected");
  await assert.rejects(answer, { message: "not connected" });
});

test("the clipboard gets what the kernel made", async () => {
  let written = null;
  const page = pageWith(async ([item]) => {
    written = await item.parts["image/png"];
  });
  assert.equal(await toClipboard(Promise.resolve({ data: PNG }), "image/png", page), true);
  assert.equal(written.type, "image/png");
  assert.deepEqual(new Uint8Array(await written.arrayBuffer()), PNG);
});

test("a page without a clipboard, or with one that refuses, is told from a kernel that refuses", async () => {
  const made = Promise.resolve({ data: PNG });
  assert.equal(await toClipboard(made, "image/png", {}), false);
  assert.equal(await toClipboard(made, "image/png", { navigator: { clipboard: {} } }), false);
  const refusing = pageWith(() => Promise.reject(new Error("NotAllowedError")));
  assert.equal(await toClipboard(made, "image/png", refusing), false);
  const page = pageWith(([item]) => item.parts["image/png"]);
  await assert.rejects(toClipboard(Promise.reject(new Refusal("not yet")), "image/png", page), { message: "not yet" });
});

test("the menu stands below its button and inside the window", () => {
  assert.deepEqual(placeOf({ left: 100, bottom: 50 }, 200, 1000), { left: 100, top: 54 });
  assert.deepEqual(placeOf({ left: 950, bottom: 50 }, 200, 1000), { left: 796, top: 54 });
  assert.deepEqual(placeOf({ left: 50, bottom: 50 }, 400, 300), { left: 4, top: 54 });
});
