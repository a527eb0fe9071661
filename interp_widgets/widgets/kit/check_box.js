// A native check box; JupyterLab leaves its keys alone because of the attribute in KEYS.

import { KEYS, change, explain, make, onChange } from "./dom.js";

function render({ model, el, signal }) {
  const input = make("input", { type: "checkbox", ...KEYS });
  const name = make("span");
  const label = make("label", {}, input, name);
  el.append(make("div", { class: "iw iw-check" }, label));

  function build() {
    name.textContent = model.get("label");
    label.title = model.get("help");
    explain(input, model.get("help"));
  }

  function mark() {
    input.checked = model.get("value");
  }

  input.addEventListener("change", () => change(model, "value", input.checked), { signal });
  onChange(model, ["label", "help"], build);
  onChange(model, ["value"], mark);
  build();
  mark();
}

export default { render };
