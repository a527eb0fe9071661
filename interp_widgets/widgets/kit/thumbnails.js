// Pictures in a row, one chosen: a list of options with one tab stop.

function render({ model, el, signal }) {
  const row = make("div", { class: "iw-thumbs", role: "listbox", "aria-label": "inputs", "aria-orientation": "horizontal", ...KEYS });
  el.append(make("div", { class: "iw" }, row));
  const prefix = identity("iw-thumb");

  function build() {
    const names = model.get("names"), size = model.get("size");
    row.replaceChildren(...model.get("images").map((image, i) => {
      const data = bytes(image);
      const option = make("div", { role: "option", id: `${prefix}-${i}`, "aria-label": names[i] ?? "", title: names[i] ?? "" });
      option.style.width = option.style.height = `${size}px`;
      if (data.length) {
        const url = URL.createObjectURL(new Blob([data], { type: "image/png" }));
        const image = make("img", { src: url, alt: "", draggable: "false" });
        // once it is read: earlier, a row that is rebuilt at once would leave the browser without it
        for (const event of ["load", "error"]) image.addEventListener(event, () => URL.revokeObjectURL(url));
        option.append(image);
      } else option.append(make("span", {}, `${i + 1}`));
      option.addEventListener("click", () => change(model, "selected", i), { signal });
      return option;
    }));
    mark();
  }

  function mark() {
    const chosen = model.get("selected");
    [...row.children].forEach((option, i) => option.setAttribute("aria-selected", i === chosen));
    const option = row.children[chosen];
    if (!option) return;
    row.setAttribute("aria-activedescendant", option.id);
    if (option.offsetLeft < row.scrollLeft) row.scrollLeft = option.offsetLeft;
    else if (option.offsetLeft + option.offsetWidth > row.scrollLeft + row.clientWidth) {
      row.scrollLeft = option.offsetLeft + option.offsetWidth - row.clientWidth;
    }
  }

  row.addEventListener("keydown", (event) => {
    const last = row.children.length - 1, now = model.get("selected");
    const goal = { ArrowLeft: now - 1, ArrowUp: now - 1, ArrowRight: now + 1, ArrowDown: now + 1, Home: 0, End: last }[event.key];
    if (goal !== undefined && taken(event)) change(model, "selected", Math.max(0, Math.min(last, goal)));
  }, { signal });
  model.on("change:images change:names change:size", build);
  model.on("change:selected", mark);
  signal?.addEventListener("abort", () => {
    model.off(null, build);
    model.off(null, mark);
  });
  build();
}

export default { render };
