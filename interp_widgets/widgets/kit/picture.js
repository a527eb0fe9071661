// One image with one of many maps over it: `frames.js` holds the maps, `blend.js` makes the pixels, this shows them.

import { PIXELATED_BELOW, enlarge, gridOf, lightened, paint, paintBase } from "./blend.js";
import { onConnection } from "./connection.js";
import {
  KEYS, bytes, change, clamp, figures, identity, make, modified, onChange, oncePerFrame, taken,
} from "./dom.js";
import { framesOf, keyOf, merge, valueAt } from "./frames.js";
import { acceptImages } from "./images.js";
import { displays, noteOf, opacitiesOf } from "./look.js";
import { say } from "./words.js";
import { zoomable } from "./zoom.js";

const SMALL = 160; // CSS pixels: at less, a caption has room for a value and a name
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NOWHERE = [-1, -1]; // the cursor's place when there is none
const DRAWN = [ // traits that a redraw shows
  "row", "column", "opacity", "look", "table", "signed", "smooth", "view", "size", "base", "base_size", "frames",
  "label", "alt", "busy", "doing", "units", "colormap", "colorbar", "noted", "fluid",
];

function initialize({ model }) {
  // Python sends additions only to a front end that has said what it holds; what was missed comes as the whole trait.
  const hello = () => model.send({ type: "hello", revision: model.get("frames").revision });
  model.on("msg:custom", (message, buffers) => {
    if (message.type !== "frames") return;
    const held = model.get("frames");
    if (message.since === held.revision) merge(held, message, buffers[0]);
    else if (message.revision > held.revision) hello();
  });
  hello();
}

/** The cell of a frame at a place of the picture, x and y in 0..1; null outside. */
export function cellAt(frame, [x, y]) {
  if (!frame || x < 0 || y < 0) return null;
  const row = Math.min(frame.h - 1, Math.floor(y * frame.h));
  const column = Math.min(frame.w - 1, Math.floor(x * frame.w));
  return { row, column };
}

/** What the caption says of a cell. One of many small pictures is told from the others by its label: that stays. */
export function reading(value, cell, label, size) {
  const number = figures(value);
  const { row, column } = cell;
  if (size >= SMALL) return say("value {number} at row {row}, column {column}", { number, row, column });
  const labelled = `${number} ${label}`.trim();
  return say("{labelled}, row {row}, column {column}", { labelled, row, column });
}

