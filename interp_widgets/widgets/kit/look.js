// How a map is shown: where its colours end, smoothing, opacity by strength. `render/look.py` computes the same.

import { figures } from "./dom.js";
import { valuesOf } from "./frames.js";
import { say } from "./words.js";

const REACH = 4; // standard deviations after which the kernel ends
const GAMMA = 0.7; // of opacity by strength
const USUAL_OPACITY = 0.6; // at which the strongest values of a map with opacity by strength are opaque

/** The percentile (0..100) of sorted values, interpolated linearly between the two neighbours. */
export function percentileOf(sorted, percentile) {
  const place = ((sorted.length - 1) * percentile) / 100;
  const first = Math.floor(place);
  const second = Math.min(first + 1, sorted.length - 1);
  return sorted[first] + (sorted[second] - sorted[first]) * (place - first);
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
  const weights = Array.from({ length: radius + 1 }, (_, step) => Math.exp((-0.5 * step * step) / (sigma * sigma)));
  const total = weights[0] + 2 * weights.slice(1).reduce((sum, weight) => sum + weight, 0);
  const shares = weights.map((weight) => weight / total);
  return across(down(values, h, w, shares), h, w, shares);
}

/** Weighted sums of the cells above and below each cell; `shares[k]` is that of both at k steps. */
function down(values, h, w, shares) {
  const out = new Float64Array(h * w);
  for (let y = 0; y < h; y++) {
    const row = out.subarray(y * w, (y + 1) * w);
    for (let x = 0; x < w; x++) row[x] = values[y * w + x] * shares[0];
    for (let step = 1; step < shares.length; step++) {
      const above = mirrored(y - step, h) * w;
      const below = mirrored(y + step, h) * w;
      const share = shares[step];
      for (let x = 0; x < w; x++) row[x] += (values[above + x] + values[below + x]) * share;
    }
  }
  return out;
}

/** Weighted sums of the cells left and right of each cell. */
function across(values, h, w, shares) {
  const radius = shares.length - 1;
  const out = new Float64Array(h * w);
  const line = new Float64Array(w + 2 * radius); // one row with its mirrored margins
  for (let y = 0; y < h; y++) {
    for (let i = 0; i < line.length; i++) line[i] = values[y * w + mirrored(i - radius, w)];
    const row = out.subarray(y * w, (y + 1) * w);
    for (let x = 0; x < w; x++) row[x] = line[x + radius] * shares[0];
    for (let step = 1; step <= radius; step++) {
      const share = shares[step];
      for (let x = 0; x < w; x++) row[x] += (line[x + radius - step] + line[x + radius + step]) * share;
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
  let sorted = null;
  const inOrder = () => {
    sorted ??= sizes.slice().sort();
    return sorted;
  };
  return { frame, smoothing, signed, h, w, sigma, values, sizes, inOrder };
}

/** The values of the first and the last colour. */
function ended({ frame, signed, h, w, sigma, values, sizes, inOrder }, look) {
  const { lo, hi } = frame;
  let reach = signed ? Math.max(Math.abs(lo), Math.abs(hi)) : hi;
  if (look.limit !== null) reach = look.limit;
  else if (look.percentile < 100 || sigma) {
    reach = percentileOf(inOrder(), look.percentile);
    if (reach <= (signed ? 0 : lo)) reach = inOrder().at(-1); // nearly all is zero: the few that are not must be seen
  }
  if (signed) reach ||= 1; // of a map of zeros, so that zero has the middle colour
  const [low, high] = signed ? [-reach, reach] : [lo, Math.max(lo, reach)];
  return { h, w, values, low, high, sigma, look, sizes };
}

/** What was done to the map, in words. */
export function noteOf({ look, high, sigma, sizes }) {
  const value = figures(high);
  const share = `${((100 * sizes.filter((size) => size > high).length) / sizes.length).toFixed(1)}%`;
  const { percentile, limit } = look;
  let words;
  if (limit !== null) words = say("colours end at {value}, {share} of the values are beyond", { value, share });
  else if (percentile === 100) words = say("colours end at the largest value ({value})", { value });
  else {
    words = say("colours end at percentile {percentile} ({value}), {share} of the values are beyond", {
      percentile, value, share,
    });
  }
  if (!sigma) return words;
  return `${words}; ${say("smoothed by {sigma} px", { sigma: Number(sigma.toPrecision(2)) })}`;
}
