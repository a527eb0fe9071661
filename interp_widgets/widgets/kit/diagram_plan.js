// What a diagram answers without a page: what lies where, what is in sight, where a key leads, what was searched for.
// Points, sizes and rectangles are arrays; a view says where the drawing is on the screen: scale, x and y.

import { clamp } from "./dom.js";

const SMALLEST = 0.02;
const LARGEST = 4;
const EDGE = 24; // screen pixels of the drawing that are always in sight, and that a revealed box keeps from the border

/** The rectangle of a box: its front sheet. */
export function frontOf(box) {
  return box.sheets.at(-1);
}

/** Where a box is drawn, and an open scope's name: it stays at the upper edge as long as the scope is in sight. */
export function headOf(boxes, i, view) {
  const [left, top, width, height] = frontOf(boxes[i]);
  const { head } = boxes[i];
  let above = 0;
  for (let at = boxes[i].parent; at >= 0; at = boxes[at].parent) above += boxes[at].head;
  const edge = -view.y / view.scale + above;
  return [left, clamp(edge, top, Math.max(top, top + height - head)), width, head];
}

function isIn([left, top, width, height], [x, y]) {
  return x >= left && x < left + width && y >= top && y < top + height;
}

/** The index of the box at a point of the drawing, of an open scope only where its name is; -1 for none. */
export function boxAt(boxes, view, point) {
  for (const isHead of [true, false]) {
    for (let i = boxes.length - 1; i >= 0; i -= 1) {
      if ((boxes[i].role === "open") !== isHead) continue;
      if (isIn(isHead ? headOf(boxes, i, view) : frontOf(boxes[i]), point)) return i;
    }
  }
  return -1;
}

/** Where a point of the screen is in the drawing. */
export function inDrawing({ scale, x, y }, [across, down]) {
  return [(across - x) / scale, (down - y) / scale];
}

/** The part of the drawing that a screen of some size shows. */
export function windowOf(view, [width, height]) {
  return [...inDrawing(view, [0, 0]), width / view.scale, height / view.scale];
}

/** Whether two rectangles have a point in common. */
export function meet([x, y, width, height], [left, top, across, down]) {
  return x <= left + across && left <= x + width && y <= top + down && top <= y + height;
}

/** The indices of the boxes that a window shows some of. */
export function boxesIn(boxes, seen) {
  return boxes.map((_, i) => i).filter((i) => meet(frontOf(boxes[i]), seen));
}

/** The pieces of all lines, each once: lines from one box share theirs. */
export function piecesOf(routes) {
  const found = new Map();
  for (const route of routes) {
    for (let at = 0; at + 3 < route.length; at += 2) {
      const piece = route.slice(at, at + 4);
      found.set(piece.join(), piece);
    }
  }
  return [...found.values()];
}

/** Whether a window shows some of a piece of a line, which goes down or up. */
export function showsPiece([left, top, right, bottom], seen) {
  return meet([Math.min(left, right), Math.min(top, bottom), Math.abs(right - left), Math.abs(bottom - top)], seen);
}

/** A view moved so that some of the drawing stays on the screen. */
export function kept({ scale, x, y }, [width, height], [across, down]) {
  return {
    scale,
    x: clamp(x, EDGE - width * scale, across - EDGE),
    y: clamp(y, EDGE - height * scale, down - EDGE),
  };
}

/** All of the drawing, or, where it is high, its width from the top; nothing is made larger than it is. */
export function fitted([width, height], [across, down], readable) {
  const whole = Math.min(across / width, down / height, 1);
  const scale = whole >= readable ? whole : Math.min(across / width, 1);
  return { scale, x: (across - width * scale) / 2, y: Math.max(0, (down - height * scale) / 2) };
}

/** A view zoomed about a point of the screen, which stays where it is. */
export function zoomedAt(view, factor, [across, down]) {
  const scale = clamp(view.scale * factor, SMALLEST, LARGEST);
  const grown = scale / view.scale;
  return { scale, x: across - (across - view.x) * grown, y: down - (down - view.y) * grown };
}

