// Boxes and lines that Python has laid out, on a canvas: moved, zoomed, walked through and searched here alone.

import {
  KEYS, change, clamp, explain, identity, make, modified, oncePerFrame, onChange, taken,
} from "./dom.js";
import {
  anchored, around, boxAt, fitted, frontOf, inDrawing, kept, matching, meet, piecesOf, revealing, toggled, walked,
  windowOf, zoomedAt,
} from "./diagram_plan.js";
import { READABLE, draw, drawSmall, themeOf } from "./diagram_paint.js";
import { searchField, writes } from "./list.js";
import { enlargeable } from "./large.js";
import { say } from "./words.js";

const STEP = 1.5; // times, for one press of a button or a key
const WHEEL = 0.002; // of a step of the wheel, which is some 100 in most browsers
const STILL = 4; // CSS pixels: a press that moves less is a click
const FACTORS = { "+": STEP, "=": STEP, "-": 1 / STEP, "−": 1 / STEP };

function tool(sign, called, title, act) {
  const attributes = { class: "iw-tool", type: "button", "aria-label": called, title, ...KEYS, tabindex: "-1" };
  const made = make("button", attributes, sign);
  made.addEventListener("click", act);
  return made;
}

/** Put a canvas's own pixels to a size in CSS pixels; whether it has any. */
function sized(canvas, [width, height], ratio) {
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
  return across > 0 && down > 0;
}

