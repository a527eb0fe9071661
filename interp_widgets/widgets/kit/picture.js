// One image with one of many maps over it, scaled, coloured and blended here. `render/blend.py` computes the same pixels.

const PIXELATED_BELOW = 64; // as in render/blend.py
const SMALL = 160; // CSS pixels: at less, a caption has room for a value and a name
const stores = new WeakMap(); // the trait `frames` (one array per model, shared by its views) -> Map of its frames by key
const keyOf = (row, column) => `${row},${column}`;

/** The frames a model holds, by key. Read from the trait once, then kept current by `merge`. */
function framesOf(held) {
  let store = stores.get(held);
  if (!store) {
    store = new Map();
    for (const block of held.blocks) unpack(block, store);
    stores.set(held, store);
  }
  return store;
}

function unpack(block, store) {
  const data = bytes(block.data);
  for (const [row, column, h, w, lo, hi, start] of block.index) {
    store.set(keyOf(row, column), { h, w, lo, hi, q: data.subarray(start, start + h * w) });
  }
}

/** Take in one message of added and dropped frames.
 *
 * The trait's object is changed in place: `model.set` would put all frames into the next message to the kernel.
 * Second views, a saved notebook and an exported page read the same object. */
function merge(held, message, buffer) {
  const store = framesOf(held);
  const gone = new Set(message.drop.map(([row, column]) => keyOf(row, column)));
  for (const key of gone) store.delete(key);
  for (const [row, column] of message.index) gone.add(keyOf(row, column));
  for (const block of held.blocks) block.index = block.index.filter(([row, column]) => !gone.has(keyOf(row, column)));
  held.blocks = held.blocks.filter((block) => block.index.length);
  if (message.index.length) {
    const block = { index: message.index, data: new DataView(bytes(buffer).slice().buffer) };
    held.blocks.push(block);
    unpack(block, store);
  }
  held.revision = message.revision;
  const used = [...store.values()].reduce((sum, frame) => sum + frame.q.length, 0);
  const kept = held.blocks.reduce((sum, block) => sum + block.data.byteLength, 0);
  if (kept > 2 * used + 65536) compact(held, store, used);
}

/** Copy what is left of half-empty blocks together, so that dropped frames give their memory back. */
function compact(held, store, used) {
  const data = new Uint8Array(used);
  const index = [];
  let start = 0;
  for (const [key, frame] of store) {
    data.set(frame.q, start);
    const [row, column] = key.split(",").map(Number);
    index.push([row, column, frame.h, frame.w, frame.lo, frame.hi, start]);
    start += frame.q.length;
  }
  held.blocks = [{ index, data: new DataView(data.buffer) }];
  unpack(held.blocks[0], store);
}

function initialize({ model }) {
  // Python sends additions only to a front end that has said what it holds; whatever was missed comes back as the whole trait.
  const hello = () => model.send({ type: "hello", revision: model.get("frames").revision });
  model.on("msg:custom", (message, buffers) => {
    if (message.type !== "frames") return;
    const held = model.get("frames");
    if (message.since === held.revision) merge(held, message, buffers[0]);
    else if (message.revision > held.revision) hello();
  });
  hello();
}

/** Neighbours and weight for scaling `source` cells to `target` pixels: half-pixel centres, edges clamped. */
function neighbours(source, target, smooth) {
  const first = new Int32Array(target), second = new Int32Array(target), weight = new Float64Array(target);
  for (let i = 0; i < target; i++) {
    if (smooth) {
      const place = Math.min(Math.max((i + 0.5) * source / target - 0.5, 0), source - 1);
      first[i] = Math.floor(place);
      second[i] = Math.min(first[i] + 1, source - 1);
      weight[i] = place - first[i];
    } else first[i] = second[i] = Math.floor((i + 0.5) * source / target);
  }
  return { first, second, weight };
}

/** The base enlarged to the canvas, as three bytes a pixel. */
function enlarge(base, width, height, factor) {
  if (factor === 1) return base;
  const W = width * factor, H = height * factor, smooth = Math.max(width, height) >= PIXELATED_BELOW;
  const across = neighbours(width, W, smooth), down = neighbours(height, H, smooth);
  const out = new Uint8Array(W * H * 3), line = new Float64Array(width * 3);
  for (let y = 0; y < H; y++) {
    const top = down.first[y] * width * 3, bottom = down.second[y] * width * 3, f = down.weight[y];
    for (let i = 0; i < line.length; i++) line[i] = base[top + i] + (base[bottom + i] - base[top + i]) * f;
    for (let x = 0, o = y * W * 3; x < W; x++, o += 3) {
      const l = across.first[x] * 3, r = across.second[x] * 3, g = across.weight[x];
      for (let c = 0; c < 3; c++) out[o + c] = Math.floor(line[l + c] + (line[r + c] - line[l + c]) * g + 0.5);
    }
  }
  return out;
}

