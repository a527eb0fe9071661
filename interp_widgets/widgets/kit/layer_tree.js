// The model's modules as a tree that can be searched: the precise companion of the drawn network.

import {
  KEYS, change, explain, identity, make, modified, onChange, oncePerFrame, onceSeen, shortened, taken,
} from "./dom.js";
import { ENDS, choose, destination, nothing, reveal, searchField, stand, within, writes } from "./list.js";
import { ancestors, family, highlighted, twist } from "./tree.js";
import { say } from "./words.js";

const ROW = 22; // CSS pixels
const INDENT = 12; // CSS pixels per level
const UNITS = [[1e9, "B"], [1e6, "M"], [1e3, "k"]];

/** Whether a node's path or type contains the query, which is in lower case. */
export function matches(node, query) {
  return node.path.toLowerCase().includes(query) || node.kind.toLowerCase().includes(query);
}

/** The nodes whose ancestors are all open. */
export function unfolded(nodes, open) {
  const indices = nodes.map((_, i) => i);
  return indices.filter((i) => ancestors(nodes, i).every((at) => open.has(nodes[at].path)));
}

/** The nodes that match a query, and these with their ancestors; both in the order of the nodes. */
export function searched(nodes, query) {
  const found = nodes.map((_, i) => i).filter((i) => matches(nodes[i], query));
  const kept = new Set(found.flatMap((i) => [i, ...ancestors(nodes, i)]));
  return { found, visible: nodes.map((_, i) => i).filter((i) => kept.has(i)) };
}

/** A number of parameters as 25.6M; nothing for 0. */
export function short(parameters) {
  if (!parameters) return "";
  for (const [unit, suffix] of UNITS) {
    if (parameters < unit) continue;
    const digits = parameters < 100 * unit ? 1 : 0;
    return `${(parameters / unit).toFixed(digits)}${suffix}`;
  }
  return String(parameters);
}

/** A node in words. */
function described({ name, kind, shape, parameters }) {
  if (!shape) return say("{name}, {kind}, output not recorded, {parameters} parameters", { name, kind, parameters });
  return say("{name}, {kind}, output {shape}, {parameters} parameters", { name, kind, shape, parameters });
}

