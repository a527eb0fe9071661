// A native drop-down list; JupyterLab leaves its keys alone because of the attribute in KEYS.

import { KEYS, change, make, middle, onChange } from "./dom.js";
import { say } from "./words.js";

const MOST_LETTERS = 48; // of an option; the list that opens is as wide as the longest

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
  const box = make("div", { class: "iw" }, select);
  el.append(box);

  /** What an option is called: where it cannot be chosen, with the reason. */
  function called(text, value) {
    const reason = model.get("unavailable")[value];
    return reason === undefined ? text : say("{text} ({reason})", { text, reason });
  }

  /** An option; a long one is shortened, and has its whole text as its name. */
  function entry({ text, value }) {
    const disabled = value in model.get("unavailable");
    const whole = called(text, value);
    const shown = middle(whole, MOST_LETTERS);
    const name = shown === whole ? null : whole;
    return make("option", { value, disabled, dir: "auto", title: name, "aria-label": name }, shown);
  }

  function build() {
    select.replaceChildren();
    for (const { heading, options } of grouped(model.get("options"), model.get("groups"))) {
      const entries = options.map(entry);
      if (heading) select.append(make("optgroup", { label: heading }, ...entries));
      else select.append(...entries);
    }
    mark();
  }

  function mark() {
    const value = model.get("value");
    select.selectedIndex = [...select.options].findIndex((option) => option.value === value);
    const chosen = model.get("options").find((option) => option[1] === value);
    tell(chosen && called(...chosen), model.get("meanings")[value] || model.get("help"));
  }

  /** The tooltip has the chosen option whole, which may be wider than the menu. It belongs to the box around the menu:
   * a menu that has name and tooltip would be read as both. */
  function tell(chosen, help) {
    const label = model.get("label");
    select.setAttribute("aria-label", label);
    if (help) select.setAttribute("aria-description", help);
    else select.removeAttribute("aria-description");
    box.title = [chosen, label, help].filter(Boolean).join("\n");
  }

  select.addEventListener("change", () => change(model, "value", select.value), { signal });
  onChange(model, ["options", "groups", "unavailable", "label"], build);
  onChange(model, ["value", "help", "meanings"], mark);
  build();
}

export default { render };
