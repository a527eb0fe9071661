// A menu that takes a picture home: as a file, over the clipboard, and with the code that makes it.

import { onConnection } from "./connection.js";
import { KEYS, bytes, identity, make } from "./dom.js";
import { say } from "./words.js";

const TYPES = { png: "image/png", svg: "image/svg+xml", code: "text/plain" };
const GAP = 4; // CSS pixels around the menu
const READ_BY_THEN = 60_000; // milliseconds after which no browser reads a download any more

/** Why nothing is made, in words for a person. */
export class Refusal extends Error {}

/** What a view asks of the kernel; `ask(kind)` promises `{ name, data }`, an answer has the id of its order. */
export function orders(model) {
  const waiting = new Map(); // how to settle each promise, by id

  model.on("msg:custom", (message, buffers) => {
    const order = waiting.get(message.id);
    if (!order) return; // another view's
    waiting.delete(message.id);
    if (message.type === "made") order.resolve({ name: message.name, data: bytes(buffers[0]) });
    else order.reject(new Refusal(message.reason));
  });
  return {
    ask(kind) {
      const id = identity("iw-order");
      const answer = new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
      });
      model.send({ type: "make", kind, id });
      return answer;
    },
    /** Nobody answers any more. */
    refuse(reason) {
      for (const order of waiting.values()) order.reject(new Refusal(reason));
      waiting.clear();
    },
  };
}

/** Where the menu stands in a window: below its button, and not beyond the right edge. */
export function placeOf(button, menuWidth, windowWidth) {
  const left = Math.max(GAP, Math.min(button.left, windowWidth - menuWidth - GAP));
  return { left, top: button.bottom + GAP };
}

/** Put what the kernel still makes on the clipboard; false where the page has none, or may not.
 *
 * To be called while a click is handled: a browser takes what comes later for a page that writes by itself. */
export async function toClipboard(answer, type, page = globalThis) {
  const clipboard = page.navigator?.clipboard;
  if (!clipboard?.write || !page.ClipboardItem) return false; // http, or an old browser
  const blob = answer.then(({ data }) => new Blob([data], { type }));
  try {
    await clipboard.write([new page.ClipboardItem({ [type]: blob })]);
    return true;
  } catch {
    await answer; // where the kernel refused, that is the reason
    return false;
  }
}

function download({ name, data }, type) {
  const url = URL.createObjectURL(new Blob([data], { type }));
  const link = make("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), READ_BY_THEN);
}

function render({ model, el, signal, source }) {
  const id = identity("iw-save");
  const opener = make(
    "button", { type: "button", class: "iw-text-button", popovertarget: id, ...KEYS }, say("Save"),
  );
  const status = make("div", { class: "iw-save-status", role: "status", "aria-live": "polite" });
  const code = make("textarea", {
    class: "iw-save-code", readonly: true, hidden: true, rows: 8, spellcheck: "false", wrap: "off",
    "aria-label": say("the code"), ...KEYS,
  });
  const entries = [
    entry(say("Download PNG"), () => toFile("png")),
    entry(say("Download SVG"), () => toFile("svg")),
    entry(say("Copy picture"), copyPicture),
    entry(say("Copy code"), copyCode),
  ];
  entries[0].autofocus = true; // the keyboard goes on in the menu; Escape brings it back
  const menu = make(
    "div",
    { class: "iw-save-menu", id, popover: "auto", role: "group", "aria-label": say("Save") },
    ...entries, status, code,
  );
  opener.title = say("take the picture home: as a file, over the clipboard, or as the code that makes it");
  el.append(make("div", { class: "iw iw-save" }, opener, menu));
  const kernel = orders(model);
  let working = false;

  function entry(words, action) {
    const button = make("button", { type: "button", class: "iw-save-entry", ...KEYS }, words);
    button.addEventListener("click", () => run(action), { signal });
    return button;
  }

  /** One thing at a time. The buttons are not disabled meanwhile: they would lose the keyboard. */
  async function run(action) {
    if (working) return;
    working = true;
    tell(say("preparing…"));
    code.hidden = true;
    try {
      tell(await action());
    } catch (error) {
      tell(error.message, true);
      if (!(error instanceof Refusal)) throw error;
    } finally {
      working = false;
    }
  }

  function tell(words, isError = false) {
    status.textContent = words;
    status.classList.toggle("iw-error", isError);
  }

  async function toFile(kind) {
    const answer = await kernel.ask(kind);
    download(answer, TYPES[kind]);
    return say("saved as {name}", { name: answer.name });
  }

  async function copyPicture() {
    const isCopied = await toClipboard(kernel.ask("png"), TYPES.png);
    if (isCopied) return say("picture copied");
    return say("this page may not write to the clipboard (it takes https, and permission): download the PNG");
  }

  async function copyCode() {
    const answer = kernel.ask("code");
    const isCopied = await toClipboard(answer, TYPES.code);
    if (isCopied) return say("code copied");
    code.value = new TextDecoder().decode((await answer).data);
    code.hidden = false;
    code.focus();
    code.select();
    code.scrollTop = 0; // its first line is seen
    return say("this page may not write to the clipboard (it takes https, and permission): copy the code from here");
  }

  function stand() {
    const { left, top } = placeOf(opener.getBoundingClientRect(), menu.offsetWidth, window.innerWidth);
    menu.style.left = `${left}px`;
    menu.style.top = `${top}px`;
  }

  menu.addEventListener("beforetoggle", stand, { signal });
  menu.addEventListener("toggle", stand, { signal }); // it has a width now
  document.addEventListener("scroll", stand, { capture: true, passive: true, signal });
  window.addEventListener("resize", stand, { signal });
  onConnection(source, signal, (isConnected) => {
    const lost = say("not connected: run the cell again to save its picture");
    for (const button of entries) button.disabled = !isConnected;
    if (!isConnected) kernel.refuse(lost);
    tell(isConnected ? "" : lost);
  });
}

export default { render };