function render({ model, el, signal }) {
  const tree = make("div", {
    class: "iw-scroll",
    role: "tree",
    id: identity("iw-tree"),
    "aria-label": say("layers"),
    ...KEYS,
  });
  const search = searchField(say("Search layers"), say("search layers"), tree.id);
  const columns = [say("Type"), say("Output"), say("Params")];
  const titles = columns.map((text) => make("span", { "aria-hidden": "true" }, text));
  const head = make("div", { class: "iw-head" }, search, ...titles); // the search field is the title of the layers
  const said = make("span", { class: "iw-hidden", "aria-live": "polite" });
  el.append(make("div", { class: "iw iw-tree" }, head, tree, said));

  let nodes = [];
  let { children, levels, siblings, byPath } = family(nodes);
  let visible = []; // indices of the nodes that have a row
  let rows = new Map(); // their elements, by index
  let active = -1; // the node that the keyboard stands on
  let marked; // the node that was selected when the rows were last marked

  const query = () => model.get("query").trim().toLowerCase();

  function describe() {
    explain(tree, model.get("help"));
    head.title = model.get("help");
  }

  function load() {
    nodes = model.get("nodes");
    ({ children, levels, siblings, byPath } = family(nodes));
    list();
    show();
  }

  /** The rows: the nodes whose ancestors are open, or, while searching, every match with its ancestors. */
  function list() {
    const open = new Set(model.get("open_paths"));
    const wanted = query();
    if (search.value.trim() !== model.get("query").trim()) search.value = model.get("query");
    if (wanted) {
      const result = searched(nodes, wanted);
      visible = result.visible;
      said.textContent = say("{found} of {all} layers", { found: result.found.length, all: nodes.length });
    } else {
      visible = unfolded(nodes, open);
      said.textContent = "";
    }
    const kept = new Set(visible);
    const isOpen = (i) => (wanted ? children[i].some((child) => kept.has(child)) : open.has(nodes[i].path));
    rows = new Map(visible.map((i) => [i, row(i, isOpen(i), wanted)]));
    tree.replaceChildren(...rows.values());
    if (!visible.length) {
      tree.append(nothing(nodes.length ? say("No layer has this name or type") : say("No layers"), "treeitem"));
    }
    tree.style.setProperty("--height", `${model.get("height")}px`);
    const scrollBar = tree.offsetWidth - tree.clientWidth;
    head.style.paddingRight = `${4 + scrollBar}px`; // the columns stay aligned with their titles
    mark();
  }

  function row(i, isOpen, wanted) {
    const node = nodes[i];
    const hasChildren = children[i].length > 0;
    const name = shortened(node.name, "iw-name", (from, to) => highlighted(node.name, wanted, from, to));
    const first = make("span", { class: "iw-node", title: node.path }, twist(hasChildren), name);
    first.style.paddingLeft = `${(levels[i] - 1) * INDENT}px`;
    const cell = (value, ...parts) => make("span", { class: "iw-ellipsis", title: value }, ...parts);
    const parameters = short(node.parameters);
    const attributes = {
      class: node.layer < 0 ? "iw-row iw-dead" : "iw-row",
      role: "treeitem",
      id: `${tree.id}-${i}`,
      "data-path": node.path,
      "aria-level": levels[i],
      "aria-setsize": siblings[i].length,
      "aria-posinset": siblings[i].indexOf(i) + 1,
      "aria-expanded": hasChildren ? String(isOpen) : null,
      "aria-label": described(node),
      "aria-description": node.path === node.name ? null : node.path,
    };
    return make(
      "div",
      attributes,
      first,
      cell(node.kind, ...highlighted(node.kind, wanted)),
      cell(node.shape, node.shape),
      cell(parameters, parameters),
    );
  }

  /** Mark the selected node. The keyboard moves to it once; then it may walk on without selecting. */
  function mark() {
    const selected = byPath.get(model.get("selected"));
    const isSeen = rows.has(selected);
    choose([...rows.values()], visible.indexOf(selected));
    if (isSeen && selected !== marked) point(selected);
    else if (!rows.has(active)) point(isSeen ? selected : (visible[0] ?? -1), { scroll: false });
    else point(active, { scroll: false });
    marked = selected;
  }

  /** Move the keyboard to a node. */
  function point(i, { scroll = true } = {}) {
    rows.get(active)?.classList.remove("iw-active");
    active = i;
    const element = rows.get(i);
    stand([tree], element);
    element?.classList.add("iw-active");
    if (element && scroll) reveal(tree, element);
  }

  /** Select a layer; a module that produced nothing of its own only opens and closes. */
  function select(i) {
    point(i);
    if (nodes[i].layer >= 0) change(model, "selected", nodes[i].path);
    else toggle(i);
  }

  function toggle(i) {
    const { path } = nodes[i];
    fold(i, model.get("open_paths").includes(path));
  }

  function fold(i, isFolded) {
    if (!children[i].length || query()) return; // while searching, what is open follows from the matches
    const open = new Set(model.get("open_paths"));
    if (isFolded) open.delete(nodes[i].path);
    else open.add(nodes[i].path);
    active = i;
    change(model, "open_paths", [...open]);
  }

  /** Open what hides the selected layer, when it was selected elsewhere. */
  function show() {
    const selected = byPath.get(model.get("selected"));
    const above = selected === undefined ? [] : ancestors(nodes, selected).map((at) => nodes[at].path);
    const open = new Set([...model.get("open_paths"), ...above]);
    if (open.size > new Set(model.get("open_paths")).size) change(model, "open_paths", [...open]);
    else mark();
  }

  /** The node under the mouse, and whether it is on the triangle. */
  function hit(event) {
    const i = byPath.get(event.target.closest("[role=treeitem]")?.dataset.path);
    const onTriangle = i !== undefined && Boolean(event.target.closest(".iw-twist")) && children[i].length > 0;
    return { i, onTriangle };
  }

  tree.addEventListener("click", (event) => {
    const { i, onTriangle } = hit(event);
    if (i === undefined) return;
    if (onTriangle) toggle(i);
    else select(i);
  });
  tree.addEventListener("dblclick", (event) => {
    const { i, onTriangle } = hit(event);
    if (i !== undefined && !onTriangle && nodes[i].layer >= 0) toggle(i);
  });
  tree.addEventListener("keydown", (event) => {
    if (modified(event) || !visible.length) return;
    const at = visible.indexOf(active);
    const page = Math.max(1, Math.floor(tree.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, ...ENDS };
    const to = destination(event, at, visible.length, steps);
    if (to !== null) {
      taken(event);
      point(visible[within(to, visible.length)]);
    } else if (event.key === "ArrowRight") {
      taken(event);
      goIn(at);
    } else if (event.key === "ArrowLeft") {
      taken(event);
      goOut();
    } else if (event.key === "Enter" || event.key === " ") {
      taken(event);
      select(active);
    } else if (writes(event)) search.focus();
  });

  const expanded = () => rows.get(active)?.getAttribute("aria-expanded");

  /** Open the node; when it is open, walk to its first child. */
  function goIn(at) {
    if (expanded() === "false") fold(active, false);
    else if (expanded() === "true") point(visible[at + 1]);
  }

  /** Close the node; when it is closed, walk to its parent. */
  function goOut() {
    const { parent } = nodes[active];
    if (expanded() === "true" && !query()) fold(active, true);
    else if (parent >= 0) point(parent);
  }

  /** The first layer among the matches. */
  function takeFirst() {
    const wanted = query();
    const first = visible.find((i) => nodes[i].layer >= 0 && matches(nodes[i], wanted));
    if (first !== undefined) select(first);
  }

  search.addEventListener("input", () => change(model, "query", search.value));
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && visible.length) {
      taken(event);
      tree.focus();
    } else if (event.key === "Enter") {
      taken(event);
      takeFirst();
    } else if (event.key === "Escape" && search.value) {
      taken(event);
      change(model, "query", "");
    }
  });

  onChange(model, ["nodes"], oncePerFrame(load, signal));
  onChange(model, ["open_paths", "query", "height"], list);
  onChange(model, ["selected"], show);
  onChange(model, ["help"], describe);
  describe();
  load();
  onceSeen(tree, () => {
    marked = undefined;
    list();
  }, signal);
}

export default { render };
