// How values are distributed through depth: a box for each layer in execution order, one of them chosen.

import { draw, linear, logarithmic, symmetric } from "./axes.js";
import { KEYS, change, clamp, explain, figures, make, onChange, oncePerFrame, taken } from "./dom.js";
import { ENDS, destination } from "./list.js";
import { say } from "./words.js";

const LEFT = 52; // CSS pixels: the numbers of the axis
const PAGE = 10; // layers that Page Up and Page Down go
const BOX = 0.72; // of a layer's room: how wide its box is
const LOWER = 0.34; // of the height: the gradients
const BETWEEN = 10; // CSS pixels between the two
const EDGE = 6; // CSS pixels above and below, so that no number is cut
const DOTS = [1.5, 4]; // CSS pixels: how wide a dot is at least and at most
const BUILT = ["names", "boxes", "means", "norms", "log", "label", "help"];
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -PAGE, PageUp: PAGE, ...ENDS };

/** The layer at `x` CSS pixels of a plot of `width` that begins at `left`; of `count` layers the nearest. */
export function layerAt(x, left, width, count) {
  return clamp(Math.floor(((x - left) / (width - left)) * count), 0, count - 1);
}

/** The paths of all boxes, whiskers, medians and means; `x` gives the middle of a layer, `y` the place of a value. */
export function outlines(boxes, means, x, y, half) {
  const paths = { whiskers: "", boxes: "", medians: "", means: "" };
  boxes.forEach((box, i) => {
    if (!box.length) return;
    const [low, first, median, third, high] = box.map(y);
    const [left, middle, right] = [x(i) - half, x(i), x(i) + half];
    paths.whiskers += `M${middle} ${low}V${first}M${middle} ${third}V${high}`;
    paths.boxes += `M${left} ${first}H${right}V${third}H${left}Z`;
    paths.medians += `M${left} ${median}H${right}`;
    paths.means += `M${middle} ${y(means[i])}h0`; // a dot: a line of no length with round ends
  });
  return paths;
}

