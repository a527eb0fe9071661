// Whether the kernel of a widget is still there. ipywidgets notices only a restart; a shutdown and a crash count too.

// In these states a kernel has lost its widgets.
const ENDED = new Set(["restarting", "autorestarting", "terminating", "dead"]);
const DISCONNECTED = "jupyter-widgets-disconnected"; // the class that ipywidgets gives to views of a lost kernel
const watched = new WeakSet(); // kernels

/** When its kernel ends, tell the manager, which tells all its models: from then on they send nothing. */
function watch(manager) {
  const kernel = manager.kernel;
  if (!kernel || watched.has(kernel)) return; // a saved or exported page has none
  watched.add(kernel);
  kernel.statusChanged?.connect((_kernel, status) => {
    if (ENDED.has(status)) manager.disconnect();
  });
  kernel.disposed?.connect(() => manager.disconnect());
}

/** Call `callback(connected)` now and whenever the kernel of a view is lost or found again. */
export function onConnection(model, el, callback) {
  const tell = () => callback(!el.classList.contains(DISCONNECTED));
  watch(model.widget_manager);
  model.on("comm_live_update", tell);
  tell();
}
