// Class names with probability bars. Sorting and searching happen here: a thousand classes need no kernel.

import {
  KEYS, bytes, change, clamp, explain, identity, make, onChange, oncePerFrame, onceSeen, shortened, taken,
} from "./dom.js";
import { ENDS, choose, destination, nothing, reveal, searchField, stand, within, writes } from "./list.js";
import { say } from "./words.js";

const MOST_ROWS = 200; // more would make typing slow; the selected class is shown beyond it

/** The probabilities in a binary trait; none while it does not fit the number of classes, which arrives separately. */
export function probabilities(raw, count) {
  if (raw.length !== 4 * count) return new Float32Array(0);
  return new Float32Array(raw.slice().buffer); // a copy: the bytes may not begin where a float may
}

/** Class indices by falling probability; without probabilities, as they come. */
export function ranked(scores, count) {
  const order = Array.from({ length: count }, (_, index) => index);
  if (scores.length) order.sort((a, b) => scores[b] - scores[a] || a - b);
  return order;
}

/** Those classes of `order` whose name has every word of the query in it, or whose number is that word. */
export function matching(order, names, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return order;
  return order.filter((index) => {
    const name = names[index].toLowerCase();
    return words.every((word) => name.includes(word) || word === String(index));
  });
}

/** The classes that get a row: the first matches, and the selected one even when it is far down. */
export function shownClasses(matches, selected, most = MOST_ROWS) {
  const shown = matches.slice(0, most);
  const isFarDown = matches.length > most && matches.includes(selected) && !shown.includes(selected);
  return isFarDown ? [...shown, selected] : shown;
}

/** A probability in words: never "100.0 %" or "0.00 %" when it is not exactly that. */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const value = share * 100;
  if (value > 99.95 && value < 100) return ">99.9 %";
  if (value > 0 && value < 0.01) return "<0.01 %";
  const digits = value > 0 && value < 0.995 ? 2 : 1;
  return `${value.toFixed(digits)} %`;
}

