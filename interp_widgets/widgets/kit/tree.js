// What a list of rows that belong to rows has in common: who is in whom, the triangle, what was searched for.

import { clamp, make } from "./dom.js";

const TRIANGLE = "M2 1l4 3-4 3z";
const SVG = "http://www.w3.org/2000/svg";

/** How nodes belong together: the roots, the children, level (from 1) and siblings of each, and the nodes by path.
 *
 * A node's `parent` is the index of a node before it, or -1. */
export function family(nodes) {
  const children = nodes.map(() => []);
  const roots = [];
  const levels = [];
  nodes.forEach((node, i) => {
    const isRoot = node.parent < 0;
    levels[i] = isRoot ? 1 : levels[node.parent] + 1;
    (isRoot ? roots : children[node.parent]).push(i);
  });
  const siblings = nodes.map((node) => (node.parent < 0 ? roots : children[node.parent]));
  const byPath = new Map(nodes.map((node, i) => [node.path, i]));
  return { roots, children, levels, siblings, byPath };
}

/** The indices of a node's ancestors, the nearest first. */
export function ancestors(nodes, i) {
  const found = [];
  for (let at = nodes[i].parent; at >= 0; at = nodes[at].parent) found.push(at);
  return found;
}

/** The part of a text from `start` to `end` in three pieces: before, in and after the place where the query is in the
 * text; one piece where it is not. */
export function pieces(text, query, start = 0, end = text.length) {
  const at = query ? text.toLowerCase().indexOf(query) : -1;
  const from = clamp(at, start, end);
  const to = at < 0 ? from : clamp(at + query.length, start, end);
  if (from === to) return [text.slice(start, end)];
  return [text.slice(start, from), text.slice(from, to), text.slice(to, end)];
}

/** The room for the triangle that opens and closes a node. */
export function twist(hasChildren) {
  const room = make("span", { class: "iw-twist" });
  if (!hasChildren) return room;
  const icon = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  icon.setAttribute("viewBox", "0 0 8 8");
  path.setAttribute("d", TRIANGLE);
  path.setAttribute("fill", "currentColor");
  icon.append(path);
  room.append(icon);
  return room;
}

/** The children of a name or cell: its text from `from` to `to`, with what was searched for marked. */
export function highlighted(text, wanted, from, to) {
  const [before, match, after] = pieces(text, wanted, from, to);
  return match === undefined ? [before] : [before, make("mark", {}, match), after];
}
