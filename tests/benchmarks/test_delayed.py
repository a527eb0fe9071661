"""The proxy of the browser benchmark: slow, but nothing else."""

from __future__ import annotations

import asyncio
import time

from tests.benchmarks.delayed import HOST, serve

DELAY = 0.05


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(2**16):
        writer.write(content)
    writer.close()


async def _exchange(content: bytes, times: int) -> tuple[bytes, list[float]]:
    """What comes back of a content sent so many times, and the seconds each round trip took."""
    behind = await asyncio.start_server(_echo, HOST, 0)
    proxy = await serve(behind.sockets[0].getsockname()[1], DELAY)
    seconds, back = [], b""
    async with behind, proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.sockets[0].getsockname()[1])
        for _ in range(times):
            begun = time.perf_counter()
            writer.write(content)
            back += await reader.readexactly(len(content))
            seconds.append(time.perf_counter() - begun)
        writer.write_eof()
        back += await reader.read()  # nothing more, then the end
        writer.close()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    return back, seconds


def test_a_round_trip_takes_twice_the_delay() -> None:
    back, seconds = asyncio.run(_exchange(b"move", 4))
    assert back == b"move" * 4
    assert min(seconds) >= 2 * DELAY


def test_megabytes_pass_whole_and_in_order_without_being_delayed_chunk_by_chunk() -> None:
    content = bytes(range(256)) * 2**14  # 4 MB, 64 chunks
    back, seconds = asyncio.run(_exchange(content, 1))
    assert back == content
    assert seconds[0] < 32 * DELAY