function render({ model, el, signal }) {
  const id = identity("iw-diagram");
  const canvas = make("canvas", { "aria-hidden": "true" });
  const small = make("canvas", { class: "iw-diagram-map", "aria-hidden": "true", title: say("drag to move") });
  const seen = make("div", { class: "iw-diagram-seen" });
  const tools = make("div", { class: "iw-tools" });
  const strip = make("div", { class: "iw-diagram-strip" }, small, seen);
  const stage = make("div", { class: "iw-diagram-stage", role: "application", id, ...KEYS }, canvas);
  const drawing = make("div", { class: "iw-diagram-drawing" }, stage, strip, tools);
  const card = make("dl", { class: "iw-card" });
  const search = searchField(say("Search the graph"), say("search by name or type"), id);
  const count = make("span", { class: "iw-muted", "aria-live": "polite" });
  const legend = make("div", { class: "iw-legend iw-muted" });
  const said = make("div", { class: "iw-caption iw-ellipsis", "aria-live": "polite" });
  const menu = make("select", { class: "iw-menu", "aria-label": say("colour by"), "aria-controls": id, ...KEYS });
  const above = make("div", { class: "iw-above" }, search, count, menu);
  const main = make("div", { class: "iw-diagram-main" }, drawing, card);
  const sheet = make("div", { class: "iw-diagram-sheet" }, above, main, legend, said);
  const root = make("div", { class: "iw iw-diagram" }, sheet);
  el.append(root);

  const context = canvas.getContext("2d");
  const scene = { boxes: [], routes: [], pieces: [], near: [], colours: [], solid: false, theme: {} };
  Object.assign(scene, { chosen: -1, active: -1, found: [] });
  let places = new Map(); // of the boxes, by name
  let view = null; // until there is a size
  let isFitted = true; // nobody has moved it
  let active = -1; // the box that the keyboard stands on
  let anchor = null; // the name of a box that stays in place when boxes come
  let goal = null; // the name of an entry to go to when boxes come
  let found = []; // indices of the entries that match
  let at = -1; // which of them was gone to last
  let held = null; // where the pointer was pressed last, and how far it has gone

  const entries = () => model.get("entries");
  const room = () => [stage.clientWidth, stage.clientHeight];
  const redraw = oncePerFrame(paint, signal);
  const large = enlargeable({ root, sheet, focused: stage, label: say("the graph, large"), signal });

  /** The index of the box that shows an entry: its own, or that of the innermost scope around it that is shown. */
  function boxOf(name) {
    if (places.has(name)) return places.get(name);
    const entry = entries().findIndex((each) => each.name === name);
    if (entry < 0) return -1;
    return places.get(around(entries(), entry).find((each) => places.has(each))) ?? -1;
  }

  function describe() {
    stage.setAttribute("aria-label", [model.get("label"), scene.boxes[active]?.tip].filter(Boolean).join(": "));
    stage.setAttribute("aria-description", model.get("help"));
    explain(above, model.get("help"));
    above.removeAttribute("aria-description"); // it has no role; the stage has it
    root.style.setProperty("--height", `${model.get("height")}px`);
  }

  /** Other boxes: what was clicked stays where it is on the screen. */
  function load() {
    const before = scene.boxes;
    const name = anchor ?? before[active]?.name ?? model.get("selected");
    const old = before[places.get(name)];
    const standing = before[active]?.name;
    scene.boxes = model.get("boxes");
    scene.routes = model.get("routes");
    scene.pieces = piecesOf(scene.routes);
    places = new Map(scene.boxes.map((box, i) => [box.name, i]));
    const now = scene.boxes[boxOf(name)];
    const isFirst = !old || !now;
    if (isFirst) isFitted = true;
    else if (view) {
      view = anchored(view, frontOf(now), frontOf(old));
      isFitted = false;
    }
    active = standing === undefined ? -1 : boxOf(standing);
    anchor = null;
    colour();
    choose();
    if (isFirst) fit();
    if (places.has(goal)) point(places.get(goal));
    goal = null;
    list();
  }

  function colour() {
    scene.colours = model.get("colours");
    scene.solid = model.get("solid");
    const stops = model.get("legend").map(([shade, words]) => {
      const sign = make("i", {});
      sign.style.background = shade;
      return make("span", {}, sign, words);
    });
    legend.replaceChildren(...stops);
    menu.value = model.get("measure");
    redraw();
  }

  function offer() {
    menu.replaceChildren(...model.get("measures").map(([value, words]) => make("option", { value }, words)));
    menu.title = model.get("measure_help");
    menu.hidden = !menu.options.length;
    colour();
  }

  function choose() {
    scene.chosen = boxOf(model.get("selected"));
    if (active < 0) active = scene.chosen;
    describe();
    redraw();
  }

  /** Go to what was chosen elsewhere, unless it is in sight. */
  function follow() {
    choose();
    const box = scene.boxes[scene.chosen];
    if (box && view && !meet(frontOf(box), windowOf(view, room()))) look(revealing(view, frontOf(box), room()));
  }

  function tabulate() {
    const line = ([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value));
    const lines = model.get("card").map(line);
    card.replaceChildren(...lines);
    card.hidden = !lines.length;
  }

  /** All of it, or its width, with the chosen box in sight. */
  function fit() {
    const [width, height] = room();
    if (!width || !height || !scene.boxes.length) return;
    look(fitted(model.get("size"), [width, height], READABLE));
    if (scene.chosen >= 0) look(revealing(view, frontOf(scene.boxes[scene.chosen]), room()));
    isFitted = true;
  }

  function look(wanted) {
    view = kept(wanted, model.get("size"), room());
    isFitted = false;
    redraw();
  }

  function zoom(factor, about = room().map((length) => length / 2)) {
    if (view) look(zoomedAt(view, factor, about));
  }

  function paint() {
    const ratio = window.devicePixelRatio || 1;
    const size = room();
    if (!view || !sized(canvas, size, ratio)) return;
    scene.theme = themeOf(root);
    const isFocused = document.activeElement === stage;
    scene.active = isFocused ? active : -1;
    const concerned = isFocused ? active : scene.chosen;
    const near = model.get("links").flatMap((ends, i) => (ends.includes(concerned) ? [scene.routes[i] ?? []] : []));
    scene.near = piecesOf(near);
    draw(context, scene, view, size, ratio);
    paintSmall(ratio);
    Object.assign(stage.dataset, { shown: scene.boxes.length, view: [view.scale, view.x, view.y].join() });
  }

  function paintSmall(ratio) {
    const size = [strip.clientWidth, strip.clientHeight];
    if (!sized(small, size, ratio)) return;
    const [width, height] = model.get("size");
    drawSmall(small.getContext("2d"), scene, [width, height], size, ratio);
    const [, top, , high] = windowOf(view, room());
    const [from, to] = [clamp(top / height, 0, 1), clamp((top + high) / height, 0, 1)];
    seen.style.top = `${from * 100}%`;
    seen.style.height = `${Math.max(0.01, to - from) * 100}%`;
  }

  function tell(words) {
    said.textContent = said.title = words;
  }

  /** Move the keyboard to a box, and bring it into sight. */
  function point(i) {
    active = i;
    describe();
    tell([scene.boxes[i].tip, scene.boxes[i].reason].filter(Boolean).join("  ·  "));
    if (view) look(revealing(view, frontOf(scene.boxes[i]), room()));
  }

  /** Choose a box, or say why it cannot be chosen. */
  function select(i) {
    const { name, tip, reason } = scene.boxes[i];
    active = i;
    describe();
    tell(reason || tip);
    redraw();
    if (!reason) change(model, "selected", name);
  }

  function toggle(i) {
    const { name, role } = scene.boxes[i];
    if (role === "single") return;
    active = i;
    anchor = name;
    change(model, "opened", toggled(model.get("opened"), entries(), name));
  }

  function open(i) {
    if (scene.boxes[i].role === "single") select(i);
    else toggle(i);
  }

  // The search

  function list() {
    const query = search.value.trim().toLowerCase();
    found = query ? matching(entries(), query) : [];
    scene.found = [...new Set(found.map((i) => boxOf(entries()[i].name)))].filter((i) => i >= 0);
    const place = at >= 0 && at < found.length ? at + 1 : 0;
    const words = place
      ? say("match {place} of {count}", { place, count: found.length })
      : say("{count} matches", { count: found.length });
    count.textContent = query ? words : "";
    redraw();
  }

  /** Go to the next match; what it is in is opened. */
  function next() {
    if (!found.length) return;
    at = (at + 1) % found.length;
    const entry = found[at];
    const { name } = entries()[entry];
    list();
    if (places.has(name)) point(places.get(name));
    else {
      goal = name;
      anchor = scene.boxes[boxOf(name)]?.name ?? null;
      change(model, "opened", [...new Set([...model.get("opened"), ...around(entries(), entry)])]);
    }
  }

  search.addEventListener("input", () => {
    at = -1;
    list();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      taken(event);
      next();
    } else if (event.key === "ArrowDown") {
      taken(event);
      stage.focus();
    } else if (event.key === "Escape" && search.value) {
      taken(event);
      search.value = "";
      at = -1;
      list();
    }
  });

  // The keyboard

  const actions = {
    0: fit,
    " ": () => select(Math.max(0, active)),
    Enter: () => open(Math.max(0, active)),
    ...Object.fromEntries(Object.entries(FACTORS).map(([key, factor]) => [key, () => zoom(factor)])),
  };

  stage.addEventListener("keydown", (event) => {
    if (modified(event) || !scene.boxes.length) return;
    const from = Math.max(0, active);
    const to = walked(scene.boxes, model.get("links"), from, event.key);
    const action = to === null ? actions[event.key] : () => point(to < 0 ? from : to);
    if (action) {
      taken(event);
      action();
    } else if (writes(event)) search.focus();
  });
  stage.addEventListener("focus", redraw);
  stage.addEventListener("blur", redraw);

  // The mouse

  function inStage(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  const under = (event) => (view ? boxAt(scene.boxes, view, inDrawing(view, inStage(event))) : -1);

  stage.addEventListener("wheel", (event) => {
    if (!view || !(event.ctrlKey || large.isOpen())) return; // in the page the wheel scrolls the page
    taken(event);
    if (event.ctrlKey) zoom(Math.exp(-event.deltaY * WHEEL), inStage(event));
    else look({ ...view, x: view.x - event.deltaX, y: view.y - event.deltaY });
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    held = { x: event.clientX, y: event.clientY, far: 0 };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!held || !view) {
      const box = scene.boxes[under(event)];
      canvas.title = box?.tip ?? "";
      canvas.style.cursor = box ? "pointer" : "";
      return;
    }
    const [across, down] = [event.clientX - held.x, event.clientY - held.y];
    held = { x: event.clientX, y: event.clientY, far: held.far + Math.hypot(across, down) };
    if (held.far >= STILL) look({ ...view, x: view.x + across, y: view.y + down });
  });
  stage.addEventListener("pointerup", (event) => {
    const isClick = held && held.far < STILL;
    held = null;
    const i = isClick ? under(event) : -1;
    if (i >= 0) select(i);
  });
  stage.addEventListener("pointercancel", () => {
    held = null;
  });
  stage.addEventListener("dblclick", (event) => {
    const i = under(event);
    if (i >= 0) toggle(i);
  });

  /** Put the middle of the window where the pointer is on the small drawing. */
  function jump(event) {
    const box = strip.getBoundingClientRect();
    const y = ((event.clientY - box.top) / box.height) * model.get("size")[1];
    if (view) look({ ...view, y: room()[1] / 2 - y * view.scale });
  }

  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    jump(event);
  });
  strip.addEventListener("pointermove", (event) => {
    if (strip.hasPointerCapture(event.pointerId)) jump(event);
  });

  // The keys + - 0 do the same: for the mouse these are, and for fingers.
  tools.append(
    tool("−", say("zoom out"), say("key -, or the wheel with Ctrl"), () => zoom(1 / STEP)),
    tool("+", say("zoom in"), say("key +, or the wheel with Ctrl"), () => zoom(STEP)),
    tool("□", say("fit"), say("key 0: all of it, or its width"), fit),
    large.button,
  );

  onChange(model, ["boxes", "links", "routes", "size"], oncePerFrame(load, signal));
  menu.addEventListener("change", () => change(model, "measure", menu.value));

  onChange(model, ["colours", "solid", "legend", "measure"], colour);
  onChange(model, ["measures", "measure_help"], offer);
  onChange(model, ["entries"], list);
  onChange(model, ["selected"], follow);
  onChange(model, ["card"], tabulate);
  onChange(model, ["label", "help", "height"], describe);
  describe();
  tabulate();
  offer();
  load();
  const observer = new ResizeObserver(oncePerFrame(() => (isFitted || !view ? fit() : redraw()), signal));
  observer.observe(stage);
  const themes = new MutationObserver(redraw);
  themes.observe(document.body, { attributeFilter: ["class", "data-jp-theme-name", "data-jp-theme-light"] });
  signal?.addEventListener("abort", () => {
    observer.disconnect();
    themes.disconnect();
  });
}

export default { render };
