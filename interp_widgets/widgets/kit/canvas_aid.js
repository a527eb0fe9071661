// ipycanvas takes every key of its canvas, Tab too, gives it no name, and Python draws on it without knowing how much
// room there is. This neighbour mends all three.

import { change, onChange } from "./dom.js";

const REST = 150; // ms without a change of size: while a window is dragged, the kernel would draw each frame

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

  let timer = 0;
  const sight = new ResizeObserver(([entry]) => {
    const room = Math.floor(entry.contentRect.width);
    clearTimeout(timer);
    if (room > 0 && room !== model.get("room")) timer = setTimeout(() => change(model, "room", room), REST);
  });

  /** The canvas is put into the page by its own view, sooner or later. */
  function find() {
    const box = el.closest(".iw-strip");
    canvas = box?.querySelector("canvas");
    if (!canvas) {
      waiting = requestAnimationFrame(find);
      return;
    }
    canvas.setAttribute("role", "img");
    canvas.setAttribute("data-lm-suppress-shortcuts", "true");
    canvas.parentElement.addEventListener("keydown", keep, { capture: true, signal });
    name();
    sight.observe(box);
  }

  onChange(model, ["label"], name);
  signal?.addEventListener("abort", () => {
    cancelAnimationFrame(waiting);
    clearTimeout(timer);
    sight.disconnect();
  });
  find();
}

export default { render };
