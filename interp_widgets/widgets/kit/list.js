// How all lists behave: one tab stop, one chosen option, keys that walk, a search field; for screen readers a listbox.

import { KEYS, clamp, make, modified } from "./dom.js";

/** Steps of the keys that lead to a list's ends, for `destination`. */
export const ENDS = { Home: -Infinity, End: Infinity };

/** The index to which a key leads in a list of `count` options from index `at` (-1: none yet); null for other keys.
 *
 * `steps` says how far each key goes. The index may lie beyond the list: the caller stops there, or turns the page. */
export function destination(event, at, count, steps) {
  const step = steps[event.key];
  if (step === undefined || modified(event) || count === 0) return null;
  const forward = step > 0;
  if (!Number.isFinite(step)) return forward ? count - 1 : 0;
  if (at < 0) return forward ? 0 : count - 1;
  return at + step;
}

/** The index nearest to `at` in a list of `count` options. */
export function within(at, count) {
  return clamp(at, 0, count - 1);
}

/** Whether a key writes a letter: typed on a list, it belongs into the list's search field. */
export function writes(event) {
  return event.key.length === 1 && !modified(event);
}

/** Tell which of the options is chosen; -1: none. */
export function choose(options, at) {
  options.forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
}

/** Tell on which option the keyboard stands; each of `elements`, which keep the focus, says so to screen readers. */
export function stand(elements, option) {
  for (const element of elements) {
    if (option) element.setAttribute("aria-activedescendant", option.id);
    else element.removeAttribute("aria-activedescendant");
  }
}

/** Where to scroll so that `size` at `start` is seen in a window of `room` that is scrolled to `scrolled`. */
export function scrolledTo(start, size, scrolled, room) {
  if (start < scrolled) return start;
  if (start + size > scrolled + room) return start + size - room;
  return scrolled;
}

/** Scroll an option into sight inside its list only, so that the page never jumps. */
export function reveal(list, option) {
  list.scrollTop = scrolledTo(option.offsetTop, option.offsetHeight, list.scrollTop, list.clientHeight);
  list.scrollLeft = scrolledTo(option.offsetLeft, option.offsetWidth, list.scrollLeft, list.clientWidth);
}

/** A field whose text filters the list with the given id; what stands in it while it is empty, and its name. */
export function searchField(placeholder, label, listId, attributes = {}) {
  return make("input", {
    class: "iw-search",
    type: "search",
    placeholder,
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": label,
    "aria-controls": listId,
    ...attributes,
    ...KEYS,
  });
}

/** A line in place of the options, when there are none; a list may hold its options only, so it has their role. */
export function nothing(text, role) {
  return make("div", { class: "iw-muted iw-nothing", role, "aria-disabled": "true" }, text);
}
