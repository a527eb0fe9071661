// A row of titles, one chosen. Arrow keys walk along it, Tab leaves it.

import { KEYS, change, identity, make, onChange, taken } from "./dom.js";
import { ENDS, destination } from "./list.js";
import { say } from "./words.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ...ENDS };

function render({ model, el }) {
  const list = make("div", { class: "iw-tabs", role: "tablist" });
  const wide = make("button", { class: "iw-button iw-widen", type: "button", ...KEYS });
  el.append(make("div", { class: "iw iw-tabbar" }, list, wide));
  const prefix = identity("iw-tab");

  function build() {
    list.setAttribute("aria-label", model.get("label"));
    list.replaceChildren(...model.get("titles").map(tab));
    mark();
  }

  function tab(title, i) {
    const made = make("button", { class: "iw-tab", type: "button", role: "tab", id: `${prefix}-${i}`, ...KEYS }, title);
    made.addEventListener("click", () => change(model, "selected", i));
    return made;
  }

  /** One tab stop: the chosen title. */
  function mark() {
    [...list.children].forEach((made, i) => {
      const isChosen = i === model.get("selected");
      made.setAttribute("aria-selected", String(isChosen));
      made.tabIndex = isChosen ? 0 : -1;
    });
  }

  function size() {
    const isWide = model.get("wide");
    wide.textContent = isWide ? "⤡" : "⤢";
    wide.title = isWide ? say("as small as before, beside the network") : say("as wide as the page, and higher");
    wide.setAttribute("aria-label", say("wide panel"));
    wide.setAttribute("aria-pressed", String(isWide));
  }

  wide.addEventListener("click", () => change(model, "wide", !model.get("wide")));
  list.addEventListener("keydown", (event) => {
    const count = list.children.length;
    const to = destination(event, model.get("selected"), count, STEPS);
    if (to === null) return;
    taken(event);
    const next = (to + count) % count; // round and round, as tabs do
    change(model, "selected", next);
    list.children[next].focus();
  });

  onChange(model, ["titles", "label"], build);
  onChange(model, ["selected"], mark);
  onChange(model, ["wide"], size);
  build();
  size();
}

export default { render };
