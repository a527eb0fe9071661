// Shared by all widgets: `_assets.module` puts this text in front of each widget's own module.

/** An element with attributes and children; strings become text nodes, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Attributes of an element that takes the keyboard: JupyterLab looks for the second one on the focused element itself. */
const KEYS = { tabindex: "0", "data-lm-suppress-shortcuts": "true" };

let identities = 0;
/** An id that no other element of the page has. */
const identity = (prefix) => `${prefix}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 7)}-${++identities}`;

/** Run `callback` at the next frame, once however often it was asked for. */
function oncePerFrame(callback, signal) {
  let pending = 0;
  signal?.addEventListener("abort", () => cancelAnimationFrame(pending));
  return () => {
    if (!pending) pending = requestAnimationFrame(() => { pending = 0; callback(); });
  };
}

/** Set a trait here and in the kernel; the kernel hears the newest value when it has time. */
function change(model, name, value) {
  model.set(name, value);
  model.save_changes();
}

/** The bytes of a binary trait, whatever view the host hands out. */
function bytes(value) {
  if (!value) return new Uint8Array(0);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** A number for people: three figures, a real minus sign, powers of ten only when they help. */
function figures(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e5 || size < 1e-3) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace(/-/g, "\u2212");
}

/** True when `event` was answered: JupyterLab and the page must not see the key. */
function taken(event) {
  event.preventDefault();
  event.stopPropagation();
  return true;
}

/** Scroll `inner` into sight inside `outer` only, so that the page never jumps. */
function reveal(outer, inner) {
  if (inner.offsetTop < outer.scrollTop) outer.scrollTop = inner.offsetTop;
  else if (inner.offsetTop + inner.offsetHeight > outer.scrollTop + outer.clientHeight) {
    outer.scrollTop = inner.offsetTop + inner.offsetHeight - outer.clientHeight;
  }
}

/** Run `callback` when the page shows `element` for the first time: before, nothing has a size and nothing scrolls. */
function onceSeen(element, callback, signal) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    callback();
  });
  observer.observe(element);
  signal?.addEventListener("abort", () => observer.disconnect());
}
