// Pictures in a row, one chosen: a list of options with one tab stop. A picture is asked for when it comes into sight.

function render({ model, el, signal }) {
  const row = make("div", { class: "iw-thumbs", role: "listbox", "aria-label": "inputs", "aria-orientation": "horizontal", ...KEYS });
  el.append(make("div", { class: "iw" }, row));
  const prefix = identity("iw-thumb");
  const asked = new Set();
  const sight = new IntersectionObserver(seen, { root: row, rootMargin: "0px 200px" });

  function build() {
    sight.disconnect();
    asked.clear();
    row.replaceChildren(...model.get("images").map(option));
    mark();
  }

  function option(image, i) {
    const names = model.get("names"), size = model.get("size");
    const element = make("div", { role: "option", id: `${prefix}-${i}`, "aria-label": names[i] ?? "", title: names[i] ?? "" });
    element.style.width = element.style.height = `${size}px`;
    element.addEventListener("click", () => change(model, "selected", i), { signal });
    fill(element, bytes(image), i);
    if (!bytes(image).length) sight.observe(element);
    return element;
  }

  /** The picture, or its number where there is none. */
  function fill(element, data, i) {
    if (!data.length) {
      element.replaceChildren(make("span", {}, `${i + 1}`));
      return;
    }
    const url = URL.createObjectURL(new Blob([data], { type: "image/png" }));
    const image = make("img", { src: url, alt: "", draggable: "false" });
    // once it is read: earlier, a row that is rebuilt at once would leave the browser without it
    for (const event of ["load", "error"]) image.addEventListener(event, () => URL.revokeObjectURL(url));
    element.replaceChildren(image);
  }

  function seen(entries) {
    const places = entries.filter((entry) => entry.isIntersecting).map((entry) => [...row.children].indexOf(entry.target));
    const missing = places.filter((place) => place >= 0 && !asked.has(place));
    for (const place of missing) asked.add(place);
    if (missing.length) model.send({ type: "need", places: missing });
  }

  function receive(message, buffers) {
    const element = row.children[message?.place];
    if (message?.type !== "image" || !element) return;
    sight.unobserve(element);
    fill(element, bytes(buffers[0]), message.place);
  }

  function mark() {
    const chosen = model.get("selected");
    [...row.children].forEach((each, i) => each.setAttribute("aria-selected", i === chosen));
    const element = row.children[chosen];
    if (!element) return;
    row.setAttribute("aria-activedescendant", element.id);
    if (element.offsetLeft < row.scrollLeft) row.scrollLeft = element.offsetLeft;
    else if (element.offsetLeft + element.offsetWidth > row.scrollLeft + row.clientWidth) {
      row.scrollLeft = element.offsetLeft + element.offsetWidth - row.clientWidth;
    }
  }

  row.addEventListener("keydown", (event) => {
    const last = row.children.length - 1, now = model.get("selected");
    const goal = { ArrowLeft: now - 1, ArrowUp: now - 1, ArrowRight: now + 1, ArrowDown: now + 1, Home: 0, End: last }[event.key];
    if (goal !== undefined && taken(event)) change(model, "selected", Math.max(0, Math.min(last, goal)));
  }, { signal });
  model.on("change:images change:names change:size", build);
  model.on("change:selected", mark);
  model.on("msg:custom", receive);
  signal?.addEventListener("abort", () => {
    sight.disconnect();
    for (const callback of [build, mark, receive]) model.off(null, callback);
  });
  build();
}

export default { render };
