// A button for an image of one's own: chosen as a file, dropped on it, or pasted.

import { KEYS, make } from "./dom.js";
import { acceptImages, sendImage } from "./images.js";
import { say } from "./words.js";

function render({ model, el, signal }) {
  const title = say("Look at an image of your own: choose a file, drop it here or on the picture, or paste it there");
  const button = make("button", { class: "iw-text-button", type: "button", title, ...KEYS }, say("Open image…"));
  const chosen = make("input", { type: "file", accept: "image/*", hidden: true });
  el.append(make("div", { class: "iw iw-source" }, button, chosen));

  button.addEventListener("click", () => chosen.click());
  chosen.addEventListener("change", () => {
    if (chosen.files.length) sendImage(model, chosen.files[0]);
    chosen.value = ""; // the same file again is a choice, too
  });
  acceptImages(button, model, signal);
}

export default { render };
