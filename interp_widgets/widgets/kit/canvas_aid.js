// ipycanvas takes every key of its canvas, Tab too, and gives it no name. This neighbour mends both.

import { onChange } from "./dom.js";

function render({ model, el, signal }) {
  el.style.display = "none";
  let canvas = null;
  let waiting = 0;

  function name() {
    canvas?.setAttribute("aria-label", model.get("label"));
  }

  /** Tab leaves the canvas: ipycanvas, which would keep the key, never hears of it. */
  function keep(event) {
    if (event.key === "Tab") event.stopImmediatePropagation();
  }

  /** The canvas is put into the page by its own view, sooner or later. */
  function find() {
    canvas = el.closest(".iw-strip")?.querySelector("canvas");
    if (!canvas) {
      waiting = requestAnimationFrame(find);
      return;
    }
    canvas.setAttribute("role", "img");
    canvas.setAttribute("data-lm-suppress-shortcuts", "true");
    canvas.parentElement.addEventListener("keydown", keep, { capture: true, signal });
    name();
  }

  onChange(model, ["label"], name);
  signal?.addEventListener("abort", () => cancelAnimationFrame(waiting));
  find();
}

export default { render };
