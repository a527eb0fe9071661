// Runs in the page before anything else: notes when the user did something, when pictures got new pixels, and what
// came over the wire.
//
// A picture is *drawn* when its canvas has the pixels, and *shown* at the next animation frame: by then the browser has
// handed them to the screen. Times are those of the page's clock, in milliseconds.

window.watch = (() => {
  const CANVASES = ".iw-picture .iw-stage canvas"; // the attribution's, the channel's
  let models = [];
  let watched = [];
  let event = null;
  let frame = 0;
  let counting = 0;
  let received = []; // [time, bytes] of each message of a kernel's websocket
  let draws = []; // { picture, shown, pixels, drawn, visible, frame }

  window.WebSocket = class extends window.WebSocket {
    constructor(...given) {
      super(...given);
      if (!String(given[0]).includes("/channels")) return;
      const note = ({ data }) => received.push([performance.now(), data.byteLength ?? data.length]);
      this.addEventListener("message", note);
    }
  };

  const count = () => {
    frame += 1;
    counting = requestAnimationFrame(count);
  };
  const noted = (happened) => {
    if (counting && happened.isTrusted) event ??= { time: happened.timeStamp, frame };
  };
  for (const type of ["keydown", "pointerdown"]) window.addEventListener(type, noted, { capture: true });

  /** A number for the pixels of three lines, or of the whole canvas. */
  function fingerprint(canvas, whole) {
    const { width, height } = canvas;
    const context = canvas.getContext("2d");
    const parts = whole ? [[0, height]] : [0.25, 0.5, 0.75].map((part) => [Math.floor(part * height), 1]);
    let hash = width * 65536 + height;
    for (const [top, lines] of parts) {
      const pixels = new Int32Array(context.getImageData(0, top, width, lines).data.buffer);
      for (let i = 0; i < pixels.length; i++) hash = Math.imul(hash ^ pixels[i], 16777619);
    }
    return hash;
  }

  const state = (picture) => `${picture.canvas.dataset.shown} ${fingerprint(picture.canvas, false)}`;
  const observer = new MutationObserver((changes) => {
    for (const picture of watched.filter(({ canvas }) => changes.some(({ target }) => target === canvas))) {
      const drawn = performance.now();
      const now = state(picture);
      if (now === picture.state) continue; // drawn again, the same
      picture.state = now;
      const entry = { picture: picture.index, state: now, drawn };
      draws.push(entry);
      requestAnimationFrame(() => Object.assign(entry, { visible: performance.now(), frame }));
    }
  });

  /** Begin to watch: `wanted` has the keys that the pictures shall show at the end, null where any change will do. */
  function begin(wanted) {
    end();
    const canvases = document.querySelectorAll(CANVASES);
    watched = Object.entries(wanted).map(([index, key]) => {
      const canvas = canvases[index];
      return { index: Number(index), canvas, key, before: fingerprint(canvas, true) };
    });
    for (const picture of watched) {
      picture.state = picture.first = state(picture);
      observer.observe(picture.canvas, { attributeFilter: ["data-draws"] });
    }
    [received, draws, event] = [[], [], null];
    counting = requestAnimationFrame(count);
  }

  const reached = (picture) => {
    if (picture.key === null) return picture.state !== picture.first;
    return picture.canvas.dataset.shown === picture.key;
  };
  /** What was drawn was handed to the screen. */
  const calm = () => draws.every((entry) => entry.visible);
  /** So was everything wanted. */
  const done = () => watched.every(reached) && calm();

  /** What happened since `begin`; a move ends where the last picture got its last pixels. */
  function end() {
    observer.disconnect();
    cancelAnimationFrame(counting);
    counting = 0;
    const isLast = (picture, entry) => entry.picture === picture.index && entry.state === picture.state;
    const last = watched.map((picture) => draws.find((entry) => isLast(picture, entry)));
    const changed = watched.map(({ canvas, before }) => fingerprint(canvas, true) !== before);
    const found = { event, draws, received, last: last.filter(Boolean), changed };
    watched = [];
    return found;
  }

  /** Find the two pictures' models, by the widget manager that showed the notebook's output. */
  async function attach(path) {
    const panel = [...window.jupyterapp.shell.widgets("main")].find((each) => each.context?.path === path);
    const inside = (widget) => [...(widget.widgets ?? widget.children?.() ?? [])];
    const seek = (widget) => widget._manager ?? inside(widget).map(seek).find(Boolean);
    const managers = panel.content.widgets.map((cell) => cell.outputArea && seek(cell.outputArea));
    const manager = await managers.find(Boolean).promise;
    const all = await Promise.all(Object.values(manager._models));
    const pictures = all.filter((model) => model.get("frames"));
    models = ["overlay", "map"].map((view) => pictures.find((model) => model.get("view") === view));
  }

  /** Whether the browser has that frame of a picture. */
  const held = ([picture, row, column]) => {
    const { blocks } = models[picture].get("frames");
    return blocks.some((block) => block.index.some(([r, c]) => r === row && c === column));
  };
  const at = (picture) => [models[picture].get("row"), models[picture].get("column")];
  /** Both pictures show what they are set to. */
  const current = () => {
    const canvases = [...document.querySelectorAll(CANVASES)];
    return canvases.every((canvas, picture) => canvas.dataset.shown === at(picture).join());
  };

  /** A slider goes to and fro between two places (0..1), one `input` event a frame as a dragging mouse makes them. */
  async function sweep([place, left, right, steps, milliseconds]) {
    const input = document.querySelectorAll(".iw-explorer .iw-slider input[type=range]")[place];
    const range = Number(input.max) - Number(input.min);
    const begun = performance.now();
    let events = 0;
    while (performance.now() - begun < milliseconds) {
      await new Promise(requestAnimationFrame);
      const part = 1 - Math.abs((events / steps) % 2 - 1);
      input.value = Number(input.min) + range * (left + (right - left) * part);
      input.dispatchEvent(new Event("input", { bubbles: true }));
      events += 1;
    }
    return events;
  }

  /** Milliseconds between animation frames. */
  async function intervals(many) {
    const times = [];
    await new Promise((resolve) => {
      const tick = () => {
        times.push(performance.now());
        if (times.length > many) resolve();
        else requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    });
    return times.slice(1).map((time, i) => time - times[i]);
  }

  return { attach, held, at, current, begin, done, calm, end, sweep, intervals };
})();
