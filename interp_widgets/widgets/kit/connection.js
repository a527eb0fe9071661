// Whether a widget's kernel is still there. ipywidgets notices only a restart; here a shutdown and a crash count too.

// In these states a kernel has lost its widgets.
const ENDED = new Set(["restarting", "autorestarting", "terminating", "dead"]);
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

/** Call `callback(connected)` now and whenever the kernel is lost or found again.
 *
 * `source` is the model that holds the widget's code. A widget's own model cannot be asked: anywidget hands out a part
 * of it only, and takes away what its view hears of the connection. */
export function onConnection(source, signal, callback) {
  const tell = () => callback(source.comm_live);
  watch(source.widget_manager);
  source.on("comm_live_update", tell);
  signal?.addEventListener("abort", () => source.off("comm_live_update", tell));
  tell();
}
