// The stack of maps that a picture holds, as the trait `frames` carries it: blocks of bytes, each with an index.
//
// A block's index has one entry a frame: [row, column, height, width, lowest, highest, where its bytes begin, bytes of
// a value]. Four bytes are a float32, little-endian; one byte is a step from the lowest (0) to the highest (255).

import { bytes } from "./dom.js";

const SLACK = 65536; // bytes that may be unused besides as many as are used
const stores = new WeakMap(); // the trait's object (one per model, shared by its views) -> its frames by key

export const keyOf = (row, column) => `${row},${column}`;

/** The frames a trait holds, by key. Read from it once, then kept current by `merge`. */
export function framesOf(held) {
  let store = stores.get(held);
  if (!store) {
    store = new Map();
    for (const block of held.blocks) unpack(block, store);
    stores.set(held, store);
  }
  return store;
}

function unpack(block, store) {
  const data = bytes(block.data);
  for (const [row, column, h, w, lo, hi, start, width] of block.index) {
    store.set(keyOf(row, column), { h, w, lo, hi, width, q: data.subarray(start, start + h * w * width) });
  }
}

/** A function that reads the value of a frame's cell by its number, row by row. */
function reader({ q, lo, hi, width }) {
  if (width === 1) return (i) => lo + (q[i] / 255) * (hi - lo);
  const view = new DataView(q.buffer, q.byteOffset, q.byteLength);
  return (i) => view.getFloat32(4 * i, true);
}

/** The value of a frame's cell. */
export function valueAt(frame, row, column) {
  return reader(frame)(row * frame.w + column);
}

/** All values of a frame, row by row. */
export function valuesOf(frame) {
  const read = reader(frame);
  const values = new Float64Array(frame.h * frame.w);
  for (let i = 0; i < values.length; i++) values[i] = read(i);
  return values;
}

/** Take in one message of added and dropped frames.
 *
 * The trait's object is changed in place: `model.set` would put all frames into the next message to the kernel.
 * Second views, a saved notebook and an exported page read the same object. */
export function merge(held, message, buffer) {
  const store = framesOf(held);
  const dropped = message.drop.map(([row, column]) => keyOf(row, column));
  const replaced = message.index.map(([row, column]) => keyOf(row, column));
  for (const key of dropped) store.delete(key);
  forget(held, new Set([...dropped, ...replaced]));
  if (message.index.length) {
    const copy = bytes(buffer).slice();
    const block = { index: message.index, data: new DataView(copy.buffer) };
    held.blocks.push(block);
    unpack(block, store);
  }
  held.revision = message.revision;
  compact(held, store);
}

/** Take frames out of the blocks' indices, and blocks without any out of the trait. */
function forget(held, keys) {
  for (const block of held.blocks) block.index = block.index.filter(([row, column]) => !keys.has(keyOf(row, column)));
  held.blocks = held.blocks.filter((block) => block.index.length);
}

/** Copy half-empty blocks together, so that dropped frames give their memory back. */
function compact(held, store) {
  const used = [...store.values()].reduce((sum, frame) => sum + frame.q.length, 0);
  const kept = held.blocks.reduce((sum, block) => sum + block.data.byteLength, 0);
  if (kept <= 2 * used + SLACK) return;
  const data = new Uint8Array(used);
  const index = [];
  let start = 0;
  for (const [key, frame] of store) {
    const [row, column] = key.split(",").map(Number);
    data.set(frame.q, start);
    index.push([row, column, frame.h, frame.w, frame.lo, frame.hi, start, frame.width]);
    start += frame.q.length;
  }
  held.blocks = [{ index, data: new DataView(data.buffer) }];
  unpack(held.blocks[0], store);
}
