// A function of one number, over a histogram of the numbers it was given.

import { draw, linear } from "./axes.js";
import { figures, make, onChange, oncePerFrame } from "./dom.js";

const LEFT = 44; // CSS pixels: the numbers of the axis
const BOTTOM = 18;
const TOP = 6; // CSS pixels, so that no number is cut
const BARS = 0.85; // of the height: the highest bar of the histogram

/** The paths of a curve and of the bars below it; `x` and `y` place numbers, `base` is where bars stand. */
export function paths({ points, values, counts, edges }, x, y, base) {
  const curve = points.map((point, i) => `${i ? "L" : "M"}${x(point)} ${y(values[i])}`).join("");
  const highest = counts.reduce((most, count) => Math.max(most, count), 1);
  const bars = counts.map((count, i) => {
    const top = Number((base * (1 - (BARS * count) / highest)).toFixed(2));
    return count ? `M${x(edges[i])} ${base}V${top}H${x(edges[i + 1])}V${base}Z` : "";
  });
  return { curve, bars: bars.join("") };
}

function render({ model, el, signal }) {
  const plot = make("div", { class: "iw-plot", role: "img" });
  const caption = make("div", { class: "iw-caption iw-ellipsis" });
  el.append(make("div", { class: "iw iw-curve" }, plot, caption));

  function build() {
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    const base = height - BOTTOM;
    const [points, values, counts, edges] = ["x", "y", "counts", "edges"].map((name) => model.get(name));
    const [across, up] = [linear(points, 5), linear(values)];
    const x = (value) => Number((LEFT + (width - LEFT) * across.place(value)).toFixed(2));
    const y = (value) => Number((TOP + (base - TOP) * (1 - up.place(value))).toFixed(2));
    const { curve, bars } = paths({ points, values, counts, edges }, x, y, base);
    const rules = up.ticks.flatMap((value) => [
      draw("path", { class: "iw-rule", d: `M${LEFT} ${y(value)}H${width}` }),
      draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, figures(value)),
    ]);
    const marks = across.ticks.map((value) =>
      draw("text", { x: x(value), y: height - 4, "text-anchor": "middle" }, figures(value)),
    );
    const drawn = [draw("path", { class: "iw-counts", d: bars }), draw("path", { class: "iw-function", d: curve })];
    plot.replaceChildren(draw("svg", { width, height, "aria-hidden": "true" }, ...rules, ...marks, ...drawn));
    plot.setAttribute("aria-label", model.get("alt") || model.get("label"));
    caption.textContent = caption.title = model.get("label");
  }

  const rebuild = oncePerFrame(build, signal);
  onChange(model, ["x", "y", "counts", "edges", "label", "alt"], rebuild);
  build();
  const sized = new ResizeObserver(rebuild);
  sized.observe(plot);
  signal?.addEventListener("abort", () => sized.disconnect());
}

export default { render };
