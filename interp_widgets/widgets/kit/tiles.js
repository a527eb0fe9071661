// The channels of one layer: a grid of tiles drawn on one canvas under one list of options, or rows of bars.

import { colours } from "./blend.js";
import {
  KEYS, bytes, change, clamp, explain, figures, identity, make, modified, onChange, oncePerFrame, shortened, taken,
} from "./dom.js";
import { ENDS, choose, destination, stand } from "./list.js";
import { say } from "./words.js";

const CAPTION = 18; // CSS pixels under each tile
const LINE = 16; // CSS pixels of another line there
const SPARE = 2; // CSS pixels between a number and its value
const FONT = 10; // CSS pixels
const GAP = 8; // CSS pixels between tiles
const GROWTH = 1.1; // times: what a tile grows to fill a row
const LARGEST = 2.2; // times: what it grows to fill the height that is kept for the tiles
const EVEN = 0.9; // of the largest tiles' side: rows are full where that costs no more
const BUILT = [ // traits that a rebuilt page shows
  "mode", "data", "shape", "numbers", "captions", "details", "values", "page", "pages", "columns", "alt", "tile_size",
  "smooth", "limit", "signed", "measure", "offset", "fluid", "help",
];

/** The size of a tile in CSS pixels: the longer side of a map of h x w is `side`. */
export function tileSize(h, w, side) {
  if (!h || !w) return { width: side, height: side };
  return { width: Math.round(side * Math.min(1, w / h)), height: Math.round(side * Math.min(1, h / w)) };
}

/** Where tiles go: `columns` at most in a row, fewer where `room` is narrow. `wish` is the width it would like. */
export function layout(count, tile, columns, room, caption = CAPTION) {
  const stepX = tile.width + GAP;
  const stepY = tile.height + caption + 2;
  const most = clamp(columns, 1, Math.max(1, count));
  const across = clamp(Math.floor((room - 4 + GAP) / stepX), 1, most);
  const places = Array.from({ length: count }, (_, i) => [(i % across) * stepX, Math.floor(i / across) * stepY]);
  const width = across * stepX - GAP;
  const height = Math.ceil(count / across) * stepY;
  return { across, places, width, height };
}

/** The width at which `columns` tiles stand in a row. */
export function wishedWidth(count, tile, columns) {
  return clamp(columns, 1, Math.max(1, count)) * (tile.width + GAP) - GAP + 4;
}

/** How many tiles of about `side` stand in a row and how large they are when they fill the room; of a page of
 * `capacity` tiles every row is full where that is possible. */
export function filling(capacity, side, room) {
  const most = clamp(Math.floor((room - 4 + GAP) / (side + GAP)), 1, Math.max(1, capacity));
  const even = [most, most - 1, most - 2].find((count) => capacity % count === 0 && count >= 0.75 * most);
  const columns = even ?? most;
  return { columns, side: Math.floor(Math.min(GROWTH * side, (room - 4 + GAP) / columns - GAP)) };
}

/** As `filling`, where a height is kept for the page: as many in a row as make the tiles largest. */
export function fitting(capacity, side, room, height) {
  const largest = (columns) => {
    const rows = Math.ceil(capacity / columns);
    return Math.floor(Math.min(LARGEST * side, (room - 4 + GAP) / columns - GAP, height / rows - CAPTION - 2));
  };
  const counts = Array.from({ length: Math.max(1, capacity) }, (_, i) => i + 1);
  const best = Math.max(...counts.map(largest));
  if (best < side / 2) return filling(capacity, side, room); // there is no room for a page: it takes what it needs
  const good = counts.filter((columns) => largest(columns) >= EVEN * best);
  const columns = good.findLast((each) => capacity % each === 0) ?? counts.find((each) => largest(each) === best);
  return { columns, side: largest(columns) };
}

/** A bar in percent of the axis: where it begins, how long it is, where zero is.
 *
 * The axis is symmetric when there are values of both signs, or when that is asked for. */
export function extent(value, values, limit, signed) {
  const end = limit || Math.max(...values.map(Math.abs), 1e-30);
  const isSymmetric = signed || values.some((each) => each < 0);
  const zero = isSymmetric ? 50 : 0;
  const length = Math.min(1, Math.abs(value) / end) * (100 - zero);
  return { start: value < 0 ? zero - length : zero, length, zero };
}

