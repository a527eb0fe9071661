"""A TCP proxy that delays what passes: ``python -m tests.benchmarks.delayed PORT SECONDS`` stands in front of PORT.

It looks into nothing, so HTTP and websockets go through alike. Each direction is a queue of (when due, bytes): order is
kept, bandwidth is unlimited, and a round trip takes twice ``SECONDS`` more. It prints the port it listens on.

One thing a real network has and this has not: the acknowledgements of TCP come at once from the proxy, so a sender that
waits for them (Nagle's algorithm) waits shorter here. `interp-widgets demo` does not wait for them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOST = "127.0.0.1"
CHUNK = 2**16
Queue = asyncio.Queue[tuple[float, bytes]]


async def serve(port: int, seconds: float) -> asyncio.Server:
    """A listening proxy in front of ``port``; each direction takes ``seconds`` longer."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * seconds)  # TCP's handshake is a round trip
        try:
            behind_reader, behind_writer = await asyncio.open_connection(HOST, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass(reader, behind_writer, seconds), _pass(behind_reader, writer, seconds))
        for end in (writer, behind_writer):
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()

    return await asyncio.start_server(connect, HOST, 0)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Hand on everything read, late; at the end say so, and the other direction may still go on."""
    queue: Queue = asyncio.Queue()
    reading = asyncio.create_task(_read(reader, queue, seconds))
    now = asyncio.get_running_loop().time
    try:
        while True:
            due, content = await queue.get()
            await asyncio.sleep(due - now())
            if not content:
                writer.write_eof()
                break
            writer.write(content)
            await writer.drain()
    except OSError:  # nobody listens any more: the other direction ends too
        writer.close()
    await reading


async def _read(reader: asyncio.StreamReader, queue: Queue, seconds: float) -> None:
    now = asyncio.get_running_loop().time
    content = b"?"
    while content:
        try:
            content = await reader.read(CHUNK)
        except ConnectionError:
            content = b""
        queue.put_nowait((now() + seconds, content))


@contextmanager
def delayed(port: int, seconds: float) -> Iterator[int]:
    """The port of a proxy in a process of its own, in front of ``port``."""
    command = [sys.executable, "-m", "tests.benchmarks.delayed", str(port), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    with process.stdout as printed:
        try:
            yield int(printed.readline())
        finally:
            process.terminate()
            process.wait()


async def _main(port: int, seconds: float) -> None:
    server = await serve(port, seconds)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
