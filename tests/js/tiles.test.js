import assert from "node:assert/strict";
import test from "node:test";

import { extent, filling, fitting, layout, tileSize, wishedWidth } from "../../interp_widgets/widgets/kit/tiles.js";

test("a tile's longer side has the size asked for", () => {
  assert.deepEqual(tileSize(14, 14, 40), { width: 40, height: 40 });
  assert.deepEqual(tileSize(10, 20, 40), { width: 40, height: 20 });
  assert.deepEqual(tileSize(20, 10, 40), { width: 20, height: 40 });
  assert.deepEqual(tileSize(0, 0, 40), { width: 40, height: 40 });
});

test("tiles stand in rows of as many as were asked for", () => {
  const tile = { width: 40, height: 40 };
  const made = layout(6, tile, 4, wishedWidth(6, tile, 4));
  assert.equal(made.across, 4);
  assert.deepEqual(made.places[5], [48, 60]);
  assert.deepEqual([made.width, made.height], [184, 120]);
});

test("a narrow page has fewer in a row, and one at least", () => {
  const tile = { width: 40, height: 40 };
  assert.equal(layout(6, tile, 4, 110).across, 2);
  assert.equal(layout(6, tile, 4, 10).across, 1);
});

test("tiles that fill the room are about as large as wished, and their rows are full where that is possible", () => {
  assert.deepEqual(filling(18, 48, 400), { columns: 6, side: 52 }); // 7 would fit, 6 divides 18
  assert.deepEqual(filling(18, 48, 300), { columns: 5, side: 52 }); // neither 5 nor 4 divides it
  assert.deepEqual(filling(18, 48, 182), { columns: 3, side: 52 });
  assert.deepEqual(filling(3, 48, 400), { columns: 3, side: 52 }); // and no larger than that
  assert.equal(filling(18, 48, 10).columns, 1);
});

test("where a height is kept, tiles are as large as it lets them, and all of the page is in it", () => {
  assert.deepEqual(fitting(18, 48, 393, 216), { columns: 6, side: 52 }); // three rows of 72
  assert.deepEqual(fitting(18, 48, 435, 513), { columns: 4, side: 82 }); // five rows of 102; in fours of five: 79
  assert.deepEqual(fitting(2, 48, 435, 513), { columns: 2, side: 105 }); // no larger than 2.2 times
  for (const [room, height] of [[393, 216], [435, 513], [330, 264], [700, 300], [200, 700]]) {
    const { columns, side } = fitting(18, 48, room, height);
    const made = layout(18, { width: side, height: side }, columns, room);
    assert.equal(made.across, columns);
    assert.ok(made.width <= room && made.height <= height, `${made.width} x ${made.height} in ${room} x ${height}`);
  }
  assert.deepEqual(fitting(18, 48, 393, 60), filling(18, 48, 393)); // too low for a page: it takes what it needs
});

test("no tile overlaps another", () => {
  const tile = { width: 30, height: 50 };
  const { places } = layout(20, tile, 7, 170);
  for (const [i, [x, y]] of places.entries()) {
    for (const [otherX, otherY] of places.slice(0, i)) {
      const isApart = Math.abs(x - otherX) >= tile.width || Math.abs(y - otherY) >= tile.height;
      assert.ok(isApart, `tile ${i} at ${x}, ${y} lies on one at ${otherX}, ${otherY}`);
    }
  }
});

test("bars begin at zero and point to their side", () => {
  assert.deepEqual(extent(2, [2, -1], 0, false), { start: 50, length: 50, zero: 50 });
  assert.deepEqual(extent(-1, [2, -1], 0, false), { start: 25, length: 25, zero: 50 });
  assert.deepEqual(extent(1, [2, 1], 0, false), { start: 0, length: 50, zero: 0 });
  assert.deepEqual(extent(1, [2, 1], 0, true), { start: 50, length: 25, zero: 50 });
  assert.equal(extent(1, [1], 4, false).length, 25); // the longest bar is on another page
  assert.equal(extent(9, [9], 4, false).length, 100);
  assert.equal(extent(0, [0], 0, false).length, 0);
});
