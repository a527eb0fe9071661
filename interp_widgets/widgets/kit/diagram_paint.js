// How a diagram is drawn on a canvas: what is in sight only, and no words where they would be too small to read.

import { boxesIn, frontOf, headOf, showsPiece, windowOf } from "./diagram_plan.js";

export const READABLE = 0.45; // below this scale there are no words
const ROUND = 5;
const TINT = 0.2; // of a box's colour in its fill
const FRAME = [0.035, 0.075]; // of the ink in open scopes: every other one is darker
const MARKED = 0.14; // of the accent in the frame of a chosen scope
const ARROW = [3.5, 6];
const NAMES = ["text", "muted", "line", "surface", "accent"];
const FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif";

/** The colours of the page's theme. */
export function themeOf(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--iw-${name}`).trim()]));
}

/** Black or white: which of them is read on a colour, by the contrast that WCAG 2 defines. */
export function inkOn(colour) {
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
  const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

/** In how many open scopes each box is. */
function depths(boxes) {
  const found = [];
  for (const { parent } of boxes) found.push(parent < 0 ? 0 : found[parent] + 1);
  return found;
}

/** A piece of a line: straight where it is upright, else a curve that begins and ends upright. */
function follow(context, [left, top, right, bottom]) {
  const middle = (top + bottom) / 2;
  context.moveTo(left, top);
  if (left === right) context.lineTo(right, bottom);
  else context.bezierCurveTo(left, middle, right, middle, right, bottom);
}

function drawLines(context, pieces, seen, colour, width) {
  context.beginPath();
  for (const piece of pieces) if (showsPiece(piece, seen)) follow(context, piece);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

function drawHeads(context, routes, seen, colour) {
  const [half, high] = ARROW;
  context.beginPath();
  for (const route of routes) {
    const [x, y] = route.slice(-2);
    if (!showsPiece([x, y - high, x, y], seen)) continue;
    context.moveTo(x - half, y - high);
    context.lineTo(x + half, y - high);
    context.lineTo(x, y);
  }
  context.fillStyle = colour;
  context.fill();
}

/** Lay some of a colour over what is filled already. */
function tint(context, colour, share) {
  context.globalAlpha = share;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = 1;
}

function drawSheets(context, box, fill, stroke) {
  for (const sheet of box.sheets) {
    context.beginPath();
    context.roundRect(...sheet, ROUND);
    fill();
    context.strokeStyle = stroke;
    context.stroke();
  }
}

function write(context, [words, size, x, y], align, colour) {
  context.font = `${size}px ${FONT}`;
  context.textAlign = align;
  context.fillStyle = colour;
  context.fillText(words, x, y);
}

/** A ring around a box. */
function drawRing(context, box, colour, width, away) {
  const [x, y, across, down] = frontOf(box);
  context.beginPath();
  context.roundRect(x - away, y - away, across + 2 * away, down + 2 * away, ROUND + away);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

/** The names of the open scopes, over all else: they may stay at the upper edge, on what scrolls below. */
function drawName(context, { boxes, theme, chosen }, i, view) {
  const [x, y, width, head] = headOf(boxes, i, view);
  const [words, size, left, base] = boxes[i].words[0];
  const lower = y - frontOf(boxes[i])[1];
  if (lower > 0) {
    context.beginPath();
    context.rect(x + 1, y, width - 2, head);
    context.fillStyle = theme.surface;
    context.fill();
    tint(context, theme.text, FRAME[1]);
  }
  context.font = `${size}px ${FONT}`;
  context.lineWidth = 3;
  context.strokeStyle = theme.surface; // keeps lines out of the words
  context.strokeText(words, left, base + lower);
  write(context, [words, size, left, base + lower], "left", i === chosen ? theme.text : theme.muted);
}

/** Draw what a view shows on a canvas of `room` CSS pixels.
 *
 * A scene is: boxes, routes, pieces (of the routes, each once), colours, solid, theme, chosen, active (the box that the
 * keyboard stands on; -1 each), near (routes of its lines), found (the boxes that were searched for). */
export function draw(context, scene, view, room, ratio) {
  const { boxes, colours, theme, solid } = scene;
  const seen = windowOf(view, room);
  const isReadable = view.scale >= READABLE;
  const visible = boxesIn(boxes, seen);
  const open = visible.filter((i) => boxes[i].role === "open");
  const single = visible.filter((i) => boxes[i].role !== "open");
  const levels = depths(boxes);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
  context.lineWidth = 1;
  for (const i of open) {
    drawSheets(context, boxes[i], () => {
      context.fillStyle = theme.surface;
      context.fill();
      if (i === scene.chosen) tint(context, theme.accent, MARKED);
      else tint(context, theme.text, FRAME[levels[i] % 2]);
    }, colours[i]);
  }
  drawLines(context, scene.pieces, seen, theme.muted, 1.2);
  if (isReadable) drawHeads(context, scene.routes, seen, theme.muted);
  drawLines(context, scene.near, seen, theme.accent, 2);
  context.lineWidth = 1;
  for (const i of single) {
    drawSheets(context, boxes[i], () => {
      context.fillStyle = solid ? colours[i] : theme.surface;
      context.fill();
      if (!solid) tint(context, colours[i], TINT);
    }, colours[i]);
    if (!isReadable) continue;
    const inks = solid ? [inkOn(colours[i]), inkOn(colours[i])] : [theme.text, theme.muted];
    const middle = frontOf(boxes[i])[0] + frontOf(boxes[i])[2] / 2;
    boxes[i].words.forEach(([words, size, , y], line) => {
      write(context, [words, size, middle, y], "center", inks[line]);
    });
  }
  context.textAlign = "left";
  if (isReadable) for (const i of open) drawName(context, scene, i, view);
  for (const i of scene.found) drawRing(context, boxes[i], theme.accent, 1.5, 1.5);
  if (scene.chosen >= 0) drawRing(context, boxes[scene.chosen], theme.accent, Math.max(2, 2 / view.scale), 0);
  if (scene.active >= 0) drawRing(context, boxes[scene.active], theme.text, Math.max(1.5, 1.5 / view.scale), 3.5);
}

/** The whole drawing, stretched to a strip of `room` CSS pixels: boxes only. */
export function drawSmall(context, { boxes, colours, theme }, [width, height], [across, down], ratio) {
  context.setTransform((across / width) * ratio, 0, 0, (down / height) * ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const pixel = height / down;
  boxes.forEach((box, i) => {
    const [x, y, wide, high] = frontOf(box);
    context.globalAlpha = box.role === "open" ? 0.08 : 1;
    context.fillStyle = box.role === "open" ? theme.text : colours[i];
    context.fillRect(x, y, wide, Math.max(high, pixel));
  });
  context.globalAlpha = 1;
}
