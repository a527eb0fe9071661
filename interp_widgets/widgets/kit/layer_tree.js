// The model's modules as a tree that can be searched: the precise companion of the drawn network.

const ARROW = "M2 1l4 3-4 3z";

function render({ model, el, signal }) {
  const tree = make("div", { class: "iw-scroll", role: "tree", id: identity("iw-tree"), "aria-label": "layers", ...KEYS });
  const search = make("input", {
    class: "iw-search", type: "search", placeholder: "Search layers", autocomplete: "off", spellcheck: "false",
    "aria-label": "search layers", "aria-controls": tree.id, ...KEYS,
  });
  const head = make("div", { class: "iw-head", "aria-hidden": "true" }, ...["Layer", "Type", "Output", "Params"].map((text) => make("span", {}, text)));
  const said = make("span", { class: "iw-hidden", "aria-live": "polite" });
  el.append(make("div", { class: "iw iw-tree" }, search, head, tree, said));

  let nodes = [], children = [], levels = [], byPath = new Map(), visible = [], rows = new Map(), active = -1, marked = -1;

  function load() {
    nodes = model.get("nodes");
    children = nodes.map(() => []);
    levels = [];
    byPath = new Map(nodes.map((node, i) => [node.path, i]));
    nodes.forEach((node, i) => {
      if (node.parent >= 0) children[node.parent].push(i);
      levels[i] = node.parent >= 0 ? levels[node.parent] + 1 : 1;
    });
    list();
    show();
  }

  /** Which nodes are seen: the open ones, or, while searching, every match with its ancestors. */
  function list() {
    const query = model.get("query").trim().toLowerCase(), open = new Set(model.get("open_paths"));
    if (search.value.trim() !== model.get("query").trim()) search.value = model.get("query");
    const kept = query ? new Set() : null;
    let found = 0;
    if (query) {
      nodes.forEach((node, i) => {
        if (!node.path.toLowerCase().includes(query) && !node.kind.toLowerCase().includes(query)) return;
        found++;
        for (let at = i; at >= 0 && !kept.has(at); at = nodes[at].parent) kept.add(at);
      });
    }
    visible = nodes.map((_, i) => i).filter((i) => (kept ? kept.has(i) : ancestorsOpen(i, open)));
    rows = new Map(visible.map((i) => [i, row(i, kept ? children[i].some((c) => kept.has(c)) : open.has(nodes[i].path), query)]));
    tree.replaceChildren(...rows.values());
    if (!visible.length) tree.append(make("div", { class: "iw-muted", style: "padding: 4px 8px" }, nodes.length ? "No layer has this name or type" : "No layers"));
    tree.style.height = `${model.get("height")}px`;
    head.style.paddingRight = `${4 + tree.offsetWidth - tree.clientWidth}px`; // columns stay aligned beside a scroll bar
    said.textContent = query ? `${found} of ${nodes.length} layers` : "";
    mark();
  }

  function ancestorsOpen(i, open) {
    for (let at = nodes[i].parent; at >= 0; at = nodes[at].parent) if (!open.has(nodes[at].path)) return false;
    return true;
  }

  function row(i, open, query) {
    const node = nodes[i], twist = make("span", { class: "iw-twist" });
    if (children[i].length) {
      const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS(icon.namespaceURI, "path");
      icon.setAttribute("viewBox", "0 0 8 8");
      path.setAttribute("d", ARROW);
      path.setAttribute("fill", "currentColor");
      icon.append(path);
      twist.append(icon);
    }
    const name = make("span", { class: "iw-node" }, twist, make("span", { class: "iw-name iw-ellipsis" }, ...highlighted(node.name, query)));
    name.style.paddingLeft = `${(levels[i] - 1) * 12}px`;
    const siblings = node.parent >= 0 ? children[node.parent] : nodes.map((_, k) => k).filter((k) => nodes[k].parent < 0);
    const text = (value, parts = [value]) => make("span", { class: "iw-ellipsis", title: value }, ...parts);
    return make("div", {
      class: `iw-row ${node.layer < 0 ? "iw-dead" : ""}`, role: "treeitem", id: `${tree.id}-${i}`, title: node.path || node.name, "data-path": node.path,
      "aria-level": levels[i], "aria-setsize": siblings.length, "aria-posinset": siblings.indexOf(i) + 1,
      "aria-expanded": children[i].length ? String(open) : null,
      "aria-label": `${node.name}, ${node.kind}, output ${node.shape || "not recorded"}, ${node.parameters} parameters`,
    }, name, text(node.kind, highlighted(node.kind, query)), text(node.shape), text(count(node.parameters)));
  }

  function highlighted(name, query) {
    const at = query ? name.toLowerCase().indexOf(query) : -1;
    return at < 0 ? [name] : [name.slice(0, at), make("mark", {}, name.slice(at, at + query.length)), name.slice(at + query.length)];
  }

  function count(parameters) {
    if (!parameters) return "";
    for (const [unit, suffix] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      if (parameters >= unit) return `${(parameters / unit).toFixed(parameters < 100 * unit ? 1 : 0)}${suffix}`;
    }
    return String(parameters);
  }

  function mark() {
    const selected = byPath.get(model.get("selected"));
    for (const [i, element] of rows) element.setAttribute("aria-selected", String(i === selected));
    if (selected !== marked && rows.has(selected)) point(selected); // once; then the keyboard may walk on
    else point(rows.has(active) ? active : rows.has(selected) ? selected : visible[0] ?? -1, false);
    marked = selected;
  }

  /** The row that the keyboard stands on. */
  function point(i, show = true) {
    rows.get(active)?.classList.remove("iw-active");
    active = i;
    const element = rows.get(i);
    if (!element) return tree.removeAttribute("aria-activedescendant");
    element.classList.add("iw-active");
    tree.setAttribute("aria-activedescendant", element.id);
    if (show) reveal(tree, element);
  }

  /** Select a layer; a module that produced nothing of its own only opens and closes. */
  function choose(i) {
    point(i);
    if (nodes[i].layer >= 0) change(model, "selected", nodes[i].path);
    else toggle(i);
  }

  function toggle(i, wanted) {
    if (!children[i].length || model.get("query").trim()) return;
    const open = new Set(model.get("open_paths")), path = nodes[i].path;
    if (wanted ?? !open.has(path)) open.add(path);
    else open.delete(path);
    active = i;
    change(model, "open_paths", [...open]);
  }

  /** A layer selected elsewhere is never hidden in a closed branch. */
  function show() {
    const open = new Set(model.get("open_paths")), before = open.size;
    for (let at = nodes[byPath.get(model.get("selected"))]?.parent ?? -1; at >= 0; at = nodes[at].parent) open.add(nodes[at].path);
    if (open.size > before) change(model, "open_paths", [...open]);
    else mark();
  }

  tree.addEventListener("click", (event) => {
    const i = byPath.get(event.target.closest("[role=treeitem]")?.dataset.path);
    if (i === undefined) return;
    if (event.target.closest(".iw-twist") && children[i].length) toggle(i);
    else choose(i);
  });
  tree.addEventListener("dblclick", (event) => {
    const i = byPath.get(event.target.closest("[role=treeitem]")?.dataset.path);
    if (i !== undefined && !event.target.closest(".iw-twist") && nodes[i].layer >= 0) toggle(i);
  });
  tree.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !visible.length) return;
    const at = visible.indexOf(active), last = visible.length - 1, page = Math.max(1, Math.floor(tree.clientHeight / 22) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last, PageDown: at + page, PageUp: at - page }[event.key];
    if (to !== undefined) { taken(event); point(visible[Math.min(Math.max(to, 0), last)]); return; }
    const open = rows.get(active)?.getAttribute("aria-expanded");
    if (event.key === "ArrowRight") { taken(event); open === "false" ? toggle(active, true) : open === "true" && point(visible[at + 1]); }
    else if (event.key === "ArrowLeft") { taken(event); open === "true" && !model.get("query") ? toggle(active, false) : nodes[active].parent >= 0 && point(nodes[active].parent); }
    else if (event.key === "Enter" || event.key === " ") { taken(event); choose(active); }
    else if (event.key.length === 1) search.focus(); // the key lands in the search field
  });
  search.addEventListener("input", () => change(model, "query", search.value));
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && visible.length) { taken(event); tree.focus(); }
    else if (event.key === "Enter") { taken(event); const first = visible.find((i) => nodes[i].layer >= 0 && matched(i)); if (first !== undefined) choose(first); }
    else if (event.key === "Escape" && search.value) { taken(event); change(model, "query", ""); }
  });
  const matched = (i) => { const query = model.get("query").trim().toLowerCase(); return nodes[i].path.toLowerCase().includes(query) || nodes[i].kind.toLowerCase().includes(query); };

  const reload = oncePerFrame(load, signal);
  model.on("change:nodes", reload);
  for (const name of ["open_paths", "query", "height"]) model.on(`change:${name}`, list);
  model.on("change:selected", show);
  load();
  onceSeen(tree, () => { marked = -1; list(); }, signal);
}

export default { render };