/** Where a stretch begins that has to be in sight: moved as little as that takes. */
function moved(start, size, room) {
  const [least, most] = [EDGE, room - EDGE - size];
  return most < least ? clamp(start, most, least) : clamp(start, least, most);
}

/** A view that shows a rectangle: moved as little as that takes. */
export function revealing(view, [left, top, width, height], [across, down]) {
  const [x, y] = [left * view.scale + view.x, top * view.scale + view.y];
  const high = Math.min(height * view.scale, down - 2 * EDGE);
  const wide = Math.min(width * view.scale, across - 2 * EDGE);
  return {
    scale: view.scale,
    x: view.x + moved(x, wide, across) - x,
    y: view.y + moved(y, high, down) - y,
  };
}

/** A view in which a rectangle's upper middle is where another one's was in the view before. */
export function anchored(view, [left, top, width], [leftBefore, topBefore, widthBefore]) {
  return {
    scale: view.scale,
    x: view.x + (leftBefore + widthBefore / 2 - left - width / 2) * view.scale,
    y: view.y + (topBefore - top) * view.scale,
  };
}

/** Whether box `i` is box `outer` or in it. */
function isWithin(boxes, i, outer) {
  for (let at = i; at >= outer; at = boxes[at].parent) if (at === outer) return true;
  return false;
}

/** The box to the left (-1) or right (1) among those that stand beside box `at`; -1 for none. */
function beside(boxes, at, side) {
  const [x, y, , height] = frontOf(boxes[at]);
  const further = (i) => (frontOf(boxes[i])[0] - x) * side;
  const isBeside = (i) => {
    const [, top, , high] = frontOf(boxes[i]);
    return boxes[i].parent === boxes[at].parent && top < y + height && y < top + high && further(i) > 0;
  };
  const found = boxes.map((_, i) => i).filter(isBeside);
  return found.reduce((best, i) => (best < 0 || further(i) < further(best) ? i : best), -1);
}

/** The box that a key leads to from box `at`; -1 where it leads nowhere, null for other keys.
 *
 * Down and up follow the lines to the nearest box that reads this one, or that it reads; left and right go to what
 * stands beside it; Backspace to the scope around it, and down from that one to the first box in it. */
export function walked(boxes, links, at, key) {
  if (key === "Backspace") return boxes[at].parent;
  if (key === "Home") return 0;
  if (key === "End") return boxes.length - 1;
  if (key === "ArrowLeft" || key === "ArrowRight") return beside(boxes, at, key === "ArrowLeft" ? -1 : 1);
  if (key === "ArrowDown") {
    if (boxes[at].role === "open") return at + 1;
    const readers = links.filter(([source]) => source === at).map(([, target]) => target);
    return readers.length ? Math.min(...readers) : -1;
  }
  if (key !== "ArrowUp") return null;
  const entering = links.filter(([source, target]) => isWithin(boxes, target, at) && !isWithin(boxes, source, at));
  return Math.max(-1, ...entering.map(([source]) => source));
}

/** The indices of the entries whose name or kind has a query in it, which is in lower case. */
export function matching(entries, query) {
  const has = (text) => text.toLowerCase().includes(query);
  return entries.map((_, i) => i).filter((i) => has(entries[i].name) || has(entries[i].kind));
}

/** The names of the scopes around an entry, the nearest first. */
export function around(entries, i) {
  const found = [];
  for (let at = entries[i].parent; at >= 0; at = entries[at].parent) found.push(entries[at].name);
  return found;
}

/** The open scopes after one was opened or closed; what is open in one that closes closes too. */
export function toggled(opened, entries, name) {
  if (!opened.includes(name)) return [...opened, name];
  const inside = new Set(entries.filter((_, i) => around(entries, i).includes(name)).map((entry) => entry.name));
  return opened.filter((each) => each !== name && !inside.has(each));
}
