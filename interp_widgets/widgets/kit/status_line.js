// One line of words; a screen reader says it when it changes.

function render({ model, el, signal }) {
  const line = make("div", { class: "iw iw-status", role: "status", "aria-live": "polite" });
  el.append(line);
  function draw() {
    line.textContent = model.get("error") || model.get("text");
    line.classList.toggle("iw-error", Boolean(model.get("error")));
    line.title = line.textContent;
  }
  model.on("change:text change:error", draw);
  signal?.addEventListener("abort", () => model.off(null, draw));
  draw();
}

export default { render };
