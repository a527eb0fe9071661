// The channels of one layer: a grid of tiles drawn on one canvas under one list of options, or rows of bars.

const CAPTION = 18, GAP = 8;

function render({ model, el, signal }) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const grid = make("div", { class: "iw-grid", role: "listbox", "aria-orientation": "horizontal", ...KEYS });
  const back = make("button", { class: "iw-button", type: "button", "aria-label": "previous page", title: "Previous page (Page Up)", ...KEYS }, "‹");
  const next = make("button", { class: "iw-button", type: "button", "aria-label": "next page", title: "Next page (Page Down)", ...KEYS }, "›");
  const where = make("span", { "aria-live": "polite" });
  const pager = make("div", { class: "iw-pager" }, back, where, next);
  const root = make("div", { class: "iw iw-tiles" }, grid, pager);
  el.append(root);
  const atlas = make("canvas"), names = identity("iw-tile");
  let options = [], arriving = null; // after a turned page: which of its tiles becomes the selected one

  const tiled = () => model.get("mode") === "tiles";
  let across = 1; // tiles or bars in a row: as many as asked for and as the page has room for

  /** Everything: new page, new layer, other mode. */
  function build() {
    const numbers = model.get("numbers"), captions = model.get("captions");
    const called = model.get("names");
    grid.className = `iw-grid ${tiled() ? "" : "iw-bars"} ${called.length && !tiled() ? "iw-named" : ""}`;
    grid.setAttribute("aria-label", model.get("alt") || "channels");
    options = numbers.map((number, i) => {
      const name = `${called[i] ?? `channel ${number}`}, rank ${1 + i + model.get("offset")}${captions[i] ? `, ${model.get("measure")} ${captions[i]}` : ""}`;
      const parts = tiled() ? [make("div", {}, make("b", {}, `${number}`), make("span", {}, captions[i] ?? ""))] : bar(number, captions[i], i);
      return make("div", { class: tiled() ? "iw-tile" : "iw-bar", role: "option", id: `${names}-${i}`, "aria-label": name, title: name, "data-number": number }, ...parts);
    });
    grid.replaceChildren(...(tiled() ? [canvas, ...options] : options));
    if (tiled()) place();
    else {
      Object.assign(grid.style, { width: "", height: "" });
      root.style.width = "";
      across = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    }
    mark();
    const page = model.get("page"), pages = model.get("pages");
    pager.hidden = pages < 2;
    where.textContent = `page ${page + 1} of ${pages}`;
    back.disabled = page <= 0;
    next.disabled = page >= pages - 1;
  }

  /** Options at their places, and all tiles on the one canvas. */
  function place() {
    const [n, h, w] = model.get("shape"), side = model.get("tile_size"), ratio = window.devicePixelRatio || 1;
    const width = h && w ? Math.round(side * Math.min(1, w / h)) : side, height = h && w ? Math.round(side * Math.min(1, h / w)) : side;
    const stepX = width + GAP, stepY = height + CAPTION + 2, most = Math.max(1, Math.min(model.get("columns"), options.length));
    root.style.width = `${most * stepX - GAP + 4}px`; // what it would like; the style sheet limits it to the room there is
    across = Math.min(most, Math.max(1, Math.floor((root.clientWidth - 4 + GAP) / stepX)));
    const spot = (i) => [(i % across) * stepX, Math.floor(i / across) * stepY];
    const totalX = Math.max(0, across * stepX - GAP), totalY = Math.ceil(options.length / across) * stepY;
    grid.style.width = `${totalX}px`;
    grid.style.height = `${totalY}px`;
    options.forEach((option, i) => {
      const [x, y] = spot(i);
      Object.assign(option.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height + CAPTION}px` });
    });
    canvas.width = Math.round(totalX * ratio);
    canvas.height = Math.round(totalY * ratio);
    Object.assign(canvas.style, { width: `${totalX}px`, height: `${totalY}px` });
    const data = bytes(model.get("data"));
    if (!n || data.length !== n * h * w) return;
    color(data, n * h, w);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = model.get("smooth");
    context.imageSmoothingQuality = "high";
    for (let i = 0; i < Math.min(n, options.length); i++) {
      const [x, y] = spot(i).map((v) => Math.round(v * ratio));
      context.drawImage(atlas, 0, i * h, w, h, x, y, Math.round(width * ratio), Math.round(height * ratio));
    }
    canvas.dataset.draws = 1 + Number(canvas.dataset.draws ?? 0);
  }

  /** All maps coloured, one under the other, on a canvas that is not shown. */
  function color(data, height, width) {
    const table = bytes(model.get("table")), colors = new Uint32Array(256);
    for (let i = 0; i < 256; i++) colors[i] = 0xff000000 | table[3 * i + 2] << 16 | table[3 * i + 1] << 8 | table[3 * i];
    atlas.width = width;
    atlas.height = height;
    const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < data.length; i++) pixels[i] = colors[data[i]];
    atlas.getContext("2d").putImageData(image, 0, 0);
  }

  /** Number, bar from the zero line, value. The axis is symmetric when there are values of both signs. */
  function bar(number, caption, i) {
    const values = model.get("values"), value = values[i] ?? 0;
    const limit = model.get("limit") || Math.max(...values.map(Math.abs), 1e-30);
    const signed = values.some((v) => v < 0) || model.get("signed"), zero = signed ? 50 : 0;
    const length = Math.min(1, Math.abs(value) / limit) * (100 - zero);
    const axis = make("div", { class: "iw-axis" }, make("i", { class: value < 0 ? "iw-minus" : "" }));
    axis.style.setProperty("--zero", `${zero}%`);
    Object.assign(axis.firstChild.style, { left: `${value < 0 ? zero - length : zero}%`, width: `${length}%` });
    return [make("b", {}, model.get("names")[i] ?? `${number}`), axis, make("span", {}, caption ?? figures(value))];
  }

  function mark() {
    const at = model.get("numbers").indexOf(model.get("selected"));
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
    if (at >= 0) grid.setAttribute("aria-activedescendant", options[at].id);
    else grid.removeAttribute("aria-activedescendant");
  }

  /** The page asked for is here: select the tile at the edge that was crossed. */
  function land() {
    const numbers = model.get("numbers"), landing = arriving;
    arriving = null;
    if (landing && numbers.length) change(model, "selected", numbers[landing === "last" ? numbers.length - 1 : 0]);
  }

  const select = (i) => change(model, "selected", model.get("numbers")[i]);
  function turn(by, landing) {
    const page = Math.min(Math.max(model.get("page") + by, 0), Math.max(0, model.get("pages") - 1));
    if (page === model.get("page")) return;
    arriving = landing;
    change(model, "page", page);
  }
  grid.addEventListener("click", (event) => {
    const i = options.indexOf(event.target.closest("[role=option]"));
    if (i >= 0) select(i);
  });
  back.addEventListener("click", () => turn(-1, null));
  next.addEventListener("click", () => turn(1, null));
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !options.length) return;
    if (event.key === "PageDown" || event.key === "PageUp") return taken(event), turn(event.key === "PageDown" ? 1 : -1, "first");
    const last = options.length - 1, at = model.get("numbers").indexOf(model.get("selected"));
    const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? last : at - 1, ArrowDown: at < 0 ? 0 : at + across, ArrowUp: at < 0 ? last : at - across, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    taken(event);
    if (to >= 0 && to <= last) select(to);
    else if (to > last) event.key === "ArrowDown" && model.get("page") >= model.get("pages") - 1 ? select(last) : turn(1, "first");
    else turn(-1, "last");
  });

  const rebuild = oncePerFrame(build, signal);
  for (const name of ["mode", "data", "shape", "numbers", "captions", "values", "page", "pages", "columns", "alt", "tile_size", "smooth", "limit", "signed", "measure", "offset"]) model.on(`change:${name}`, rebuild);
  model.on("change:table", () => tiled() && place());
  model.on("change:selected", mark);
  model.on("change:numbers", land);
  build();
  const resized = oncePerFrame(() => (tiled() ? place() : build()), signal);
  const room = new ResizeObserver(resized);
  room.observe(root);
  signal?.addEventListener("abort", () => room.disconnect());
}

export default { render };
