// The ES module of every widget. A page may show hundreds, so a widget brings only this; the text of its class comes
// once from the kernel, in a model of its own to which the trait `_code` refers, and is read once by the page.

const REFERENCE = "IPY_MODEL_"; // what ipywidgets puts in front of a model's id
const shared = (globalThis.interpWidgets ??= { modules: new Map(), styles: new Set(), since: 0 });
// Modules and style sheets by their text; since when it draws in one task.

/** Read a text as an ES module; how the widget is drawn is its default export. */
async function read(text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function dress(style) {
  if (shared.styles.has(style)) return;
  shared.styles.add(style);
  const sheet = document.createElement("style");
  sheet.textContent = style;
  document.head.append(sheet);
}

/** The model that holds the widget's code, and what the page read in it. */
async function find(model) {
  const id = model.get("_code").slice(REFERENCE.length);
  const source = await model.widget_manager.get_model(id);
  dress(source.get("style"));
  const text = source.get("text");
  if (!shared.modules.has(text)) shared.modules.set(text, read(text));
  return { source, widget: await shared.modules.get(text) };
}

// All drawn in one task, a page with many widgets would stand still, and the two seconds that anywidget gives a model
// would pass for those that are still read. A task for each would have the page laid out anew for each.
const AT_ONCE = 100; // milliseconds of drawing in one task

/** Wait for one's turn to draw. */
function turn() {
  const { port1, port2 } = (shared.ports ??= new MessageChannel()); // kept: what waits for a message may be collected
  shared.turn = Promise.resolve(shared.turn).then(() => {
    if (performance.now() - shared.since < AT_ONCE) return undefined;
    return new Promise((resolve) => {
      port1.onmessage = () => {
        shared.since = performance.now();
        resolve();
      };
      port2.postMessage(null);
    });
  });
  return shared.turn;
}

/** Take one step of the widget's code; none when the widget was closed before the code was here. */
async function follow(context, step) {
  const isClosed = () => context.signal?.aborted;
  try {
    const { source, widget } = await find(context.model);
    if (step === "render") await turn();
    if (!isClosed()) return widget[step]?.({ ...context, source });
  } catch (error) {
    if (!isClosed()) throw error;
  }
  return undefined;
}

export default {
  // Not waited for: anywidget gives up on a model that is not initialized in two seconds.
  initialize(context) {
    follow(context, "initialize");
  },
  render(context) {
    return follow(context, "render");
  },
};
