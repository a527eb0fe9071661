import assert from "node:assert/strict";
import test from "node:test";

import { WHOLE, placeOf, pushed, revealing, zoomed } from "../../interp_widgets/widgets/kit/zoom.js";

test("the point that is zoomed about stays in its place", () => {
  const about = [0.3, 0.8];
  const first = zoomed(WHOLE, 2, [0.5, 0.5]);
  const point = [(about[0] - first.x) / first.scale, (about[1] - first.y) / first.scale];
  const [x, y] = placeOf(zoomed(first, 3, about), point);
  assert.ok(Math.abs(x - about[0]) < 1e-12 && Math.abs(y - about[1]) < 1e-12);
});

test("the sheet always covers the stage, however far it is pushed", () => {
  const seen = zoomed(WHOLE, 4, [0.5, 0.5]);
  assert.deepEqual(pushed(seen, 9, -9), { scale: 4, x: 0, y: -3 });
  assert.deepEqual(pushed(WHOLE, 1, 1), WHOLE);
});

test("out of the whole and in beyond the limit lead nowhere; 0 leads back", () => {
  assert.deepEqual(zoomed(WHOLE, 0.5, [0, 0]), { scale: 1, x: 0, y: 0 });
  assert.equal(zoomed(zoomed(WHOLE, 10, [0, 0]), 10, [0, 0]).scale, 16);
  assert.deepEqual(zoomed(zoomed(WHOLE, 10, [1, 1]), 0, [0, 0]), WHOLE);
});

test("a point out of sight is brought to the edge, one in sight moves nothing", () => {
  const seen = zoomed(WHOLE, 2, [0, 0]); // the upper left quarter
  assert.deepEqual(placeOf(revealing(seen, [0.9, 0.25]), [0.9, 0.25]), [1, 0.5]);
  assert.deepEqual(revealing(seen, [0.25, 0.25]), seen);
});
