import assert from "node:assert/strict";
import test from "node:test";

import { onConnection } from "../../interp_widgets/widgets/kit/connection.js";

/** What can be listened to, as ipywidgets' models and JupyterLab's kernels can. */
class Signal {
  heard = new Set();

  connect(callback) {
    this.heard.add(callback);
  }

  emit(...values) {
    for (const callback of [...this.heard]) callback(...values);
  }
}

/** A model on a kernel; its manager tells it when the kernel is lost. */
function connected(kernel) {
  const live = new Signal();
  const source = { comm_live: true, on: (_name, callback) => live.connect(callback) };
  source.off = (_name, callback) => live.heard.delete(callback);
  const disconnect = () => {
    source.comm_live = false;
    live.emit();
  };
  source.widget_manager = { kernel, disconnect };
  return source;
}

const kernelOf = () => ({ statusChanged: new Signal(), disposed: new Signal() });

for (const status of ["restarting", "autorestarting", "terminating", "dead"]) {
  test(`a kernel that is ${status} is lost`, () => {
    const kernel = kernelOf();
    const said = [];
    onConnection(connected(kernel), null, (isConnected) => said.push(isConnected));
    kernel.statusChanged.emit(kernel, status);
    assert.deepEqual(said, [true, false]);
  });
}

test("a kernel that was shut down is lost, a busy one is not", () => {
  const kernel = kernelOf();
  const said = [];
  onConnection(connected(kernel), null, (isConnected) => said.push(isConnected));
  kernel.statusChanged.emit(kernel, "busy");
  assert.deepEqual(said, [true]);
  kernel.disposed.emit(kernel);
  assert.deepEqual(said, [true, false]);
});

test("a page without a kernel is told once that it has none", () => {
  const source = connected(null);
  const said = [];
  source.comm_live = false;
  onConnection(source, null, (isConnected) => said.push(isConnected));
  assert.deepEqual(said, [false]);
});

test("a kernel is watched once, however many widgets it has, and a closed view hears nothing", () => {
  const kernel = kernelOf();
  const source = connected(kernel);
  const closing = new AbortController();
  const said = [];
  onConnection(source, closing.signal, (isConnected) => said.push(isConnected));
  onConnection(source, closing.signal, () => {});
  assert.equal(kernel.statusChanged.heard.size, 1);
  closing.abort();
  kernel.disposed.emit(kernel);
  assert.deepEqual(said, [true]);
});
