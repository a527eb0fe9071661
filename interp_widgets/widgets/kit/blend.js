// Scaling, colouring and blending a map over an image. `render/blend.py` computes the same pixels, step by step.

import { clamp } from "./dom.js";

export const PIXELATED_BELOW = 64; // as in render/blend.py
const CONTRAST = 0.45; // of the light grey image; as in render/blend.py

/** Neighbours and weight for scaling `source` cells to `target` pixels: half-pixel centres, edges clamped. */
export function neighbours(source, target, smooth) {
  const first = new Int32Array(target);
  const second = new Int32Array(target);
  const weight = new Float64Array(target);
  for (let i = 0; i < target; i++) {
    const centre = ((i + 0.5) * source) / target;
    if (smooth) {
      const place = clamp(centre - 0.5, 0, source - 1);
      first[i] = Math.floor(place);
      second[i] = Math.min(first[i] + 1, source - 1);
      weight[i] = place - first[i];
    } else {
      first[i] = Math.floor(centre);
      second[i] = first[i];
    }
  }
  return { first, second, weight };
}

/** Size of the picture in pixels: the base (or the map) enlarged by a whole number until it reaches `size`. */
export function gridOf(baseSize, frame, size) {
  let [width, height] = baseSize;
  if (!width || !height) [width, height] = frame ? [frame.w, frame.h] : [1, 1];
  const factor = Math.max(1, Math.ceil(size / Math.max(width, height)));
  return { width, height, factor, W: width * factor, H: height * factor };
}

/** An image of three bytes a pixel, enlarged by a whole number. */
export function enlarge(base, width, height, factor) {
  if (factor === 1) return base;
  const W = width * factor;
  const H = height * factor;
  const smooth = Math.max(width, height) >= PIXELATED_BELOW;
  const across = neighbours(width, W, smooth);
  const down = neighbours(height, H, smooth);
  const out = new Uint8Array(W * H * 3);
  const line = new Float64Array(width * 3);
  for (let y = 0; y < H; y++) {
    const top = down.first[y] * width * 3;
    const bottom = down.second[y] * width * 3;
    const f = down.weight[y];
    for (let i = 0; i < line.length; i++) line[i] = base[top + i] + (base[bottom + i] - base[top + i]) * f;
    for (let x = 0, o = y * W * 3; x < W; x++, o += 3) {
      const left = across.first[x] * 3;
      const right = across.second[x] * 3;
      const g = across.weight[x];
      for (let c = 0; c < 3; c++) {
        out[o + c] = Math.floor(line[left + c] + (line[right + c] - line[left + c]) * g + 0.5);
      }
    }
  }
  return out;
}

/** One pixel of a canvas, opaque, as a number. */
const rgb = (red, green, blue) => 0xff000000 | (blue << 16) | (green << 8) | red;

/** An image of three bytes a pixel as pixels of a canvas. */
export function paintBase(pixels, base) {
  for (let i = 0, b = 0; i < pixels.length; i++, b += 3) pixels[i] = rgb(base[b], base[b + 1], base[b + 2]);
}

/** A colour table of three bytes a colour as 256 pixels of a canvas. */
export function colours(table) {
  const found = new Uint32Array(256);
  paintBase(found, table);
  return found;
}

/** The same image in light grey. */
export function lightened(base) {
  const out = new Uint8Array(base.length);
  for (let i = 0; i < base.length; i += 3) {
    const luma = base[i] * 0.299 + base[i + 1] * 0.587 + base[i + 2] * 0.114;
    const light = Math.floor(255 - (255 - luma) * CONTRAST + 0.5);
    out[i] = light;
    out[i + 1] = light;
    out[i + 2] = light;
  }
  return out;
}

/** Where each value lies on the colour table, 0..255 and beyond. */
function placesOf(values, low, high) {
  const places = new Float64Array(values.length);
  const span = high - low;
  if (!span) return places;
  for (let i = 0; i < values.length; i++) places[i] = ((values[i] - low) / span) * 255;
  return places;
}

/** Colour a map over low..high and blend it over `base` (three bytes a pixel; null: opaque) into W x H `pixels`.
 *
 * The map is { h, w, values, low, high }; each of the 256 colours of `table` has its opacity. */
export function paint(pixels, { W, H }, base, { h, w, values, low, high }, { table, opacities, smooth }) {
  const places = placesOf(values, low, high);
  const mixed = new Float64Array(768); // each colour's part of a pixel, with the half that rounds
  const kept = new Float64Array(256); // the base's share
  for (let i = 0; i < 768; i++) mixed[i] = table[i] * opacities[Math.floor(i / 3)] + 0.5;
  for (let i = 0; i < 256; i++) kept[i] = 1 - opacities[i];
  const { first, second, weight } = neighbours(w, W, smooth);
  const down = neighbours(h, H, smooth);
  const line = new Float64Array(w);
  for (let y = 0, o = 0, b = 0; y < H; y++) {
    const top = down.first[y] * w;
    const bottom = down.second[y] * w;
    const f = down.weight[y];
    for (let x = 0; x < w; x++) line[x] = places[top + x] + (places[bottom + x] - places[top + x]) * f;
    for (let x = 0; x < W; x++, o++, b += 3) {
      const left = line[first[x]];
      const place = left + (line[second[x]] - left) * weight[x] + 0.5;
      const index = place < 0 ? 0 : place > 255 ? 255 : place | 0; // written out: the innermost line of every drag
      const t = index * 3;
      if (base) {
        const share = kept[index];
        const red = base[b] * share + mixed[t];
        const green = base[b + 1] * share + mixed[t + 1];
        const blue = base[b + 2] * share + mixed[t + 2];
        pixels[o] = rgb(red, green, blue);
      } else {
        pixels[o] = rgb(table[t], table[t + 1], table[t + 2]);
      }
    }
  }
}
