// Rows of a tree with columns: sorted, filtered, opened and closed here; of thousands only those in sight are made.

import {
  KEYS, change, clamp, explain, identity, make, modified, onChange, oncePerFrame, onceSeen, shortened, taken,
} from "./dom.js";
import { ENDS, destination, nothing, scrolledTo, searchField, stand, within, writes } from "./list.js";
import { ancestors, family, highlighted, twist } from "./tree.js";
import { say } from "./words.js";

const ROW = 22; // CSS pixels
const HEAD = 24; // CSS pixels
const INDENT = 12; // CSS pixels per level
const GAP = 8; // CSS pixels between columns, and of the row's padding in sum
const SPARE = 6; // rows made above and below those in sight
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ...ENDS }; // along the titles
const NARROW = 6; // letters of a column at least, and at most
const WIDE = 28;
const LETTERS_OF_TREE = 24; // of the first column
const LETTERS_OF_LIST = 38; // there at most, where no row is in another: whole paths need more than their last part
const TWIST = 3; // letters that a name is indented by
const WIDER = 2; // letters more than the longest text: some are wider than a figure, and a title has an arrow

const collator = new Intl.Collator(undefined, { numeric: true }); // layer2 before layer10

/** How two rows stand in one column: below 0 if the first is the smaller one; without a key the texts are compared.
 *
 * Rows with nothing in the column are the last in both directions. */
export function compared(first, second, column, descending) {
  const [a, b] = [first, second].map((row) => row.keys[column] ?? (row.cells[column] || null));
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const areNumbers = typeof a === "number" && typeof b === "number";
  const order = areNumbers ? a - b : collator.compare(String(a), String(b));
  return descending ? -order : order;
}

/** The rows that match a query, which is in lower case: it is in the path or in a cell. */
export function matching(rows, query) {
  const has = (text) => text.toLowerCase().includes(query);
  return rows.map((_, i) => i).filter((i) => has(rows[i].path) || rows[i].cells.some(has));
}

/** Rows in order, each followed by those in it: `sorted` sorts siblings, `isOpen` says whose children are shown. */
export function walked({ roots, children }, sorted, isOpen) {
  const found = [];
  const visit = (siblings) => {
    for (const i of sorted(siblings)) {
      found.push(i);
      if (isOpen(i)) visit(children[i]);
    }
  };
  visit(roots);
  return found;
}

/** The first row to be made and the first that is not, of `count` rows in a window of `room` pixels. */
export function inSight(scrolled, room, count) {
  const first = clamp(Math.floor(scrolled / ROW) - SPARE, 0, count);
  const end = clamp(Math.ceil((scrolled + room) / ROW) + SPARE, first, count);
  return [first, end];
}

/** The width of each column in letters: of its longest text, within limits; that of a tree is fixed. */
export function widths(columns, rows) {
  const isTree = rows.some(({ parent }) => parent >= 0);
  return columns.map(({ title }, c) => {
    if (c === 0 && isTree) return LETTERS_OF_TREE;
    const longest = rows.reduce((most, row) => Math.max(most, (row.cells[c] ?? "").length), title.length);
    return c === 0 ? clamp(longest + TWIST, LETTERS_OF_TREE, LETTERS_OF_LIST) : clamp(longest + WIDER, NARROW, WIDE);
  });
}

/** What a click on a title asks for: numbers begin with the largest; the third click gives the order back. */
export function resorted(column, isNumber, { sortedBy, descending }) {
  if (column !== sortedBy) return { sortedBy: column, descending: isNumber };
  if (descending === isNumber) return { sortedBy: column, descending: !isNumber };
  return { sortedBy: -1, descending: false };
}

