// A native drop-down list; JupyterLab leaves its keys alone because of the attribute in KEYS.

function render({ model, el, signal }) {
  const select = make("select", { class: "iw-menu", ...KEYS });
  el.append(make("div", { class: "iw" }, select));

  function build() {
    const groups = model.get("groups"), unavailable = model.get("unavailable"), headings = new Map();
    select.replaceChildren();
    for (const [text, value] of model.get("options")) {
      const option = make("option", { value }, value in unavailable ? `${text} (${unavailable[value]})` : text);
      option.disabled = value in unavailable;
      const heading = groups[value];
      if (heading && !headings.has(heading)) headings.set(heading, make("optgroup", { label: heading }));
      if (heading && !headings.get(heading).parentNode) select.append(headings.get(heading));
      (heading ? headings.get(heading) : select).append(option);
    }
    const label = model.get("label");
    select.setAttribute("aria-label", label);
    select.title = label;
    mark();
  }

  function mark() {
    const value = model.get("value");
    select.selectedIndex = [...select.options].findIndex((option) => option.value === value);
  }

  select.addEventListener("change", () => change(model, "value", select.value), { signal });
  model.on("change:options change:groups change:unavailable change:label", build);
  model.on("change:value", mark);
  signal?.addEventListener("abort", () => {
    model.off(null, build);
    model.off(null, mark);
  });
  build();
}

export default { render };
