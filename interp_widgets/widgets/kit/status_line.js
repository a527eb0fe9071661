// One line of words; a screen reader says it when it changes.

import { onConnection } from "./connection.js";
import { make, onChange } from "./dom.js";
import { say } from "./words.js";

/** What the line says, and whether that is an error. */
export function statusOf(connected, text, error) {
  if (connected) return { words: error || text, isError: Boolean(error) };
  return { words: say("not connected: pictures that are here still move, new ones need Run"), isError: false };
}

function render({ model, el, signal, source }) {
  const line = make("div", { class: "iw iw-status", role: "status", "aria-live": "polite" });
  let connected = true;
  el.append(line);

  function draw() {
    const { words, isError } = statusOf(connected, model.get("text"), model.get("error"));
    line.textContent = words;
    line.title = words;
    line.classList.toggle("iw-error", isError);
  }

  onChange(model, ["text", "error"], draw);
  onConnection(source, signal, (isConnected) => {
    connected = isConnected;
    draw();
  });
}

export default { render };
