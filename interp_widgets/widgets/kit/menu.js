// A native drop-down list; JupyterLab leaves its keys alone because of the attribute in KEYS.

import { KEYS, change, make, onChange } from "./dom.js";
import { say } from "./words.js";

/** The options in runs that stand under one heading; those without a heading are runs of their own, under "". */
export function grouped(options, groups) {
  const runs = [];
  const byHeading = new Map();
  for (const [text, value] of options) {
    const heading = groups[value] ?? "";
    let run = byHeading.get(heading);
    if (!run || !heading) {
      run = { heading, options: [] };
      byHeading.set(heading, run);
      runs.push(run);
    }
    run.options.push({ text, value });
  }
  return runs;
}

function render({ model, el, signal }) {
  const select = make("select", { class: "iw-menu", ...KEYS });
  el.append(make("div", { class: "iw" }, select));

  function entry({ text, value }) {
    const reason = model.get("unavailable")[value];
    if (reason === undefined) return make("option", { value }, text);
    return make("option", { value, disabled: true }, say("{text} ({reason})", { text, reason }));
  }

  function build() {
    select.replaceChildren();
    for (const { heading, options } of grouped(model.get("options"), model.get("groups"))) {
      const entries = options.map(entry);
      if (heading) select.append(make("optgroup", { label: heading }, ...entries));
      else select.append(...entries);
    }
    select.setAttribute("aria-label", model.get("label"));
    select.title = model.get("label");
    mark();
  }

  function mark() {
    const value = model.get("value");
    select.selectedIndex = [...select.options].findIndex((option) => option.value === value);
  }

  select.addEventListener("change", () => change(model, "value", select.value), { signal });
  onChange(model, ["options", "groups", "unavailable", "label"], build);
  onChange(model, ["value"], mark);
  build();
}

export default { render };
