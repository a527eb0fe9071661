// A button that opens a panel of topics; the browser gives the focus back when the panel is closed.

import { KEYS, explain, identity, make, onChange } from "./dom.js";
import { say } from "./words.js";

function render({ model, el, signal }) {
  const id = identity("iw-help");
  const button = make("button", { class: "iw-button iw-ask", type: "button", "aria-haspopup": "dialog", ...KEYS }, "?");
  const heading = make("h2", { id });
  const close = make("button", { class: "iw-button", type: "button", "aria-label": say("close"), ...KEYS }, "×");
  const topics = make("dl");
  const text = make("div", { class: "iw-topics", role: "group", "aria-labelledby": id, ...KEYS }, topics); // scrolls
  const head = make("div", { class: "iw-help-head" }, heading, close);
  const panel = make("dialog", { class: "iw-help", "aria-labelledby": id }, head, text);
  el.append(make("div", { class: "iw" }, button, panel));

  function build() {
    const label = model.get("label");
    heading.textContent = label;
    button.setAttribute("aria-label", label);
    explain(button, say("what is where, the keys, the colours, the words"), label);
    const entries = model.get("topics").map(([title, words]) => [make("dt", {}, title), make("dd", {}, words)]);
    topics.replaceChildren(...entries.flat());
  }

  /** On the panel itself there is only its edge and what lies behind it. */
  function onPanel(event) {
    if (event.target === panel) panel.close();
  }

  button.addEventListener("click", () => panel.showModal(), { signal });
  close.addEventListener("click", () => panel.close(), { signal });
  panel.addEventListener("click", onPanel, { signal });
  panel.addEventListener("keydown", (event) => event.stopPropagation(), { signal }); // not the notebook's
  onChange(model, ["label", "topics"], build);
  build();
}

export default { render };
