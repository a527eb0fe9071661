// The ES module of every widget. A page may show hundreds, so a widget brings only this; the text of its class comes
// once from the kernel, in a model of its own to which the trait `_code` refers, and is read once by the page.

const REFERENCE = "IPY_MODEL_"; // what ipywidgets puts in front of a model's id
const shared = (globalThis.interpWidgets ??= { modules: new Map(), styles: new Set() }); // by their text

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

/** Take one step of the widget's code; none when the widget was closed before the code was here. */
async function follow(context, step) {
  const isClosed = () => context.signal?.aborted;
  try {
    const { source, widget } = await find(context.model);
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