/** Colour `frame` over lo..hi and blend it over `base` (three bytes a pixel, or null for none) into `pixels` (RGBA as uint32). */
function paint(pixels, W, H, base, frame, table, lo, hi, opacity, smooth) {
  const { h, w, q } = frame, span = hi - lo;
  const places = new Float64Array(256); // where each stored byte lies on the colour table
  if (span) for (let i = 0; i < 256; i++) places[i] = (frame.lo + i / 255 * (frame.hi - frame.lo) - lo) / span * 255;
  const mixed = new Float64Array(768), faded = new Float64Array(256);
  for (let i = 0; i < 768; i++) mixed[i] = table[i] * opacity + 0.5;
  for (let i = 0; i < 256; i++) faded[i] = i * (1 - opacity);
  const across = neighbours(w, W, smooth), down = neighbours(h, H, smooth);
  const { first, second, weight } = across, line = new Float64Array(w);
  for (let y = 0, o = 0, b = 0; y < H; y++) {
    const top = down.first[y] * w, bottom = down.second[y] * w, f = down.weight[y];
    for (let x = 0; x < w; x++) line[x] = places[q[top + x]] + (places[q[bottom + x]] - places[q[top + x]]) * f;
    for (let x = 0; x < W; x++, o++, b += 3) {
      const left = line[first[x]];
      const place = Math.floor(left + (line[second[x]] - left) * weight[x] + 0.5);
      const t = (place < 0 ? 0 : place > 255 ? 255 : place) * 3;
      if (base) {
        pixels[o] = 0xff000000 | (faded[base[b + 2]] + mixed[t + 2]) << 16 | (faded[base[b + 1]] + mixed[t + 1]) << 8 | (faded[base[b]] + mixed[t]);
      } else pixels[o] = 0xff000000 | table[t + 2] << 16 | table[t + 1] << 8 | table[t];
    }
  }
}

