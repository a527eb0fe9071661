// A native range input; JupyterLab leaves its keys alone because of the attribute in KEYS.

function render({ model, el, signal }) {
  const name = identity("iw-slider");
  const input = make("input", { type: "range", id: name, ...KEYS });
  const label = make("label", { for: name }), number = make("output", { for: name });
  el.append(make("div", { class: "iw iw-slider" }, label, input, number));

  function bounds() {
    for (const trait of ["min", "max", "step"]) input[trait] = model.get(trait);
    label.textContent = model.get("label");
    number.hidden = !model.get("readout");
    place();
  }

  function place() {
    input.value = model.get("value");
    number.textContent = figures(model.get("value"));
  }

  input.addEventListener("input", () => {
    change(model, "value", Number(input.value));
    place();
  }, { signal });
  const focus = (message) => message?.type === "focus" && input.focus();
  model.on("change:min change:max change:step change:label change:readout", bounds);
  model.on("change:value", place);
  model.on("msg:custom", focus);
  signal?.addEventListener("abort", () => {
    for (const callback of [bounds, place, focus]) model.off(null, callback);
  });
  bounds();
}

export default { render };
