// What every widget needs of the page: elements, traits, frames, words for numbers.

/** An element with attributes and children; strings become text nodes, never markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    const absent = value === null || value === undefined || value === false;
    if (!absent) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Attributes of an element that takes the keyboard; JupyterLab looks for the second on the focused element itself. */
export const KEYS = { tabindex: "0", "data-lm-suppress-shortcuts": "true" };

let identities = 0;

/** An id that no other element of the page has, not even one of another copy of this module. */
export function identity(prefix) {
  identities += 1;
  const time = Date.now().toString(36);
  const chance = Math.random().toString(36).slice(2, 7);
  return `${prefix}-${time}-${chance}-${identities}`;
}

/** A function that runs `callback` at the next frame, once however often it is called before. */
export function oncePerFrame(callback, signal) {
  let pending = 0;
  const run = () => {
    pending = 0;
    callback();
  };
  signal?.addEventListener("abort", () => cancelAnimationFrame(pending));
  return () => {
    if (!pending) pending = requestAnimationFrame(run);
  };
}

/** Run `callback` when the page first shows `element`: before, nothing has a size and nothing scrolls. */
export function onceSeen(element, callback, signal) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    callback();
  });
  observer.observe(element);
  signal?.addEventListener("abort", () => observer.disconnect());
}

/** Run `callback` when one of some traits changes. anywidget takes the callback away together with the view. */
export function onChange(model, traits, callback) {
  for (const name of traits) model.on(`change:${name}`, callback);
}

/** Set a trait here and in the kernel; the kernel hears the newest value when it has time. */
export function change(model, name, value) {
  model.set(name, value);
  model.save_changes();
}

/** The bytes of a binary trait, whatever view of them the host hands out. */
export function bytes(value) {
  if (!value) return new Uint8Array(0);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** A number for people: three figures, a real minus sign, powers of ten only when they help. */
export function figures(value) {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) {
    return String(value).replace("-", "\u2212"); // a count is not rounded
  }
  const size = Math.abs(value);
  const extreme = size !== 0 && (size >= 1e5 || size < 1e-3);
  const text = extreme ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace(/-/g, "\u2212");
}

/** `value` if it lies between `low` and `high`, else the nearer of the two. */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** Answer a key: JupyterLab and the page do not get to see it. */
export function taken(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** Whether a key is held together with one that makes it a command of the browser or of JupyterLab. */
export function modified(event) {
  return event.ctrlKey || event.metaKey || event.altKey;
}
