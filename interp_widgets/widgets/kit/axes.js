// Axes of plots: where a number lies, which numbers are written beside it, and the elements of an SVG.

const SVG = "http://www.w3.org/2000/svg";
const STEPS = [1, 2, 5, 10]; // times a power of ten: what ticks are apart
const LINEAR = 1e-4; // of the largest size: nearer to zero a logarithmic scale is linear
const PAD = 0.04; // of the range, beyond its ends

/** An element of an SVG with attributes and children; strings become text nodes, never markup. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Round numbers between two others, `most` of them at most, evenly spaced. */
export function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * STEPS.find((each) => each * power >= rough * (1 - 1e-9));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** A linear axis over some numbers: `place` gives 0 at its lower end, 1 at its upper one. */
export function linear(values, most = 4) {
  const [low, high] = ends(values);
  return { place: (value) => (value - low) / (high - low), ticks: ticks(low, high, most) };
}

/** An axis that is logarithmic on both sides of zero, and linear next to it. */
export function symmetric(values, most = 4) {
  const largest = values.reduce((most_, value) => Math.max(most_, Math.abs(value)), 0) || 1;
  const unit = LINEAR * largest;
  const warp = (value) => Math.sign(value) * Math.log10(1 + Math.abs(value) / unit);
  const [low, high] = ends(values.map(warp));
  const powers = decades(unit * 10, largest, Math.max(1, Math.floor(most / 2)));
  const marks = [...powers.map((value) => -value), 0, ...powers];
  const place = (value) => (warp(value) - low) / (high - low);
  return { place, ticks: marks.filter((value) => place(value) >= 0 && place(value) <= 1).sort((a, b) => a - b) };
}

/** A logarithmic axis over numbers above zero; others lie nowhere. */
export function logarithmic(values, most = 3) {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  const [low, high] = ends(logs);
  const place = (value) => (value > 0 ? (Math.log10(value) - low) / (high - low) : NaN);
  return { place, ticks: decades(10 ** low, 10 ** high, most) };
}

/** Powers of ten between two numbers above zero, `most` of them at most. */
export function decades(low, high, most) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  const count = Math.max(0, Math.floor((last - first) / step) + 1);
  return Array.from({ length: count }, (_, i) => 10 ** (last - i * step)).reverse();
}

/** The ends of an axis that holds all numbers, with a little room beyond them. */
function ends(values) {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  if (!(high >= low)) return [0, 1];
  const pad = (high - low) * PAD || Math.abs(high) * PAD || 1;
  return [low - pad, high + pad];
}