function render({ model, el, signal }) {
  const list = make("div", {
    class: "iw-scroll",
    role: "listbox",
    id: identity("iw-classes"),
    ...KEYS,
  });
  const search = searchField(say("Search classes"), say("search classes"), list.id, {
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-expanded": "true",
  });
  const follow = make("input", { type: "checkbox", ...KEYS });
  const title = say("Always explain the most probable class");
  const followed = make("label", { title }, follow, say("Follow the prediction"));
  const said = make("span", { class: "iw-ellipsis", "aria-live": "polite" });
  const head = make("div", { class: "iw-above" }, search, said, followed);
  el.append(make("div", { class: "iw iw-classes" }, head, list));

  let scores = new Float32Array(0);
  let order = []; // all classes, by rank
  let ranks = new Map(); // of each class
  let matches = []; // the classes that the query leaves
  let rows = []; // their elements, at most MOST_ROWS and one
  let active = -1; // the row that Enter takes

  const indexOf = (element) => Number(element.dataset.index);
  const rowOf = (index) => rows.findIndex((element) => indexOf(element) === index);

  function sort() {
    const count = model.get("names").length;
    scores = probabilities(bytes(model.get("scores")), count);
    order = ranked(scores, count);
    ranks = new Map(order.map((index, rank) => [index, rank]));
    filter();
  }

  function filter() {
    const query = model.get("query");
    matches = matching(order, model.get("names"), query);
    if (search.value !== query) search.value = query;
    fill();
  }

  function fill() {
    const count = model.get("names").length;
    rows = shownClasses(matches, model.get("selected")).map(row);
    list.replaceChildren(...rows);
    list.style.setProperty("--rows", Math.min(model.get("limit"), Math.max(1, count)));
    if (!rows.length) list.append(nothing(count ? say("No class has this name") : say("No classes"), "option"));
    mark();
  }

  function row(index) {
    const name = model.get("names")[index] ?? ""; // fewer classes have come, and are sorted at the next frame
    const isLabel = model.get("markers").includes(index);
    const cells = [shortened(name, "iw-name"), isLabel ? trueLabel() : make("span")];
    if (scores.length) cells.push(...bar(scores[index]));
    const element = make("div", {
      class: "iw-row",
      role: "option",
      id: `${list.id}-${index}`,
      "data-index": index,
      "aria-label": spoken(name, isLabel, scores[index]),
    }, ...cells);
    explain(element, model.get("value") ? "" : say("class {index}", { index }), name);
    return element;
  }

  /** A row in words. */
  function spoken(name, isLabel, score) {
    const share = score === undefined ? "" : percent(score);
    return [name, isLabel ? say("the true label") : "", share].filter(Boolean).join(", ");
  }

  function trueLabel() {
    return make("span", { class: "iw-tag", title: say("the true label") }, say("label"));
  }

  function bar(share) {
    const filled = make("i");
    filled.style.transform = `scaleX(${Number.isFinite(share) ? clamp(share, 0, 1) : 0})`;
    return [make("span", { class: "iw-track" }, filled), make("span", { class: "iw-share" }, percent(share))];
  }

  function mark() {
    const at = rowOf(model.get("selected"));
    choose(rows, at);
    point(at);
    said.textContent = summary();
    follow.checked = model.get("follow");
  }

  function describe() {
    const value = model.get("value");
    head.hidden = Boolean(value);
    list.setAttribute("aria-label", value || say("classes by probability"));
    explain(list, model.get("help"));
  }

  /** How many classes there are, or were found, and the rank of the selected one when it is out of sight. */
  function summary() {
    const selected = model.get("selected");
    const count = order.length;
    const isSearched = Boolean(model.get("query").trim());
    const all = count === 1 ? say("one class") : say("{count} classes", { count });
    const counted = isSearched ? say("{found} of {count} classes", { found: matches.length, count }) : all;
    const rank = ranks.get(selected) + 1; // NaN: no class is selected
    const isOutOfSight = scores.length > 0 && rank > model.get("limit");
    return isOutOfSight ? say("{counted}, selected: rank {rank}", { counted, rank }) : counted;
  }

  /** The row that Enter takes; both the list and the search field announce it. */
  function point(at) {
    rows[active]?.classList.remove("iw-active");
    active = at;
    const element = rows[at];
    stand([list, search], element);
    if (!element) {
      list.scrollTop = 0;
      return;
    }
    element.classList.add("iw-active");
    reveal(list, element);
  }

  function select(at) {
    if (rows[at]) change(model, "selected", indexOf(rows[at]));
  }

  /** The row where a key leads, or null; `ends` are the keys that lead to the first and the last row. */
  function led(event, ends) {
    const page = Math.max(1, model.get("limit") - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, ...ends };
    const to = destination(event, active, rows.length, steps);
    return to === null ? null : within(to, rows.length);
  }

  list.addEventListener("click", (event) => select(rows.indexOf(event.target.closest("[role=option]"))));
  list.addEventListener("keydown", (event) => {
    const to = led(event, ENDS);
    if (to !== null) {
      taken(event);
      select(to); // arrows scrub: the selection follows
    } else if (event.key === "Enter" || event.key === " ") {
      taken(event);
      select(active);
    } else if (writes(event)) search.focus();
  });
  search.addEventListener("input", () => {
    change(model, "query", search.value);
    if (search.value.trim()) point(rows.length ? 0 : -1);
  });
  search.addEventListener("keydown", (event) => {
    const to = led(event, {}); // Home and End are the text's
    if (to !== null) {
      taken(event);
      point(to);
    } else if (event.key === "Enter") {
      taken(event);
      select(active);
    } else if (event.key === "Escape" && search.value) {
      taken(event);
      change(model, "query", "");
    }
  });
  follow.addEventListener("change", () => change(model, "follow", follow.checked));

  onChange(model, ["names", "scores"], oncePerFrame(sort, signal));
  onChange(model, ["limit", "markers", "value"], fill);
  onChange(model, ["query"], filter);
  onChange(model, ["selected"], () => {
    if (rowOf(model.get("selected")) < 0) fill();
    else mark();
  });
  onChange(model, ["follow"], mark);
  onChange(model, ["help", "value"], describe);
  describe();
  sort();
  onceSeen(list, mark, signal);
}

export default { render };