function render({ model, el, signal }) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const grid = make("div", { class: "iw-grid", role: "listbox", "aria-orientation": "horizontal", ...KEYS });
  const back = button("‹", say("previous page"), say("key: Page Up"));
  const next = button("›", say("next page"), say("key: Page Down"));
  const where = make("span", { "aria-live": "polite" });
  const pager = make("div", { class: "iw-pager" }, back, where, next);
  const kept = make("div", { class: "iw-kept", "aria-hidden": "true" }); // as high as the page's tiles may be
  const root = make("div", { class: "iw iw-tiles" }, grid, pager, kept);
  el.append(root);

  const atlas = make("canvas"); // all maps, coloured, one under the other; not shown
  const prefix = identity("iw-tile");
  let options = [];
  let across = 1; // tiles or bars in a row
  let arriving = null; // after a turned page: which of its tiles becomes the selected one, "first" or "last"

  const tiled = () => model.get("mode") === "tiles";
  const selectedIndex = () => model.get("numbers").indexOf(model.get("selected"));

  function button(sign, name, key) {
    const made = make("button", { class: "iw-button", type: "button", "aria-label": name, ...KEYS }, sign);
    explain(made, key, name);
    return made;
  }

  /** Everything: new page, new layer, other mode. */
  function build() {
    const isNamed = !tiled() && model.get("names").length > 0;
    grid.classList.toggle("iw-bars", !tiled());
    grid.classList.toggle("iw-named", isNamed);
    grid.setAttribute("aria-label", model.get("alt") || say("channels"));
    explain(grid, model.get("help"));
    options = model.get("numbers").map(option);
    if (tiled()) {
      grid.replaceChildren(canvas, ...options);
      lay();
    } else {
      grid.replaceChildren(...options);
      Object.assign(grid.style, { width: "", height: "" });
      root.style.width = "";
      across = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    }
    mark();
    showPage();
  }

  function option(number, i) {
    const caption = model.get("captions")[i];
    const name = model.get("names")[i] ?? say("channel {number}", { number });
    const rank = 1 + i + model.get("offset");
    const measure = model.get("measure");
    const detail = model.get("details")[i] ?? caption;
    const words = detail ? say("{name}, {measure} {caption}", { name, measure, caption: detail }) : name;
    const attributes = { role: "option", id: `${prefix}-${i}`, "aria-label": words, "data-number": number };
    const made = tiled()
      ? make("div", { class: "iw-tile", ...attributes }, under(number, caption))
      : make("div", { class: "iw-bar", ...attributes }, ...bar(number, caption, i));
    explain(made, say("rank {rank}", { rank }), words);
    return made;
  }

  function under(number, caption) {
    return make("div", {}, make("b", {}, `${number}`), make("span", {}, caption ?? ""));
  }

  /** Number or name, bar from the zero line, value. */
  function bar(number, caption, i) {
    const values = model.get("values");
    const value = values[i] ?? 0;
    const { start, length, zero } = extent(value, values, model.get("limit"), model.get("signed"));
    const filled = make("i", { class: value < 0 ? "iw-minus" : "" });
    const axis = make("div", { class: "iw-axis" }, filled);
    axis.style.setProperty("--zero", `${zero}%`);
    Object.assign(filled.style, { left: `${start}%`, width: `${length}%` });
    const name = model.get("names")[i];
    const called = make("b", {}, name === undefined ? `${number}` : shortened(name));
    return [called, axis, make("span", {}, caption ?? figures(value))];
  }

  /** Options at their places, and all tiles on the one canvas. */
  function lay() {
    const [, h, w] = model.get("shape");
    const { columns, side } = model.get("fluid") ? grown() : fixed(h, w);
    const tile = tileSize(h, w, side);
    const isTight = widestCaption() > tile.width; // then values have a line of their own: cut off they would be others
    const caption = isTight ? CAPTION + LINE : CAPTION;
    const made = layout(options.length, tile, columns, root.clientWidth, caption);
    across = made.across;
    grid.classList.toggle("iw-stacked", isTight);
    const size = { width: `${made.width}px`, height: `${made.height}px` };
    Object.assign(grid.style, size);
    Object.assign(canvas.style, size);
    options.forEach((each, i) => {
      const [x, y] = made.places[i];
      const height = `${tile.height + caption}px`;
      Object.assign(each.style, { left: `${x}px`, top: `${y}px`, width: `${tile.width}px`, height });
    });
    drawTiles(tile, made);
  }

  /** The room in CSS pixels that the longest number and value take beside each other. */
  function widestCaption() {
    const context = atlas.getContext("2d");
    context.font = `600 ${FONT}px ${getComputedStyle(root).fontFamily}`; // the chosen one's number is semibold
    const captions = model.get("captions");
    const widths = model.get("numbers").map((number, i) => context.measureText(`${number}${captions[i] ?? ""}`).width);
    return Math.max(0, ...widths) + SPARE;
  }

  /** Tiles as large as wished; the style sheet limits the width to the page's room. */
  function fixed(h, w) {
    const columns = model.get("columns");
    const side = model.get("tile_size");
    root.style.width = `${wishedWidth(options.length, tileSize(h, w, side), columns)}px`;
    return { columns, side };
  }

  /** Tiles that fill the page's room. */
  function grown() {
    root.style.width = "";
    const page = model.get("page"); // all but the last page are full
    const capacity = page ? model.get("offset") / page : options.length;
    const side = model.get("tile_size");
    const height = kept.clientHeight;
    if (!height) return filling(capacity, side, root.clientWidth);
    return fitting(capacity, side, root.clientWidth, height);
  }

  function drawTiles(tile, { places, width, height }) {
    const [n, h, w] = model.get("shape");
    const data = bytes(model.get("data"));
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    if (!n || data.length !== n * h * w) return;
    drawAtlas(data, n * h, w);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = model.get("smooth");
    context.imageSmoothingQuality = "high";
    places.slice(0, n).forEach((at, i) => {
      const [x, y] = at.map((value) => Math.round(value * ratio));
      context.drawImage(atlas, 0, i * h, w, h, x, y, Math.round(tile.width * ratio), Math.round(tile.height * ratio));
    });
    canvas.dataset.draws = 1 + Number(canvas.dataset.draws ?? 0);
  }

  function drawAtlas(data, height, width) {
    const table = colours(bytes(model.get("table")));
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < data.length; i++) pixels[i] = table[data[i]];
    atlas.width = width;
    atlas.height = height;
    atlas.getContext("2d").putImageData(image, 0, 0);
  }

  function mark() {
    const at = selectedIndex();
    choose(options, at);
    stand([grid], options[at]);
  }

  function showPage() {
    const page = model.get("page");
    const pages = model.get("pages");
    pager.hidden = pages < 2;
    where.textContent = say("page {page} of {pages}", { page: page + 1, pages });
    back.disabled = page <= 0;
    next.disabled = page >= pages - 1;
  }

  /** The page asked for is here: select the tile at the edge that was crossed. */
  function land() {
    const numbers = model.get("numbers");
    const landing = arriving;
    arriving = null;
    if (!landing || !numbers.length) return;
    select(landing === "last" ? numbers.length - 1 : 0);
  }

  function select(i) {
    change(model, "selected", model.get("numbers")[i]);
  }

  function turn(by, landing) {
    const page = clamp(model.get("page") + by, 0, Math.max(0, model.get("pages") - 1));
    if (page === model.get("page")) return;
    arriving = landing;
    change(model, "page", page);
  }

  /** Select a tile; beyond the page's edge, turn it. */
  function go(to, key) {
    const last = options.length - 1;
    const isLastPage = model.get("page") >= model.get("pages") - 1;
    if (to < 0) turn(-1, "last");
    else if (to <= last) select(to);
    else if (key === "ArrowDown" && isLastPage) select(last);
    else turn(1, "first");
  }

  grid.addEventListener("click", (event) => {
    const i = options.indexOf(event.target.closest("[role=option]"));
    if (i >= 0) select(i);
  });
  back.addEventListener("click", () => turn(-1, null));
  next.addEventListener("click", () => turn(1, null));
  grid.addEventListener("keydown", (event) => {
    if (modified(event) || !options.length) return;
    const pages = { PageDown: 1, PageUp: -1 }[event.key];
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, ...ENDS };
    const to = destination(event, selectedIndex(), options.length, steps);
    if (pages === undefined && to === null) return;
    taken(event);
    if (pages === undefined) go(to, event.key);
    else turn(pages, "first");
  });

  onChange(model, BUILT, oncePerFrame(build, signal));
  onChange(model, ["table"], () => {
    if (tiled()) lay();
  });
  onChange(model, ["selected"], mark);
  onChange(model, ["numbers"], land);
  build();
  const resized = oncePerFrame(() => (tiled() ? lay() : build()), signal);
  const room = new ResizeObserver(resized);
  room.observe(root);
  room.observe(kept);
  signal?.addEventListener("abort", () => room.disconnect());
}

export default { render };
