// A native drop-down list; JupyterLab leaves its keys alone because of the attribute in KEYS.

function render({ model, el, signal }) {
  const select = make("select", { class: "iw-menu", ...KEYS });
  el.append(make("div", { class: "iw" }, select));

  function build() {
    select.replaceChildren(...model.get("options").map(([text, value]) => make("option", { value }, text)));
    const label = model.get("label");
    select.setAttribute("aria-label", label);
    select.title = label;
    mark();
  }

  function mark() {
    const place = model.get("options").findIndex(([, value]) => value === model.get("value"));
    select.selectedIndex = place;
  }

  select.addEventListener("change", () => change(model, "value", select.value), { signal });
  model.on("change:options change:label", build);
  model.on("change:value", mark);
  signal?.addEventListener("abort", () => {
    model.off(null, build);
    model.off(null, mark);
  });
  build();
}

export default { render };
