// A native range input; JupyterLab leaves its keys alone because of the attribute in KEYS.
// Whole numbers can be typed too.

import { KEYS, change, explain, figures, identity, make, onChange } from "./dom.js";

function render({ model, el, signal }) {
  const id = identity("iw-slider");
  const input = make("input", { type: "range", id, ...KEYS });
  const label = make("label", { for: id });
  const number = make("output", { for: id });
  const box = make("input", { type: "number", ...KEYS });
  el.append(make("div", { class: "iw iw-slider" }, label, input, number, box));

  function build() {
    for (const trait of ["min", "max", "step"]) input[trait] = box[trait] = model.get(trait);
    label.textContent = model.get("label");
    box.setAttribute("aria-label", model.get("label"));
    label.title = model.get("help");
    for (const control of [input, box]) explain(control, model.get("help"));
    const isTyped = Number.isInteger(model.get("step"));
    number.hidden = isTyped || !model.get("readout");
    box.hidden = !isTyped || !model.get("readout");
    place();
  }

  function place() {
    input.value = model.get("value");
    number.textContent = figures(model.get("value"));
    box.value = model.get("value");
  }

  function moved() {
    change(model, "value", Number(input.value));
    place();
  }

  // What is typed counts when it is a whole number in the range; anything else is put back.
  function typed() {
    const value = Number(box.value);
    const isFit = box.value !== "" && Number.isInteger(value) && value >= model.get("min") && value <= model.get("max");
    if (isFit) change(model, "value", value);
    place();
  }

  input.addEventListener("input", moved, { signal });
  box.addEventListener("change", typed, { signal });
  onChange(model, ["min", "max", "step", "label", "readout", "help"], build);
  onChange(model, ["value"], place);
  model.on("msg:custom", (message) => {
    if (message.type === "focus") input.focus();
  });
  build();
}

export default { render };