function render({ model, el, signal }) {
  const id = identity("iw-table");
  const grid = make("div", { class: "iw-scroll", role: "treegrid", id, ...KEYS });
  const titles = make("div", { class: "iw-row iw-titles", role: "row", "aria-rowindex": 1 });
  const body = make("div", { class: "iw-body", role: "rowgroup" });
  grid.append(make("div", { class: "iw-titles-group", role: "rowgroup" }, titles), body);
  const search = searchField(say("Search the table"), say("search the table"), id);
  const levels = make("select", { class: "iw-menu", "aria-label": say("open to depth"), "aria-controls": id, ...KEYS });
  const said = make("span", { class: "iw-ellipsis", "aria-live": "polite" });
  const notes = make("div", { class: "iw-notes iw-muted" });
  const above = make("div", { class: "iw-above" }, search, levels, said);
  el.append(make("div", { class: "iw iw-table" }, above, grid, notes));

  let rows = [];
  let tree = family(rows);
  let visible = []; // indices of the rows that are neither closed away nor filtered out
  let places = new Map(); // of each of them in the list
  let isOpened = () => false; // by depth or by hand
  let isOpen = () => false; // and while searching
  let made = new Map(); // elements, by the rows' indices
  let counted = ""; // how many rows match, while searching
  let active = -1; // the row that the keyboard stands on

  const query = () => model.get("query").trim().toLowerCase();
  const columns = () => model.get("columns");
  const selected = () => (model.get("selected") ? (tree.byPath.get(model.get("selected")) ?? -1) : -1);

  function describe() {
    grid.setAttribute("aria-label", model.get("label"));
    explain(grid, model.get("help"));
    grid.removeAttribute("title"); // over the rows it would hide theirs
    titles.title = model.get("help");
    notes.replaceChildren(...model.get("notes").map((note) => make("p", { title: note }, note)));
    grid.style.setProperty("--height", `${model.get("height")}px`);
    above.style.display = model.get("searched") ? "" : "none";
  }

  function load() {
    rows = model.get("rows");
    tree = family(rows);
    const letters = widths(columns(), rows);
    grid.style.setProperty("--columns", letters.map((count) => `minmax(${count}ch, ${count}fr)`).join(" "));
    const sum = letters.reduce((total, count) => total + count, 0);
    grid.style.setProperty("--width", `calc(${sum}ch + ${GAP * letters.length}px)`);
    const deepest = Math.max(0, ...tree.levels) - 1;
    const depths = Array.from({ length: Math.max(1, deepest + 1) }, (_, depth) => depth);
    const called = (depth) => (depth && depth === deepest ? say("all levels") : say("depth {depth}", { depth }));
    levels.hidden = deepest < 1; // nothing to open
    levels.replaceChildren(...depths.map((value) => make("option", { value }, called(value))));
    sort();
    show();
  }

  /** The titles, and the rows in their order. */
  function sort() {
    const [by, descending] = [model.get("sorted_by"), model.get("descending")];
    const focused = [...titles.children].findIndex((title) => title.contains(document.activeElement));
    titles.replaceChildren(...columns().map((column, c) => titleOf(column, c, c === by ? descending : null)));
    if (focused >= 0) titles.children[focused]?.firstChild.focus();
    list();
  }

  /** A title; `descending` is null where the rows are not sorted by it. */
  function titleOf({ title, number }, c, descending) {
    const words = { true: "descending", false: "ascending", null: "none" }[descending];
    const arrow = { true: "↓", false: "↑", null: "" }[descending];
    const button = make("button", { class: "iw-title", type: "button", ...KEYS, "data-column": c }, title);
    button.tabIndex = c === Math.max(0, model.get("sorted_by")) ? 0 : -1; // one tab stop
    button.append(make("span", { "aria-hidden": "true" }, arrow));
    const className = number ? "iw-figure" : null;
    return make("div", { role: "columnheader", "aria-sort": words, "aria-colindex": c + 1, class: className }, button);
  }

  /** Which rows there are: those in open ones, or, while searching, every match with what it is in. */
  function list() {
    const [by, descending, wanted] = [model.get("sorted_by"), model.get("descending"), query()];
    if (search.value.trim() !== model.get("query").trim()) search.value = model.get("query");
    levels.value = String(clamp(model.get("depth"), 0, levels.options.length - 1));
    levels.disabled = Boolean(wanted); // while searching, what is open follows from the matches
    const found = wanted ? matching(rows, wanted) : [];
    const kept = new Set(found.flatMap((i) => [i, ...ancestors(rows, i)]));
    const toggled = new Set(model.get("toggled"));
    isOpened = (i) => tree.levels[i] - 1 < model.get("depth") !== toggled.has(rows[i].path);
    isOpen = wanted ? (i) => tree.children[i].some((child) => kept.has(child)) : isOpened;
    const sorted = (siblings) => {
      const these = wanted ? siblings.filter((i) => kept.has(i)) : siblings;
      return by < 0 ? these : these.toSorted((a, b) => compared(rows[a], rows[b], by, descending));
    };
    visible = walked(tree, sorted, isOpen);
    places = new Map(visible.map((i, at) => [i, at]));
    made = new Map();
    counted = wanted ? say("{found} of {all} rows", { found: found.length, all: rows.length }) : "";
    tell(counted);
    grid.setAttribute("aria-rowcount", visible.length + 1);
    grid.setAttribute("aria-colcount", columns().length);
    body.style.height = `${ROW * Math.max(1, visible.length)}px`;
    if (!places.has(active)) active = places.has(selected()) ? selected() : (visible[0] ?? -1);
    fill();
  }

  /** Make the rows in sight, and the one that the keyboard stands on. */
  function fill() {
    const [first, end] = inSight(grid.scrollTop, grid.clientHeight - HEAD, visible.length);
    const wanted = visible.slice(first, end);
    if (places.has(active) && !wanted.includes(active)) wanted.push(active);
    made = new Map(wanted.map((i) => [i, made.get(i) ?? row(i)]));
    const none = make("div", { role: "row" }, nothing(say("No rows"), "gridcell"));
    body.replaceChildren(...(wanted.length ? made.values() : [none]));
    mark();
  }

  function row(i) {
    const { path, cells, reason } = rows[i];
    const wanted = query();
    const hasChildren = tree.children[i].length > 0;
    const name = shortened(cells[0], "iw-name", (from, to) => highlighted(cells[0], wanted, from, to));
    const first = make("div", { class: "iw-node", role: "rowheader", title: path }, twist(hasChildren), name);
    first.style.paddingLeft = `${(tree.levels[i] - 1) * INDENT}px`;
    const others = columns().slice(1).map(({ number }, at) => {
      const text = cells[at + 1] ?? "";
      const className = number ? "iw-ellipsis iw-figure" : "iw-ellipsis";
      return make("div", { class: className, role: "gridcell", title: text }, ...highlighted(text, wanted));
    });
    const element = make("div", {
      class: reason ? "iw-row iw-dead" : "iw-row",
      role: "row",
      id: `${id}-${i}`,
      "data-index": i,
      "aria-level": tree.levels[i],
      "aria-rowindex": places.get(i) + 2,
      "aria-expanded": hasChildren ? String(isOpen(i)) : null,
    }, first, ...others);
    element.style.top = `${ROW * places.get(i)}px`;
    explain(element, reason);
    return element;
  }

  /** Tell which row is chosen, and on which one the keyboard stands. */
  function mark() {
    const chosen = selected();
    for (const [i, element] of made) {
      element.classList.toggle("iw-active", i === active);
      if (!rows[i].reason) element.setAttribute("aria-selected", String(i === chosen)); // without: not to be chosen
    }
    stand([grid], made.get(active));
  }

  /** Move the keyboard to a row, and scroll to it. */
  function point(i) {
    active = i;
    if (places.has(i)) {
      grid.scrollTop = scrolledTo(ROW * places.get(i), ROW, grid.scrollTop, Math.max(ROW, grid.clientHeight - HEAD));
    }
    fill();
  }

  /** Open what hides the chosen row, when it was chosen elsewhere, and go to it. */
  function show() {
    const at = selected();
    const closed = at < 0 ? [] : ancestors(rows, at).filter((parent) => !isOpened(parent));
    if (closed.length) flip(closed);
    if (places.has(at)) point(at);
    else mark();
  }

  /** Close the open ones of some rows, and open the closed ones. */
  function flip(these) {
    const toggled = new Set(model.get("toggled"));
    for (const i of these) {
      if (!toggled.delete(rows[i].path)) toggled.add(rows[i].path);
    }
    change(model, "toggled", [...toggled]);
  }

  function toggle(i) {
    if (!tree.children[i].length || query()) return;
    active = i;
    flip([i]);
  }

  /** Choose a row, or say why it cannot be chosen. */
  function select(i) {
    point(i);
    tell(rows[i].reason || counted);
    if (!rows[i].reason) change(model, "selected", rows[i].path);
  }

  function tell(words) {
    said.textContent = said.title = words;
  }

  /** Where a key leads in the tree: into an open row or out of it. */
  function sideways(event) {
    const expanded = made.get(active)?.getAttribute("aria-expanded");
    const isFolding = !query() && expanded === (event.key === "ArrowRight" ? "false" : "true");
    if (event.key === "ArrowLeft" && grid.scrollLeft > 0) return; // the browser scrolls back
    if (event.key === "ArrowRight" && !expanded) return; // the browser scrolls to the other columns
    taken(event);
    if (isFolding) toggle(active);
    else if (event.key === "ArrowRight") point(visible[within(places.get(active) + 1, visible.length)]);
    else if (rows[active].parent >= 0) point(rows[active].parent);
  }

  grid.addEventListener("keydown", (event) => {
    if (event.target !== grid || modified(event) || !visible.length) return;
    const page = Math.max(1, Math.floor((grid.clientHeight - HEAD) / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, ...ENDS };
    const to = destination(event, places.get(active), visible.length, steps);
    if (to !== null) {
      taken(event);
      point(visible[within(to, visible.length)]);
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") sideways(event);
    else if (event.key === "Enter" || event.key === " ") {
      taken(event);
      select(active);
    } else if (writes(event)) search.focus();
  });

  /** The row under the mouse, and whether it is on the triangle. */
  function hit(event) {
    const i = Number(event.target.closest("[data-index]")?.dataset.index ?? -1);
    return { i, onTriangle: i >= 0 && tree.children[i].length > 0 && Boolean(event.target.closest(".iw-twist")) };
  }

  grid.addEventListener("click", (event) => {
    const { i, onTriangle } = hit(event);
    if (i < 0) return;
    if (onTriangle) toggle(i);
    else select(i);
  });
  grid.addEventListener("dblclick", (event) => {
    const { i, onTriangle } = hit(event);
    if (i >= 0 && !onTriangle) toggle(i);
  });
  grid.addEventListener("scroll", oncePerFrame(fill, signal));

  titles.addEventListener("click", (event) => {
    const column = Number(event.target.closest("button")?.dataset.column ?? -1);
    if (column < 0) return;
    const now = { sortedBy: model.get("sorted_by"), descending: model.get("descending") };
    const { sortedBy, descending } = resorted(column, columns()[column].number, now);
    model.set({ sorted_by: sortedBy, descending });
    model.save_changes();
  });
  titles.addEventListener("keydown", (event) => {
    const buttons = [...titles.querySelectorAll("button")];
    const to = destination(event, buttons.indexOf(event.target), buttons.length, STEPS);
    if (to === null) return;
    taken(event);
    buttons.forEach((button, c) => {
      button.tabIndex = c === within(to, buttons.length) ? 0 : -1;
    });
    buttons[within(to, buttons.length)].focus();
  });

  search.addEventListener("input", () => change(model, "query", search.value));
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && visible.length) {
      taken(event);
      grid.focus();
    } else if (event.key === "Enter") {
      taken(event);
      const found = new Set(matching(rows, query()));
      const first = visible.find((i) => found.has(i) && !rows[i].reason);
      if (first !== undefined) select(first);
    } else if (event.key === "Escape" && search.value) {
      taken(event);
      change(model, "query", "");
    }
  });
  levels.addEventListener("change", () => {
    model.set({ depth: Number(levels.value), toggled: [] });
    model.save_changes();
  });

  onChange(model, ["columns", "rows"], oncePerFrame(load, signal));
  onChange(model, ["sorted_by", "descending"], oncePerFrame(sort, signal));
  onChange(model, ["query", "depth", "toggled"], list);
  onChange(model, ["selected"], show);
  onChange(model, ["notes", "label", "help", "height", "searched"], describe);
  describe();
  load();
  onceSeen(grid, show, signal);
  const sized = new ResizeObserver(oncePerFrame(fill, signal));
  sized.observe(grid);
  signal?.addEventListener("abort", () => sized.disconnect());
}

export default { render };
