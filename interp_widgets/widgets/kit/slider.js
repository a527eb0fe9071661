// A native range input; JupyterLab leaves its keys alone because of the attribute in KEYS.

import { KEYS, change, figures, identity, make, onChange } from "./dom.js";

function render({ model, el, signal }) {
  const id = identity("iw-slider");
  const input = make("input", { type: "range", id, ...KEYS });
  const label = make("label", { for: id });
  const number = make("output", { for: id });
  el.append(make("div", { class: "iw iw-slider" }, label, input, number));

  function build() {
    for (const trait of ["min", "max", "step"]) input[trait] = model.get(trait);
    label.textContent = model.get("label");
    number.hidden = !model.get("readout");
    place();
  }

  function place() {
    input.value = model.get("value");
    number.textContent = figures(model.get("value"));
  }

  function moved() {
    change(model, "value", Number(input.value));
    place();
  }

  input.addEventListener("input", moved, { signal });
  onChange(model, ["min", "max", "step", "label", "readout"], build);
  onChange(model, ["value"], place);
  model.on("msg:custom", (message) => {
    if (message.type === "focus") input.focus();
  });
  build();
}

export default { render };
