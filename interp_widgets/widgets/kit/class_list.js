// Class names with probability bars. Sorting and searching happen here: a thousand classes need no kernel.

const MOST_ROWS = 200, ROW = 24;

function render({ model, el, signal }) {
  const list = make("div", { class: "iw-scroll", role: "listbox", id: identity("iw-classes"), "aria-label": "classes by probability", ...KEYS });
  const search = make("input", {
    class: "iw-search", type: "search", placeholder: "Search classes", autocomplete: "off", spellcheck: "false", role: "combobox",
    "aria-label": "search classes", "aria-autocomplete": "list", "aria-expanded": "true", "aria-controls": list.id, ...KEYS,
  });
  const follow = make("input", { type: "checkbox", ...KEYS });
  const said = make("span", { class: "iw-ellipsis", "aria-live": "polite" });
  const foot = make("div", { class: "iw-foot" }, said, make("label", { title: "Always explain the most probable class" }, follow, "Follow the prediction"));
  el.append(make("div", { class: "iw iw-classes" }, search, list, foot));

  let scores = new Float32Array(0), order = [], ranks = new Map(), matches = [], rows = [], active = -1;

  /** Classes by falling probability; without probabilities, as they come. */
  function sort() {
    const raw = bytes(model.get("scores")).slice();
    const count = model.get("names").length;
    scores = raw.length === 4 * count ? new Float32Array(raw.buffer) : new Float32Array(0);
    order = Array.from({ length: count }, (_, i) => i);
    if (scores.length) order.sort((a, b) => scores[b] - scores[a] || a - b);
    ranks = new Map(order.map((index, rank) => [index, rank]));
    filter();
  }

  function filter() {
    const words = model.get("query").toLowerCase().split(/\s+/).filter(Boolean), names = model.get("names");
    matches = words.length ? order.filter((i) => words.every((word) => names[i].toLowerCase().includes(word) || word === String(i))) : order;
    if (search.value !== model.get("query")) search.value = model.get("query");
    fill();
  }

  /** The rows: the first matches, and the selected class even when it is far down. */
  function fill() {
    const shown = matches.slice(0, MOST_ROWS), selected = model.get("selected");
    if (matches.length > MOST_ROWS && matches.includes(selected) && !shown.includes(selected)) shown.push(selected);
    rows = shown.map(row);
    list.replaceChildren(...rows);
    const height = Math.min(model.get("limit"), Math.max(1, model.get("names").length)) * ROW;
    list.style.height = `${height}px`;
    if (!rows.length) list.append(make("div", { class: "iw-muted", style: "padding: 4px 8px" }, model.get("names").length ? "No class has this name" : "No classes"));
    mark();
  }

  function row(index) {
    const share = scores[index], cells = [make("span", { class: "iw-name iw-ellipsis" }, model.get("names")[index])];
    cells.push(model.get("markers").includes(index) ? make("span", { class: "iw-tag", title: "the true label" }, "label") : make("span"));
    if (scores.length) {
      const bar = make("i");
      bar.style.transform = `scaleX(${Number.isFinite(share) ? Math.min(Math.max(share, 0), 1) : 0})`;
      cells.push(make("span", { class: "iw-track" }, bar), make("span", { class: "iw-share" }, percent(share)));
    }
    return make("div", { class: "iw-row", role: "option", id: `${list.id}-${index}`, "data-index": index, title: `${model.get("names")[index]} (class ${index})` }, ...cells);
  }

  function percent(share) {
    if (!Number.isFinite(share)) return "–";
    const value = share * 100;
    if (value > 99.95 && value < 100) return ">99.9 %";
    if (value > 0 && value < 0.01) return "<0.01 %";
    return `${value.toFixed(value < 0.995 && value > 0 ? 2 : 1)} %`;
  }

  const indexOf = (element) => Number(element.dataset.index);
  const rowOf = (index) => rows.findIndex((element) => indexOf(element) === index);

  function mark() {
    const selected = model.get("selected"), name = model.get("names")[selected];
    for (const element of rows) element.setAttribute("aria-selected", String(indexOf(element) === selected));
    point(rowOf(selected));
    const rank = ranks.get(selected) + 1, found = model.get("query").trim() ? `${matches.length} of ${order.length} classes` : `${order.length} classes`;
    said.textContent = name === undefined || !scores.length || rank <= model.get("limit") ? found : `${found}, selected: rank ${rank}`;
    follow.checked = model.get("follow");
  }

  /** The row that Enter takes; both the list and the search field announce it. */
  function point(at) {
    rows[active]?.classList.remove("iw-active");
    active = at;
    for (const element of [list, search]) {
      if (rows[at]) element.setAttribute("aria-activedescendant", rows[at].id);
      else element.removeAttribute("aria-activedescendant");
    }
    if (!rows[at]) { list.scrollTop = 0; return; }
    rows[at].classList.add("iw-active");
    reveal(list, rows[at]);
  }

  const choose = (at) => { if (rows[at]) change(model, "selected", indexOf(rows[at])); };
  function step(event) {
    const page = Math.max(1, model.get("limit") - 1), last = rows.length - 1;
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey || last < 0) return null;
    return Math.min(Math.max(active < 0 ? (by > 0 ? 0 : last) : active + by, 0), last);
  }

  list.addEventListener("click", (event) => choose(rows.indexOf(event.target.closest("[role=option]"))));
  list.addEventListener("keydown", (event) => {
    const to = { Home: 0, End: rows.length - 1 }[event.key] ?? step(event);
    if (to !== null) { taken(event); choose(to); } // arrows scrub: the selection follows
    else if (event.key === "Enter" || event.key === " ") { taken(event); choose(active); }
    else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) search.focus(); // the key lands in the search field
  });
  search.addEventListener("input", () => { change(model, "query", search.value); if (search.value.trim()) point(rows.length ? 0 : -1); });
  search.addEventListener("keydown", (event) => {
    const to = step(event);
    if (to !== null) { taken(event); point(to); }
    else if (event.key === "Enter") { taken(event); choose(active); }
    else if (event.key === "Escape" && search.value) { taken(event); change(model, "query", ""); }
  });
  follow.addEventListener("change", () => change(model, "follow", follow.checked));

  const resort = oncePerFrame(sort, signal);
  for (const name of ["names", "scores"]) model.on(`change:${name}`, resort);
  for (const name of ["limit", "markers"]) model.on(`change:${name}`, fill);
  model.on("change:query", filter);
  model.on("change:selected", () => (rowOf(model.get("selected")) < 0 ? fill() : mark()));
  model.on("change:follow", mark);
  sort();
  onceSeen(list, mark, signal);
}

export default { render };
