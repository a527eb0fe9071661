// What every widget needs of the page: elements, traits, frames, words for numbers.

import { RIGHT_TO_LEFT } from "./words.js";

const END = 8; // letters at the end of a long name that are always seen: layers and files differ there
const LETTER = /\p{L}/u;
const segmenter = new Intl.Segmenter();

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

/** Say what a control is for: a tooltip, and a description for screen readers, which then do not read the tooltip too.
 *
 * `seen` opens the tooltip: what a screen reader has from elsewhere, such as the control's name. */
export function explain(element, help, seen = "") {
  const title = [seen, help].filter(Boolean).join("\n");
  for (const [name, value] of [["title", title], ["aria-description", help]]) {
    if (value) element.setAttribute(name, value);
    else element.removeAttribute(name);
  }
}

/** Attributes of an element that takes the keyboard; JupyterLab looks for the second on the focused element itself. */
export const KEYS = { tabindex: "0", "data-lm-suppress-shortcuts": "true" };

/** A text letter by letter, as people count them: accents and joined signs are no letters of their own. */
function letters(text) {
  return [...segmenter.segment(text)].map(({ segment }) => segment);
}

/** A text of at most `most` letters: of a longer one the middle is left out. */
export function middle(text, most) {
  const all = letters(text);
  if (all.length <= most) return text;
  return `${all.slice(0, most - END - 1).join("")}…${all.slice(-END).join("")}`;
}

/** Where a name is cut so that its end stays in sight; 0 or less: nowhere.
 *
 * Letters from right to left may be joined, and change their order beside others: there it is cut between words only,
 * and not at all among letters of both directions. */
function cutOf(all) {
  const cut = all.length - END;
  if (all.length <= 2 * END) return 0;
  const isBackward = all.map((each) => RIGHT_TO_LEFT.test(each));
  if (!isBackward.includes(true)) return cut;
  const isMixed = all.some((each, i) => LETTER.test(each) && !isBackward[i]);
  return isMixed ? 0 : all.indexOf(" ", cut);
}

/** A name in two parts, of which the second stays in sight where there is little room; empty for a short name. */
export function halves(text) {
  const all = letters(text);
  const cut = cutOf(all);
  if (cut <= 0) return [text, ""];
  return [all.slice(0, cut).join(""), all.slice(cut).join("")];
}

/** A name that is shortened in its middle to the room there is, and reads in its own direction.
 *
 * `shown(from, to)` makes the children for that part of the text. Not for the name of a role: the parts are boxes. */
export function shortened(text, className = "", shown = (from, to) => [text.slice(from, to)]) {
  const [start, end] = halves(text);
  const parts = [make("span", { class: "iw-ellipsis" }, ...shown(0, start.length))];
  if (end) parts.push(make("span", {}, ...shown(start.length, text.length)));
  return make("bdi", { class: `iw-short ${className}`.trim() }, ...parts);
}

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
