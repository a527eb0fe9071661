// Alone on the screen: a widget's sheet in a dialog, which Escape closes, and back in its place.

import { KEYS, make, taken } from "./dom.js";
import { say } from "./words.js";

/** Let a sheet be shown large: the button for it, and whether it is. It is the same sheet, so nothing is made anew.
 *
 * `root` is what it stands in, `focused` the element in it that gets the keyboard, `label` the dialog's name. */
export function enlargeable({ root, sheet, focused, label, signal }) {
  const dialog = make("dialog", { class: "iw iw-large iw-diagram", "aria-label": label });
  const button = make("button", { class: "iw-tool", type: "button", ...KEYS });
  let before = null; // what had the focus when it was made large
  root.append(dialog);

  function name() {
    const words = dialog.open ? say("back into the page") : say("alone on the screen");
    button.textContent = dialog.open ? "✕" : "⤢";
    button.setAttribute("aria-label", words);
    button.title = words;
  }

  button.addEventListener("click", () => {
    if (dialog.open) {
      dialog.close();
      return;
    }
    before = document.activeElement;
    root.style.minHeight = `${root.offsetHeight}px`; // what lies below in the page stays where it is
    dialog.append(sheet);
    dialog.showModal();
    focused.focus();
    name();
  });
  dialog.addEventListener("close", () => {
    root.prepend(sheet);
    root.style.minHeight = "";
    if (root.isConnected) (root.contains(before) ? before : focused).focus();
    name();
  }, { signal });
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    taken(event); // JupyterLab would leave the cell
    dialog.close();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the sheet
  });
  name();
  return { button, isOpen: () => dialog.open };
}