function render({ model, el, signal }) {
  const plot = make("div", { class: "iw-plot", role: "slider", "aria-valuemin": 0, ...KEYS });
  const caption = make("div", { class: "iw-caption iw-ellipsis" });
  el.append(make("div", { class: "iw iw-profile" }, plot, caption));
  let pointed = -1; // the layer under the mouse
  let x = () => 0;

  const names = () => model.get("names");
  const chosen = () => names().indexOf(model.get("selected"));

  function build() {
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    plot.setAttribute("aria-label", model.get("label"));
    plot.setAttribute("aria-valuemax", Math.max(0, names().length - 1));
    explain(plot, model.get("help"));
    plot.removeAttribute("title"); // it would lie over the boxes
    const step = (width - LEFT) / Math.max(1, names().length);
    x = (i) => LEFT + (i + 0.5) * step;
    const hasNorms = model.get("norms").length > 0;
    const lower = hasNorms ? Math.round(height * LOWER) : 0;
    const upper = height - lower - (hasNorms ? BETWEEN : EDGE);
    const svg = draw("svg", { width, height, "aria-hidden": "true" });
    svg.append(draw("rect", { class: "iw-column", y: 0, width: Math.max(2, step), height }));
    svg.append(...values(width, upper, (step * BOX) / 2));
    if (hasNorms) svg.append(...gradients(width, height - lower, height - EDGE));
    plot.style.setProperty("--dot", `${clamp(step / 2, ...DOTS)}px`);
    plot.replaceChildren(svg);
    mark();
  }

  /** The boxes, between the top and `bottom`. */
  function values(width, bottom, half) {
    const boxes = model.get("boxes");
    const numbers = [0, ...boxes.flat()];
    const axis = model.get("log") ? symmetric(numbers) : linear(numbers);
    const y = (value) => Number((EDGE + (bottom - EDGE) * (1 - axis.place(value))).toFixed(2));
    const paths = outlines(boxes, model.get("means"), x, y, half);
    const zero = draw("path", { class: "iw-zero", d: `M${LEFT} ${y(0)}H${width}` });
    const drawn = ["whiskers", "boxes", "medians", "means"].map((kind) =>
      draw("path", { class: `iw-${kind}`, d: paths[kind] }),
    );
    return [...scale(axis, y, width), zero, ...drawn];
  }

  /** The norms of the gradients between `top` and `bottom`, on a logarithmic scale. */
  function gradients(width, top, bottom) {
    const norms = model.get("norms");
    const axis = logarithmic(norms.filter((norm) => norm !== null));
    const y = (value) => Number((top + (bottom - top) * (1 - axis.place(value))).toFixed(2));
    const points = norms.map((norm, i) => (norm > 0 ? `M${x(i)} ${y(norm)}h0` : "")).join("");
    const line = points.replaceAll("h0M", "L").replace("h0", "");
    const frame = draw("path", { class: "iw-zero", d: `M${LEFT} ${top - BETWEEN / 2}H${width}` });
    const lines = [draw("path", { class: "iw-norms", d: line }), draw("path", { class: "iw-means", d: points })];
    return [frame, ...scale(axis, y, width), ...lines];
  }

  function scale(axis, y, width) {
    return axis.ticks.flatMap((value) => [
      draw("path", { class: "iw-rule", d: `M${LEFT} ${y(value)}H${width}` }),
      draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, figures(value)),
    ]);
  }

  /** What is known of a layer, in words. */
  function words(i) {
    const box = model.get("boxes")[i] ?? [];
    const name = names()[i];
    if (!box.length) return say("{name}: no finite value", { name });
    const [low, , median, , high] = box.map(figures);
    const gaps = { name, low, median, high, mean: figures(model.get("means")[i]) };
    const norm = model.get("norms")[i];
    if (norm === null || norm === undefined) {
      return say("{name}: median {median}, 5th and 95th percentile {low} and {high}, mean {mean}", gaps);
    }
    return say("{name}: median {median}, 5th and 95th percentile {low} and {high}, mean {mean}, gradient {norm}", {
      ...gaps, norm: figures(norm),
    });
  }

  /** Tell which layer is chosen, and what is known of the one pointed at. */
  function mark() {
    const at = chosen();
    const shown = pointed >= 0 ? pointed : at;
    const column = plot.querySelector(".iw-column");
    column?.setAttribute("x", x(Math.max(0, at)) - column.getAttribute("width") / 2);
    if (column) column.style.display = at < 0 ? "none" : "";
    plot.setAttribute("aria-valuenow", Math.max(0, at));
    plot.setAttribute("aria-valuetext", at < 0 ? say("none of these layers") : words(at));
    caption.textContent = shown < 0 || shown >= names().length ? "" : words(shown);
    caption.title = caption.textContent;
  }

  function layerUnder(event) {
    return layerAt(event.clientX - plot.getBoundingClientRect().left, LEFT, plot.clientWidth, names().length);
  }

  plot.addEventListener("click", (event) => {
    if (names().length) change(model, "selected", names()[layerUnder(event)]);
  });
  plot.addEventListener("pointermove", (event) => {
    pointed = names().length ? layerUnder(event) : -1;
    mark();
  });
  plot.addEventListener("pointerleave", () => {
    pointed = -1;
    mark();
  });
  plot.addEventListener("keydown", (event) => {
    const to = destination(event, chosen(), names().length, STEPS);
    if (to === null) return;
    taken(event);
    change(model, "selected", names()[clamp(to, 0, names().length - 1)]);
  });

  const rebuild = oncePerFrame(build, signal);
  onChange(model, BUILT, rebuild);
  onChange(model, ["selected"], mark);
  build();
  const sized = new ResizeObserver(rebuild);
  sized.observe(plot);
  signal?.addEventListener("abort", () => sized.disconnect());
}

export default { render };