function render({ model, el, signal, source }) {
  const help = identity("iw-readout");
  const noteHelp = identity("iw-note");
  const described = { "aria-describedby": `${help} ${noteHelp}`, "aria-keyshortcuts": "Enter + - 0" };
  const canvas = make("canvas", { role: "img", ...described, ...KEYS });
  const cross = make("div", { class: "iw-cross", hidden: true });
  const busy = make("span", { class: "iw-busy", "aria-hidden": "true" }, say("computing…"));
  const tools = make("div", { class: "iw-tools" });
  const stage = make("div", { class: "iw-stage" }, canvas, cross, busy, tools);
  const caption = make("div", { class: "iw-caption iw-ellipsis", id: help, "aria-live": "off" });
  const ramp = make("canvas", { width: 256, height: 1, role: "img" });
  const ticks = [make("span"), make("span"), make("span")];
  const scale = make("div", { class: "iw-scale" }, ramp, ...ticks);
  const note = make("div", { class: "iw-note", id: noteHelp });
  const sheet = make("div", { class: "iw-sheet" }, stage, caption, scale, note);
  const large = make("dialog", { class: "iw iw-large", "aria-label": say("the picture, large") });
  const root = make("div", { class: "iw iw-picture" }, sheet, large);
  el.append(root);

  const context = canvas.getContext("2d");
  const rampContext = ramp.getContext("2d");
  let image = null; // what is put on the canvas
  let pixels = null; // its bytes, a pixel at a time
  const displayOf = displays();
  let enlarged = null; // the base at the canvas's size
  let shown = null; // the last frame that was there, with its row and column
  let connected = true;
  let before = null; // what had the focus when the picture was made large

  // Drawing

  /** Find the frame that is asked for; while it is missing, the one before it stays. Whether it is the one shown. */
  function seek() {
    const row = model.get("row");
    const column = model.get("column");
    const key = keyOf(row, column);
    const store = framesOf(model.get("frames"));
    const frame = store.get(key);
    const isAsked = store.asked === key; // once, however many views there are
    if (frame) shown = { frame, row, column };
    else if (connected && !isAsked) model.send({ type: "need", row, column });
    store.asked = frame || !connected ? "" : key;
    if (!store.size) shown = null; // all were cleared: an old map over a new image would mislead
    return Boolean(frame) || !store.size;
  }

  function draw() {
    const view = model.get("view");
    const isCurrent = seek() || view === "base";
    const frame = view === "base" ? null : shown?.frame;
    const display = frame ? displayOf(frame, model.get("look"), model.get("signed")) : null;
    root.classList.toggle("iw-stale", !isCurrent);
    const grid = gridOf(model.get("base_size"), frame, model.get("size"));
    fit(grid);
    fill(grid, display, view === "map" ? null : baseAt(grid, display));
    context.putImageData(image, 0, 0);
    canvas.classList.toggle("iw-pixels", Math.max(grid.width, grid.height) < PIXELATED_BELOW);
    decorate(display, grid);
    canvas.dataset.shown = frame ? keyOf(shown.row, shown.column) : "";
    canvas.dataset.draws = 1 + Number(canvas.dataset.draws ?? 0);
  }

  /** Give the canvas its size. */
  function fit({ W, H }) {
    if (canvas.width === W && canvas.height === H && image) return;
    canvas.width = W;
    canvas.height = H;
    image = context.createImageData(W, H);
    pixels = new Uint32Array(image.data.buffer);
  }

  function fill(grid, display, base) {
    if (display) {
      const table = bytes(model.get("table"));
      const opacities = opacitiesOf(display.look, model.get("signed"), model.get("opacity"));
      paint(pixels, grid, base, display, { table, opacities, smooth: model.get("smooth") });
    } else if (base) paintBase(pixels, base);
    else pixels.fill(0);
  }

  /** The base at the canvas's size; under a map, as the map's look has it. */
  function baseAt({ width, height, factor }, display) {
    const value = model.get("base");
    if (value?.byteLength !== 3 * width * height) return null; // empty, or its size is still on the way
    const photo = display ? display.look.photo : "colour";
    const isSame = enlarged?.value === value && enlarged.factor === factor && enlarged.photo === photo;
    if (!isSame) {
      const scaled = enlarge(bytes(value), width, height, factor);
      enlarged = { value, factor, photo, pixels: photo === "grey" ? lightened(scaled) : scaled };
    }
    return enlarged.pixels;
  }

  // Around the pixels: size, colour bar, caption, busy sign, crosshair

  function decorate(display, { W, H }) {
    const width = Math.round((W * model.get("size")) / Math.max(W, H));
    const isFluid = model.get("fluid");
    stage.style.aspectRatio = `${W} / ${H}`;
    sheet.style.setProperty("--ratio", W / H);
    root.style.setProperty("--width", `${width}px`);
    root.style.width = isFluid ? "" : `${Math.max(width, 120) + 4}px`;
    root.classList.toggle("iw-fluid", isFluid);
    showBusy();
    scale.hidden = !display || !model.get("colorbar");
    if (!scale.hidden) drawScale(display.low, display.high);
    note.hidden = !display || !model.get("noted");
    note.textContent = note.hidden ? "" : noteOf(display);
    drawCursor();
  }

  /** Nothing is on its way when there is no kernel, whatever the traits said last. */
  function showBusy() {
    const isStale = root.classList.contains("iw-stale");
    const isWorking = connected && model.get("busy");
    const doing = isWorking ? model.get("doing") : "";
    busy.textContent = doing || say("computing…");
    canvas.setAttribute("aria-label", doing || model.get("alt") || model.get("label") || say("picture"));
    root.classList.toggle("iw-working", isWorking);
    root.classList.toggle("iw-lost", !connected);
    canvas.setAttribute("aria-busy", String(isWorking || (connected && isStale)));
  }

  function drawScale(lo, hi) {
    const units = model.get("units");
    const line = rampContext.createImageData(256, 1);
    paintBase(new Uint32Array(line.data.buffer), bytes(model.get("table")));
    rampContext.putImageData(line, 0, 0);
    [lo, (lo + hi) / 2, hi].forEach((value, i) => {
      ticks[i].textContent = figures(value);
    });
    if (units) ticks[1].textContent += ` ${units}`;
    const gaps = { colours: model.get("colormap"), low: figures(lo), high: figures(hi), units };
    const words = units
      ? say("colour scale {colours} from {low} to {high} {units}", gaps)
      : say("colour scale {colours} from {low} to {high}", gaps);
    ramp.setAttribute("aria-label", words);
  }

  function drawCursor() {
    const [x, y] = model.get("cursor");
    cross.hidden = x < 0 || y < 0;
    const [across, down] = zoom.place([x, y]);
    cross.style.setProperty("--x", `${across * 100}%`);
    cross.style.setProperty("--y", `${down * 100}%`);
    const label = model.get("label");
    const frame = model.get("view") === "base" ? null : shown?.frame;
    const cell = cellAt(frame, [x, y]);
    caption.title = label;
    if (!cell) {
      caption.textContent = label;
      return;
    }
    const value = valueAt(frame, cell.row, cell.column);
    caption.textContent = reading(value, cell, label, model.get("size"));
  }

  // The cursor, moved by mouse and keyboard

  function point(x, y) {
    const [oldX, oldY] = model.get("cursor");
    if (x !== oldX || y !== oldY) change(model, "cursor", [x, y]);
  }

  let pointer = null; // where the mouse is on the page
  const follow = oncePerFrame(() => {
    if (!pointer) return;
    const box = canvas.getBoundingClientRect();
    point(clamp((pointer.x - box.left) / box.width, 0, 1), clamp((pointer.y - box.top) / box.height, 0, 1));
  }, signal);

  canvas.addEventListener("pointermove", (event) => {
    pointer = { x: event.clientX, y: event.clientY };
    follow();
  });
  canvas.addEventListener("pointerleave", () => {
    pointer = null;
    point(...NOWHERE);
  });
  canvas.addEventListener("blur", () => {
    caption.setAttribute("aria-live", "off");
    point(...NOWHERE);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !large.open && model.get("cursor")[0] >= 0) {
      taken(event);
      point(...NOWHERE);
    }
    if (event.key === "Enter" && !modified(event)) {
      taken(event);
      toggle();
    }
    const step = STEPS[event.key];
    if (!step || modified(event)) return;
    taken(event);
    caption.setAttribute("aria-live", "polite"); // read aloud where the keyboard goes, not where the mouse passes
    walk(step);
  });

  /** Move the cursor by one cell; from nowhere, to the middle. */
  function walk([across, down]) {
    const frame = shown?.frame ?? { w: 10, h: 10 };
    const cell = cellAt(frame, model.get("cursor"));
    const column = cell ? clamp(cell.column + across, 0, frame.w - 1) : Math.floor(frame.w / 2);
    const row = cell ? clamp(cell.row + down, 0, frame.h - 1) : Math.floor(frame.h / 2);
    const place = [(column + 0.5) / frame.w, (row + 0.5) / frame.h];
    point(...place);
    zoom.reveal(place);
  }

  // Looking closer: zoomed in its place, or alone on the screen

  const zoom = zoomable(stage, canvas, signal, {
    moved: () => drawCursor(),
    clicked: toggle,
    isLarge: () => large.open,
  });

  /** The picture in a dialog, which Escape closes; it is the same canvas, so nothing is drawn anew. */
  function showLarge() {
    before = document.activeElement;
    root.style.minHeight = `${root.offsetHeight}px`; // what lies below in the page stays where it is
    large.append(sheet);
    reach();
    large.showModal();
    canvas.focus();
  }

  function toggle() {
    if (large.open) large.close();
    else showLarge();
  }

  function reduce() {
    zoom.whole();
    root.prepend(sheet);
    reach();
    root.style.minHeight = "";
    if (root.isConnected) (root.contains(before) ? before : canvas).focus();
  }

  /** In the page Tab goes past the buttons, for which there are keys; alone on the screen there is nothing else. */
  function reach() {
    const isLarge = sheet.parentElement === large;
    for (const button of tools.children) button.tabIndex = isLarge ? 0 : -1;
    name(sizing, ...(isLarge ? smaller : larger));
  }

  large.addEventListener("close", reduce);
  large.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    taken(event); // JupyterLab would leave the cell
    large.close();
  });
  large.addEventListener("click", (event) => {
    if (event.target === large) large.close(); // beside the picture
  });
  // The keys + - 0 and Enter do the same: for the mouse these are, and for fingers.
  const larger = ["⤢", say("alone on the screen"), say("a click or Enter, which bring it back, too")];
  const smaller = ["✕", say("back into the page"), say("a click, Enter or Escape")];
  const sizing = tool(...larger, toggle);
  tools.append(
    tool("−", say("zoom out"), say("key -, or the wheel with Ctrl"), zoom.smaller),
    tool("+", say("zoom in"), say("key +, or the wheel with Ctrl"), zoom.larger),
    sizing,
  );

  function tool(sign, called, title, act) {
    const made = make("button", { class: "iw-tool", type: "button", ...KEYS, tabindex: "-1" });
    name(made, sign, called, title);
    made.addEventListener("click", act);
    return made;
  }

  function name(button, sign, called, title) {
    button.textContent = sign;
    button.setAttribute("aria-label", called);
    button.title = title;
  }

  if (model.get("accepts")) acceptImages(canvas, model, signal);
  const redraw = oncePerFrame(draw, signal);
  onChange(model, DRAWN, redraw);
  onChange(model, ["cursor"], drawCursor);
  onChange(model, ["base"], zoom.whole); // another picture is seen whole
  model.on("msg:custom", redraw);
  onConnection(source, signal, (isConnected) => {
    connected = isConnected;
    draw();
  });
}

export default { initialize, render };
