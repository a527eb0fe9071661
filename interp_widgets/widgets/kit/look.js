// How a map is shown: where its colours end, smoothing, opacity by strength. `render/look.py` computes the same.

import { figures } from "./dom.js";
import { valuesOf } from "./frames.js";
import { say } from "./words.js";

const REACH = 3; // standard deviations after which the kernel ends
const GAMMA = 0.7; // of opacity by strength
const USUAL_OPACITY = 0.6; // at which the strongest values of a map with opacity by strength are opaque

/** Reorder `values` so that the one at `place` is where sorting would put it, smaller ones before it (Hoare 1961). */
function select(values, place) {
  let left = 0;
  let right = values.length - 1;
  while (left < right) {
    const pivot = values[(left + right) >> 1];
    let i = left;
    let j = right;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i <= j) {
        const value = values[i];
        values[i] = values[j];
        values[j] = value;
        i++;
        j--;
      }
    }
    if (place <= j) right = j;
    else if (place >= i) left = i;
    else return;
  }
}

/** The percentile (0..100) of some values, interpolated linearly between its two neighbours; reorders them. */
export function percentileOf(values, percentile) {
  const place = ((values.length - 1) * percentile) / 100;
  const first = Math.floor(place);
  select(values, first);
  const below = values[first];
  if (first === values.length - 1) return below;
  let above = values[first + 1];
  for (let i = first + 2; i < values.length; i++) if (values[i] < above) above = values[i];
  return below + (above - below) * (place - first);
}

/** How many cells away from a cell a Gaussian of `sigma` cells reaches. */
function radiusOf(sigma) {
  return Math.floor(REACH * sigma + 0.5);
}

/** The cell that stands at `index` of a line of `length` cells that is mirrored at both ends, again and again. */
function mirrored(index, length) {
  const period = 2 * length;
  const place = ((index % period) + period) % period;
  return place < length ? place : period - 1 - place;
}

/** A map of h x w values under a Gaussian of `sigma` cells, mirrored at its edges. */
export function smoothed(values, h, w, sigma) {
  const radius = radiusOf(sigma);
  if (!radius) return values;
  const weights = new Float64Array(radius + 1);
  for (let step = 0; step <= radius; step++) weights[step] = Math.exp((-0.5 * step * step) / (sigma * sigma));
  const total = weights[0] + 2 * weights.subarray(1).reduce((sum, weight) => sum + weight, 0);
  const shares = weights.map((weight) => weight / total);
  return across(down(values, h, w, shares), h, w, shares);
}

/** Weighted sums of the cells above and below each cell; `shares[k]` is that of both at k steps. */
function down(values, h, w, shares) {
  const radius = shares.length - 1;
  const out = new Float64Array(h * w);
  const above = new Int32Array(radius + 1); // where the row begins that is so many steps above
  const below = new Int32Array(radius + 1);
  for (let y = 0; y < h; y++) {
    const start = y * w;
    for (let step = 0; step <= radius; step++) {
      above[step] = mirrored(y - step, h) * w;
      below[step] = mirrored(y + step, h) * w;
    }
    for (let x = 0; x < w; x++) {
      let sum = values[start + x] * shares[0];
      for (let step = 1; step <= radius; step++) {
        sum += (values[above[step] + x] + values[below[step] + x]) * shares[step];
      }
      out[start + x] = sum;
    }
  }
  return out;
}

/** Weighted sums of the cells left and right of each cell. */
function across(values, h, w, shares) {
  const radius = shares.length - 1;
  const out = new Float64Array(h * w);
  const columns = Int32Array.from({ length: w + 2 * radius }, (_, i) => mirrored(i - radius, w));
  const line = new Float64Array(columns.length); // one row with its mirrored margins
  for (let y = 0; y < h; y++) {
    const start = y * w;
    for (let i = 0; i < line.length; i++) line[i] = values[start + columns[i]];
    for (let x = 0; x < w; x++) {
      const centre = x + radius;
      let sum = line[centre] * shares[0];
      for (let step = 1; step <= radius; step++) sum += (line[centre - step] + line[centre + step]) * shares[step];
      out[start + x] = sum;
    }
  }
  return out;
}

/** How opaque each of the 256 colours is, 0..1. */
export function opacitiesOf(look, signed, opacity) {
  const opacities = new Float64Array(256);
  if (!look.by_strength) return opacities.fill(opacity);
  for (let i = 0; i < 256; i++) {
    const strength = signed ? Math.max(Math.abs(2 * i - 255) - 1, 0) / 254 : i / 255;
    opacities[i] = Math.min(strength ** GAMMA * (opacity / USUAL_OPACITY), 1);
  }
  return opacities;
}

/** A function that makes of a frame what is shown of it; the last one's smoothing and order are remembered.
 *
 * What comes out is { h, w, values, low, high, sigma, look, sizes }; the colours' end is measured on `sizes`. */
export function displays() {
  let last = {};
  return (frame, look, signed) => {
    const isSame = last.frame === frame && last.smoothing === look.smoothing && last.signed === signed;
    if (!isSame) last = prepared(frame, look.smoothing, signed);
    return ended(last, look);
  };
}

function prepared(frame, smoothing, signed) {
  const { h, w } = frame;
  const asked = smoothing * Math.min(h, w);
  const sigma = radiusOf(asked) ? asked : 0;
  const values = smoothed(valuesOf(frame), h, w, sigma);
  const sizes = signed ? values.map(Math.abs) : values;
  return { frame, smoothing, signed, h, w, sigma, values, sizes, scratch: null };
}

/** The values of the first and the last colour. */
function ended(map, look) {
  const { frame, signed, h, w, sigma, values, sizes } = map;
  const { lo, hi } = frame;
  let reach = signed ? Math.max(Math.abs(lo), Math.abs(hi)) : hi;
  if (look.limit !== null) reach = look.limit;
  else if (look.percentile < 100 || sigma) {
    map.scratch ??= sizes.slice(); // the next percentile finds it nearly in order
    reach = percentileOf(map.scratch, look.percentile);
    // nearly all is zero: the few that are not must be seen
    if (reach <= (signed ? 0 : lo)) reach = sizes.reduce((most, size) => Math.max(most, size), -Infinity);
  }
  if (signed) reach ||= 1; // of a map of zeros, so that zero has the middle colour
  const [low, high] = signed ? [-reach, reach] : [lo, Math.max(lo, reach)];
  return { h, w, values, low, high, sigma, look, sizes };
}

/** The share of the values that are beyond the last colour. */
function shareBeyond({ sizes, high }) {
  let count = 0;
  for (let i = 0; i < sizes.length; i++) if (sizes[i] > high) count++;
  return `${((100 * count) / sizes.length).toFixed(1)}%`;
}

/** What was done to the map, in words. */
export function noteOf(display) {
  const { percentile, limit } = display.look;
  const gaps = { percentile, value: figures(display.high), share: shareBeyond(display) };
  let words;
  if (limit !== null) words = say("shown up to {value}, {share} beyond", gaps);
  else if (percentile === 100) words = say("shown up to the largest value ({value})", gaps);
  else words = say("shown up to percentile {percentile} ({value}), {share} beyond", gaps);
  if (!display.sigma) return words;
  return `${words}; ${say("smoothed by {sigma} px", { sigma: Number(display.sigma.toPrecision(2)) })}`;
}
