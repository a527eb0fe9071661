// Pictures in a row, one chosen: a list of options with one tab stop.

import { KEYS, bytes, change, identity, make, onChange, taken } from "./dom.js";
import { ENDS, choose, destination, reveal, stand, within } from "./list.js";

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, ...ENDS };

function render({ model, el, signal }) {
  const row = make("div", {
    class: "iw-thumbs",
    role: "listbox",
    "aria-label": "inputs",
    "aria-orientation": "horizontal",
    ...KEYS,
  });
  el.append(make("div", { class: "iw" }, row));
  const prefix = identity("iw-thumb");

  function picture(data) {
    const url = URL.createObjectURL(new Blob([data], { type: "image/png" }));
    const image = make("img", { src: url, alt: "", draggable: "false" });
    // once it is read: earlier, a row that is rebuilt at once would leave the browser without it
    for (const event of ["load", "error"]) image.addEventListener(event, () => URL.revokeObjectURL(url));
    return image;
  }

  function option(image, i) {
    const name = model.get("names")[i] ?? "";
    const data = bytes(image);
    const content = data.length ? picture(data) : make("span", {}, `${i + 1}`);
    const made = make("div", { role: "option", id: `${prefix}-${i}`, "aria-label": name, title: name }, content);
    made.style.width = `${model.get("size")}px`;
    made.style.height = `${model.get("size")}px`;
    made.addEventListener("click", () => change(model, "selected", i), { signal });
    return made;
  }

  function build() {
    row.replaceChildren(...model.get("images").map(option));
    mark();
  }

  function mark() {
    const options = [...row.children];
    const chosen = options[model.get("selected")];
    choose(options, model.get("selected"));
    stand([row], chosen);
    if (chosen) reveal(row, chosen);
  }

  function pressed(event) {
    const count = row.children.length;
    const to = destination(event, model.get("selected"), count, STEPS);
    if (to === null) return;
    taken(event);
    change(model, "selected", within(to, count));
  }

  row.addEventListener("keydown", pressed, { signal });
  onChange(model, ["images", "names", "size"], build);
  onChange(model, ["selected"], mark);
  build();
}

export default { render };
