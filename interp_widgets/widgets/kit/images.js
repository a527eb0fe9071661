// Images that a user brings, dropped on an element, pasted or chosen: they travel to the kernel as they are.

const LARGEST = 32e6; // bytes: more would be refused on the way, without a word

/** Send a file; of one that is too large the name and size alone, so that the kernel can say so. */
export async function sendImage(model, file) {
  const about = { type: "image", name: file.name || "image", size: file.size };
  if (file.size > LARGEST) {
    model.send(about);
    return;
  }
  const content = await file.arrayBuffer().catch(() => new ArrayBuffer(0)); // a folder: the kernel says it is no image
  model.send(about, undefined, [content]);
}

/** Take images that are dropped on an element, or pasted while it has the focus. */
export function acceptImages(element, model, signal) {
  const mark = (isOver) => element.classList.toggle("iw-drop", isOver);
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

  element.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // says that it may be dropped here
    event.stopPropagation();
    event.dataTransfer.dropEffect = "copy";
    mark(true);
  }, { signal });
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(event.relatedTarget)) mark(false);
  }, { signal });
  element.addEventListener("drop", (event) => {
    mark(false);
    take(event, event.dataTransfer?.files);
  }, { signal });
  element.addEventListener("paste", (event) => take(event, event.clipboardData?.files), { signal });

  function take(event, files) {
    if (!files?.length) return;
    event.preventDefault();
    event.stopPropagation();
    for (const file of files) sendImage(model, file);
  }
}
