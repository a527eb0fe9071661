import assert from "node:assert/strict";
import test from "node:test";

import loader from "../../interp_widgets/widgets/kit/loader.js";

const sheets = [];
let imports = 0;
let tasks = 0;

/** A port wakes what waits for it in another task; node's own would keep the process alive. */
globalThis.MessageChannel = class {
  port1 = {};
  port2 = {
    postMessage: () => {
      tasks += 1;
      setTimeout(this.port1.onmessage);
    },
  };
};

/** What the loader needs of a browser; node imports no blobs, but the same text from a data URL. */
globalThis.document = { createElement: () => ({}), head: { append: (sheet) => sheets.push(sheet) } };
globalThis.Blob = class {
  constructor([text]) {
    this.text = text;
  }
};
URL.createObjectURL = ({ text }) => {
  imports += 1;
  return `data:text/javascript,${encodeURIComponent(text)}`;
};
URL.revokeObjectURL = () => {};

const traits = (values) => ({ get: (name) => values[name] });

/** A widget whose code says what was done with it. */
function widget(text, style = "p {}") {
  const source = traits({ text, style });
  const manager = { get_model: async (id) => (id === "7f" ? source : assert.fail(`asked for ${id}`)) };
  const model = { ...traits({ _code: "IPY_MODEL_7f" }), widget_manager: manager, done: [] };
  return { model, source };
}

const CODE = `export default {
  initialize: ({ model }) => { model.done.push("initialized"); },
  render: ({ model, source }) => { model.done.push("rendered"); model.seen = source; return "cleanup"; },
};`;

test("a widget is initialized and rendered by the code that it refers to", async () => {
  const { source, ...context } = widget(CODE);
  assert.equal(loader.initialize(context), undefined, "anywidget would wait for it");
  assert.equal(await loader.render(context), "cleanup");
  assert.deepEqual(context.model.done, ["initialized", "rendered"]);
  assert.equal(context.model.seen, source, "its model knows whether the kernel is there");
});

test("a page reads a text and a style sheet once, whatever kernel they come from", async () => {
  const before = [imports, sheets.length];
  await Promise.all(Array.from({ length: 5 }, () => loader.render(widget(CODE))));
  assert.deepEqual([imports, sheets.length], before);
  await loader.render(widget(`${CODE}\n// changed`, "q {}"));
  assert.deepEqual([imports, sheets.length], [before[0] + 1, before[1] + 1]);
});

test("what takes long to draw lets the page do something else between", async () => {
  const slow = `export default { render: () => {
    const end = performance.now() + 120;
    while (performance.now() < end);
  } };`;
  tasks = 0;
  await Promise.all(Array.from({ length: 4 }, () => loader.render(widget(slow))));
  assert.ok(tasks >= 3, `${tasks} tasks for four drawings`); // and one more where the task had begun before
});

test("code without initialize is fine", async () => {
  const context = widget("export default { render: () => 1 };");
  loader.initialize(context);
  assert.equal(await loader.render(context), 1);
});

test("a widget that was closed before its code came is left alone, without an error", async () => {
  const manager = { get_model: () => Promise.reject(new Error("widget model not found")) };
  const model = { ...traits({ _code: "IPY_MODEL_7f" }), widget_manager: manager };
  const closing = new AbortController();
  closing.abort();
  assert.equal(await loader.render({ model, signal: closing.signal }), undefined);
  await assert.rejects(() => loader.render({ model, signal: new AbortController().signal }), /widget model not found/);
});
