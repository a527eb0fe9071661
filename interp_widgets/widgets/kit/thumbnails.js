// Pictures in a row, one chosen: a list of options with one tab stop. A picture is asked for when it comes into sight.

import { KEYS, bytes, change, explain, identity, make, modified, onChange, taken } from "./dom.js";
import { ENDS, choose, destination, reveal, stand, within } from "./list.js";
import { say } from "./words.js";

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, ...ENDS };
const AHEAD = "0px 200px"; // beside the row, where pictures are asked for already

function render({ model, el, signal }) {
  const row = make("div", {
    class: "iw-thumbs",
    role: "listbox",
    "aria-label": say("inputs"),
    "aria-orientation": "horizontal",
    ...KEYS,
  });
  el.append(make("div", { class: "iw" }, row));
  const prefix = identity("iw-thumb");
  const asked = new Set();
  const sight = new IntersectionObserver(seen, { root: row, rootMargin: AHEAD });

  function picture(data) {
    const url = URL.createObjectURL(new Blob([data], { type: "image/png" }));
    const image = make("img", { src: url, alt: "", draggable: "false" });
    // once it is read: earlier, a row that is rebuilt at once would leave the browser without it
    for (const event of ["load", "error"]) image.addEventListener(event, () => URL.revokeObjectURL(url));
    return image;
  }

  /** The picture, or its number where there is none; a screen reader says the tooltip, which is the name. */
  function content(data, i) {
    const shown = data.length ? picture(data) : make("span", { "aria-hidden": "true" }, `${model.get("numbers")[i]}`);
    return model.get("removable") ? [shown, cross(i)] : [shown];
  }

  const remove = (place) => model.send({ type: "remove", place });

  /** For the mouse; the keyboard has Delete, and an option may hold no button. */
  function cross(i) {
    const made = make("span", { class: "iw-remove", "aria-hidden": "true", title: say("remove") }, "×");
    made.addEventListener("click", (event) => {
      event.stopPropagation(); // it is not chosen
      remove(i);
    });
    return made;
  }

  function option(image, i) {
    const name = model.get("names")[i] ?? "";
    const data = bytes(image);
    const attributes = { role: "option", id: `${prefix}-${i}`, title: name };
    const made = make("div", attributes, ...content(data, i));
    made.style.width = `${model.get("size")}px`;
    made.style.height = `${model.get("size")}px`;
    made.addEventListener("click", () => change(model, "selected", i), { signal });
    if (!data.length) sight.observe(made);
    return made;
  }

  function build() {
    explain(row, model.get("help"));
    sight.disconnect();
    asked.clear();
    row.replaceChildren(...model.get("images").map(option));
    mark();
  }

  function seen(entries) {
    const options = [...row.children];
    const places = entries.filter((entry) => entry.isIntersecting).map((entry) => options.indexOf(entry.target));
    const missing = places.filter((place) => place >= 0 && !asked.has(place));
    for (const place of missing) asked.add(place);
    if (missing.length) model.send({ type: "need", places: missing });
  }

  function receive(message, buffers) {
    const made = row.children[message?.place];
    if (message?.type !== "image" || !made) return;
    sight.unobserve(made);
    made.replaceChildren(...content(bytes(buffers[0]), message.place));
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
    if (event.key === "Delete" && model.get("removable") && !modified(event) && !event.repeat) {
      taken(event);
      remove(model.get("selected"));
      return;
    }
    const to = destination(event, model.get("selected"), count, STEPS);
    if (to === null) return;
    taken(event);
    change(model, "selected", within(to, count));
  }

  row.addEventListener("keydown", pressed, { signal });
  onChange(model, ["images", "numbers", "names", "removable", "size", "help"], build);
  onChange(model, ["selected"], mark);
  model.on("msg:custom", receive);
  signal?.addEventListener("abort", () => {
    sight.disconnect();
    model.off("msg:custom", receive);
  });
  build();
}

export default { render };
