// Looking closer: which part of a stage's sheet is seen. Wheel, buttons, keys and dragging move it; the pixels stay.

import { clamp, modified, taken } from "./dom.js";

const LARGEST = 16; // times
const STEP = 1.5; // times, for one press of a button or a key
const WHEEL = 0.002; // of a step of the wheel, which is some 100 in most browsers
const STILL = 4; // CSS pixels: a press that moves less is a click
const FACTORS = { "+": STEP, "=": STEP, "-": 1 / STEP, 0: 0 };

/** The whole sheet: `scale` times as large as the stage, its upper left corner at `x`, `y` of the stage's size. */
export const WHOLE = Object.freeze({ scale: 1, x: 0, y: 0 });

/** The sheet moved so that it covers the stage. */
function kept({ scale, x, y }) {
  return { scale, x: clamp(x, 1 - scale, 0), y: clamp(y, 1 - scale, 0) };
}

/** What is seen after zooming by `factor` (0: back to the whole) about a point of the stage, which stays in place. */
export function zoomed(seen, factor, [x, y]) {
  if (!factor) return WHOLE;
  const scale = clamp(seen.scale * factor, 1, LARGEST);
  const grown = scale / seen.scale;
  return kept({ scale, x: x - (x - seen.x) * grown, y: y - (y - seen.y) * grown });
}

/** What is seen after the sheet was pushed by parts of the stage's size. */
export function pushed(seen, across, down) {
  return kept({ scale: seen.scale, x: seen.x + across, y: seen.y + down });
}

/** Where a point of the sheet lies on the stage. */
export function placeOf(seen, [x, y]) {
  return [seen.x + x * seen.scale, seen.y + y * seen.scale];
}

/** What is seen when a point of the sheet has to be: moved as little as that takes. */
export function revealing(seen, point) {
  const [x, y] = placeOf(seen, point);
  return pushed(seen, clamp(x, 0, 1) - x, clamp(y, 0, 1) - y);
}

/** Let a stage be looked at closely. `moved` is told after each change, `clicked` of a click that dragged nothing. */
export function zoomable(stage, sheet, signal, { moved, clicked, isLarge }) {
  let seen = WHOLE;
  let held = null; // where the pointer was last, and how far it has gone since it was pressed

  function show(next) {
    seen = next;
    const isWhole = seen.scale === 1;
    sheet.style.transform = isWhole ? "" : `translate(${seen.x * 100}%, ${seen.y * 100}%) scale(${seen.scale})`;
    stage.classList.toggle("iw-zoomed", !isWhole);
    moved();
  }

  const zoom = (factor, about = [0.5, 0.5]) => show(zoomed(seen, factor, about));

  function inStage(event) {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  // In the page the wheel scrolls the page, as everywhere; with Ctrl, or alone on the screen, the picture is zoomed.
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !isLarge()) return;
    taken(event);
    zoom(Math.exp(-event.deltaY * WHEEL), inStage(event));
  }, { signal, passive: false });

  sheet.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    held = { x: event.clientX, y: event.clientY, far: 0 };
    sheet.setPointerCapture(event.pointerId); // released outside, it is heard here
  }, { signal });
  sheet.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [across, down] = [event.clientX - held.x, event.clientY - held.y];
    held = { x: event.clientX, y: event.clientY, far: held.far + Math.hypot(across, down) };
    if (seen.scale > 1) show(pushed(seen, across / stage.clientWidth, down / stage.clientHeight));
  }, { signal });
  sheet.addEventListener("pointerup", () => {
    const isClick = held && held.far < STILL;
    held = null;
    if (isClick) clicked();
  }, { signal });
  sheet.addEventListener("pointercancel", () => {
    held = null;
  }, { signal });
  sheet.addEventListener("keydown", (event) => {
    const factor = FACTORS[event.key];
    if (factor === undefined || modified(event)) return;
    taken(event);
    zoom(factor);
  }, { signal });

  return {
    larger: () => zoom(STEP),
    smaller: () => zoom(1 / STEP),
    whole: () => show(WHOLE),
    place: (point) => placeOf(seen, point),
    reveal: (point) => show(revealing(seen, point)),
  };
}
