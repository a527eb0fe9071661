// The controls of a picture's look, folded until they are needed; what each does is said in its tooltip.

import { KEYS, change, figures, identity, make, onChange } from "./dom.js";
import { say } from "./words.js";

const MOST_SMOOTHING = 0.05; // of the shorter side; Python takes more
const FINEST = 0.0025;

/** The look with another number at the colours' end; `null` when the text is no number that could be meant. */
function numbered(look, text) {
  const number = text === "" ? NaN : Number(text);
  if (look.limit !== null) return number > 0 && number < Infinity ? { ...look, limit: number } : null;
  return number >= 0 && number <= 100 ? { ...look, percentile: number } : null;
}

/** The look after one control was moved, or `null`; `reach` is where the colours end now. */
export function changed(look, name, entered, reach) {
  if (name === "end") return { ...look, limit: entered === "value" ? reach : null };
  if (name === "number") return numbered(look, entered);
  if (name === "smoothing") return { ...look, smoothing: Number(entered) };
  if (name === "grey") return { ...look, photo: entered ? "grey" : "colour" };
  return { ...look, by_strength: entered };
}

/** A share of the shorter side in words. */
export function shareOf(smoothing) {
  return smoothing ? `${figures(100 * smoothing)}%` : say("off");
}

function render({ model, el, signal }) {
  const id = identity("iw-look");
  const end = make(
    "select",
    { class: "iw-menu", id: `${id}-end`, ...KEYS },
    make("option", { value: "percentile" }, say("percentile")),
    make("option", { value: "value" }, say("value")),
  );
  const number = make("input", { type: "number", class: "iw-number", ...KEYS });
  const smoothing = make("input", {
    type: "range", id: `${id}-smoothing`, min: 0, max: MOST_SMOOTHING, step: FINEST, ...KEYS,
  });
  const share = make("output", { for: `${id}-smoothing` });
  const grey = make("input", { type: "checkbox", ...KEYS });
  const strength = make("input", { type: "checkbox", ...KEYS });
  const usual = make("button", { type: "button", class: "iw-text-button", ...KEYS }, say("usual"));
  const smoothingLine = make(
    "div", { class: "iw-look-line" }, make("label", { for: smoothing.id }, say("smoothing")), smoothing, share,
  );
  const greyLine = make("label", {}, grey, say("photo in grey"));
  const strengthLine = make("label", {}, strength, say("opacity by strength"));
  const summary = make("summary", { ...KEYS }, say("display"));
  el.append(make(
    "details",
    { class: "iw iw-look" },
    summary,
    make("div", { class: "iw-look-line" }, make("label", { for: end.id }, say("up to")), end, number),
    smoothingLine,
    make("div", { class: "iw-look-line" }, greyLine, strengthLine),
    usual,
  ));
  summary.title = say("how the map is shown; the values stay as they are");
  end.title = say("where the colours end: at a percentile of the values, or at a value");
  smoothingLine.title = say(
    "display only: a Gaussian, its standard deviation as a share of the shorter side; off shows the values",
  );
  greyLine.title = say("the input under the map in light grey, so that the map's colours stand out");
  strengthLine.title = say("weak values are transparent; otherwise all are equally opaque");
  usual.title = say("as maps of this kind are usually shown");

  function show() {
    const look = model.get("look");
    const isValue = look.limit !== null;
    end.value = isValue ? "value" : "percentile";
    number.step = isValue ? "any" : "0.5";
    number.max = isValue ? "" : "100";
    number.min = "0";
    number.title = isValue
      ? say("the value of the last colour")
      : say("of the values (of a signed map: of their sizes), 0 to 100; 100 is the largest");
    number.setAttribute("aria-label", isValue ? say("value") : say("percentile"));
    if (document.activeElement !== number) number.value = isValue ? Number(look.limit.toPrecision(3)) : look.percentile;
    smoothing.max = Math.max(MOST_SMOOTHING, look.smoothing);
    smoothing.value = look.smoothing;
    share.textContent = shareOf(look.smoothing);
    grey.checked = look.photo === "grey";
    strength.checked = look.by_strength;
    usual.disabled = Object.entries(model.get("usual")).every(([name, value]) => look[name] === value);
  }

  function listen(control, event, name, entered) {
    control.addEventListener(event, () => {
      const look = changed(model.get("look"), name, entered(), model.get("reach"));
      if (look) change(model, "look", look);
      show();
    }, { signal });
  }

  listen(end, "change", "end", () => end.value);
  listen(number, "input", "number", () => number.value);
  listen(smoothing, "input", "smoothing", () => smoothing.value);
  listen(grey, "change", "grey", () => grey.checked);
  listen(strength, "change", "strength", () => strength.checked);
  number.addEventListener("blur", show, { signal });
  usual.addEventListener("click", () => change(model, "look", { ...model.get("usual") }), { signal });
  onChange(model, ["look", "usual"], show);
  show();
}

export default { render };