function render({ model, el, signal }) {
  const help = identity("iw-readout");
  const canvas = make("canvas", { role: "img", "aria-describedby": help, ...KEYS });
  const cross = make("div", { class: "iw-cross", hidden: true });
  const stage = make("div", { class: "iw-stage" }, canvas, cross, make("span", { class: "iw-busy", "aria-hidden": "true" }, "computing…"));
  const caption = make("div", { class: "iw-caption iw-ellipsis", id: help, "aria-live": "off" });
  const ramp = make("canvas", { width: 256, height: 1, role: "img" });
  const ticks = [make("span"), make("span"), make("span")];
  const scale = make("div", { class: "iw-scale" }, ramp, ...ticks);
  const root = make("div", { class: "iw iw-picture" }, stage, caption, scale);
  el.append(root);

  const context = canvas.getContext("2d"), rampContext = ramp.getContext("2d");
  let image = null, pixels = null, enlarged = null, shown = null;

  /** Canvas size in pixels: the base (or the map) enlarged by a whole number until it reaches `size`. */
  function grid(frame) {
    let [width, height] = model.get("base_size");
    if (!width || !height) [width, height] = frame ? [frame.w, frame.h] : [1, 1];
    return { width, height, factor: Math.max(1, Math.ceil(model.get("size") / Math.max(width, height))) };
  }

  function wanted() {
    const row = model.get("row"), column = model.get("column"), key = keyOf(row, column);
    const store = framesOf(model.get("frames")), frame = store.get(key);
    if (frame) shown = { frame, row, column };
    else if (store.asked !== key) model.send({ type: "need", row, column }); // once, however many views there are
    store.asked = frame ? "" : key;
    if (!store.size) shown = null; // all were cleared: an old map over a new image would mislead
    return Boolean(frame) || !store.size;
  }

  function draw() {
    const begun = performance.now();
    const view = model.get("view"), current = wanted();
    const frame = view === "base" ? null : shown?.frame;
    root.classList.toggle("iw-stale", !current && view !== "base");
    const { width, height, factor } = grid(frame), W = width * factor, H = height * factor;
    if (canvas.width !== W || canvas.height !== H || !image) {
      canvas.width = W;
      canvas.height = H;
      image = context.createImageData(W, H);
      pixels = new Uint32Array(image.data.buffer);
    }
    const base = view === "map" ? null : baseAt(width, height, factor);
    if (frame) {
      const [lo, hi] = range(frame);
      paint(pixels, W, H, base, frame, bytes(model.get("table")), lo, hi, model.get("opacity"), model.get("smooth"));
    } else if (base) for (let i = 0, b = 0; i < pixels.length; i++, b += 3) pixels[i] = 0xff000000 | base[b + 2] << 16 | base[b + 1] << 8 | base[b];
    else pixels.fill(0);
    context.putImageData(image, 0, 0);
    canvas.classList.toggle("iw-pixels", Math.max(width, height) < PIXELATED_BELOW);
    decorate(frame, W, H);
    canvas.dataset.shown = frame ? keyOf(shown.row, shown.column) : "";
    canvas.dataset.milliseconds = (performance.now() - begun).toFixed(2);
    canvas.dataset.draws = 1 + Number(canvas.dataset.draws ?? 0);
  }

  function baseAt(width, height, factor) {
    const value = model.get("base");
    if (value?.byteLength !== 3 * width * height) return null; // empty, or its size is still on the way
    if (enlarged?.value !== value || enlarged.factor !== factor) enlarged = { value, factor, pixels: enlarge(bytes(value), width, height, factor) };
    return enlarged.pixels;
  }

  function range(frame) {
    if (!model.get("own_range")) return [model.get("low"), model.get("high")];
    if (!model.get("signed")) return [frame.lo, frame.hi];
    const most = Math.max(Math.abs(frame.lo), Math.abs(frame.hi)) || 1;
    return [-most, most];
  }

  /** Size, colour bar, caption, busy sign and crosshair around the pixels. */
  function decorate(frame, W, H) {
    const ratio = model.get("size") / Math.max(W, H);
    stage.style.width = `${Math.round(W * ratio)}px`;
    stage.style.height = `${Math.round(H * ratio)}px`;
    root.style.width = `${Math.max(Math.round(W * ratio), 120) + 4}px`;
    canvas.setAttribute("aria-label", model.get("alt") || model.get("label") || "picture");
    canvas.setAttribute("aria-busy", String(model.get("busy") || root.classList.contains("iw-stale")));
    root.classList.toggle("iw-working", model.get("busy"));
    scale.hidden = !frame || !model.get("colorbar");
    if (!scale.hidden) drawScale(...range(frame));
    drawCursor();
  }

  function drawScale(lo, hi) {
    const table = bytes(model.get("table")), units = model.get("units");
    const line = rampContext.createImageData(256, 1);
    for (let i = 0; i < 256; i++) line.data.set([table[3 * i], table[3 * i + 1], table[3 * i + 2], 255], 4 * i);
    rampContext.putImageData(line, 0, 0);
    [lo, (lo + hi) / 2, hi].forEach((value, i) => { ticks[i].textContent = figures(value); });
    if (units) ticks[1].textContent += ` ${units}`;
    ramp.setAttribute("aria-label", `colour scale ${model.get("colormap")} from ${figures(lo)} to ${figures(hi)} ${units}`.trim());
  }

  /** The map's cell under the cursor. */
  function cell(frame) {
    const [x, y] = model.get("cursor");
    if (!frame || !(x >= 0 && y >= 0)) return null;
    return { row: Math.min(frame.h - 1, Math.floor(y * frame.h)), column: Math.min(frame.w - 1, Math.floor(x * frame.w)) };
  }

  function drawCursor() {
    const [x, y] = model.get("cursor"), inside = x >= 0 && y >= 0;
    cross.hidden = !inside;
    cross.style.setProperty("--x", `${x * 100}%`);
    cross.style.setProperty("--y", `${y * 100}%`);
    const frame = model.get("view") === "base" ? null : shown?.frame, at = cell(frame);
    const value = at && frame.lo + frame.q[at.row * frame.w + at.column] / 255 * (frame.hi - frame.lo);
    const label = model.get("label"), place = at && `row ${at.row}, column ${at.column}`;
    // one of many small pictures is told from the others by its label, so that stays beside the value
    const reading = at && (model.get("size") < SMALL ? [`${figures(value)} ${label}`.trim(), place].join(", ") : `value ${figures(value)} at ${place}`);
    caption.textContent = reading || label;
    caption.title = label;
  }

  const point = (x, y) => {
    const [oldX, oldY] = model.get("cursor");
    if (x !== oldX || y !== oldY) change(model, "cursor", [x, y]);
  };
  let pointer = null;
  const follow = oncePerFrame(() => {
    if (!pointer) return;
    const box = canvas.getBoundingClientRect();
    const inUnit = (v) => Math.min(Math.max(v, 0), 1);
    point(inUnit((pointer.x - box.left) / box.width), inUnit((pointer.y - box.top) / box.height));
  }, signal);
  canvas.addEventListener("pointermove", (event) => { pointer = { x: event.clientX, y: event.clientY }; follow(); });
  canvas.addEventListener("pointerleave", () => { pointer = null; point(-1, -1); });
  canvas.addEventListener("blur", () => { caption.setAttribute("aria-live", "off"); point(-1, -1); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape" && model.get("cursor")[0] >= 0) { taken(event); point(-1, -1); }
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    taken(event);
    caption.setAttribute("aria-live", "polite"); // read aloud where the keyboard goes, not where the mouse passes
    const frame = shown?.frame ?? { w: 10, h: 10 };
    const at = cell(frame) ?? { row: Math.floor(frame.h / 2) - step[1], column: Math.floor(frame.w / 2) - step[0] };
    const column = Math.min(Math.max(at.column + step[0], 0), frame.w - 1), row = Math.min(Math.max(at.row + step[1], 0), frame.h - 1);
    point((column + 0.5) / frame.w, (row + 0.5) / frame.h);
  });

  const redraw = oncePerFrame(draw, signal);
  const traits = ["row", "column", "opacity", "table", "low", "high", "own_range", "signed", "smooth", "view", "size", "base", "base_size", "frames"];
  for (const name of [...traits, "label", "alt", "busy", "units", "colormap", "colorbar"]) model.on(`change:${name}`, redraw);
  model.on("change:cursor", drawCursor);
  model.on("msg:custom", redraw);
  draw();
}

export default { initialize, render };
