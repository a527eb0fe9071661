"""The JupyterLab server behind ``interp-widgets demo``, in this process, with kernel messages that do not wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyterlab.labapp import LabApp

__all__ = ["PromptConnection", "serve"]


class PromptConnection(ZMQChannelsWebsocketConnection):
    """A browser's websocket to a kernel that sends each message at once.

    By default TCP holds a small message back until the one before it is acknowledged (Nagle's algorithm). A slider
    sends and receives nothing but small messages: without the wait it moves twice as often a second.
    """

    def connect(self) -> Any:
        """The connection to the kernel's channels, once they are open."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


def serve(arguments: Sequence[str], announce: Callable[[], None]) -> None:
    """Run JupyterLab until it is stopped; ``announce`` is called as soon as it accepts connections."""
    server = LabApp.initialize_server(
        argv=[f"--ServerApp.kernel_websocket_connection_class={__name__}.{PromptConnection.__name__}", *arguments]
    )
    server.io_loop.add_callback(announce)  # behind the callback that binds the port
    server.start()
