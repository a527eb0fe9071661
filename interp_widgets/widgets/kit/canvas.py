"""The only module that touches ipycanvas: draw safely, and draw again when a page comes back.

``hold_canvas`` has no ``finally``: an exception inside it silences every canvas of the kernel, and so does one NaN in a
command. So what is drawn is a list of commands made beforehand, checked here, and sent in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ipycanvas import Canvas, hold_canvas

from interp_widgets.session.turn import TURN

__all__ = ["Command", "Surface"]

Command = tuple[Any, ...]  # ("fill_rect", x, y, width, height) calls a method, ("fill_style", "#888") sets a property
_PROPERTIES = frozenset(
    {
        "fill_style",
        "stroke_style",
        "line_width",
        "font",
        "text_align",
        "text_baseline",
        "global_alpha",
        "line_cap",
    }
)
SCALE = 2  # canvas pixels per CSS pixel, so that lines and letters are sharp on HiDPI screens too


class Surface:
    """A canvas of ``width`` x ``height`` CSS pixels that shows the last list of commands, also after a page reload."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.canvas = Canvas(
            width=width * SCALE,
            height=height * SCALE,
            layout={"width": f"{width}px", "height": f"{height}px"},
        )
        self._commands: list[Command] = []
        self.canvas.on_client_ready(self._send)

    def resize(self, width: int) -> None:
        """Another width in CSS pixels; what was drawn is lost, draw again."""
        self.width = width
        self.canvas.width = width * SCALE
        self.canvas.layout.width = f"{width}px"

    def draw(self, commands: list[Command]) -> None:
        """Replace the picture.

        Raises:
            ValueError: a number that is not finite; nothing is drawn then.
        """
        self._check(commands)
        self._commands = commands
        self._send()

    @staticmethod
    def _check(commands: list[Command]) -> None:
        for command in commands:
            numbers = [value for value in command[1:] if isinstance(value, float)]
            if not all(map(math.isfinite, numbers)):
                raise ValueError(f"a drawing command must hold finite numbers, got {command}")

    def amend(self, commands: list[Command], whole: list[Command]) -> None:
        """Draw ``commands`` over the picture, which then looks as if ``whole`` had been drawn."""
        self._check(whole)
        self._commands = whole
        self._send_commands(commands)

    def on_hover(self, callback: Callable[[float, float], None]) -> None:
        """Call back with the mouse's place in CSS pixels; (-1, -1) when it leaves."""
        self.canvas.on_mouse_move(lambda x, y: callback(x / SCALE, y / SCALE))
        self.canvas.on_mouse_out(lambda _x, _y: callback(-1.0, -1.0))

    def on_click(self, callback: Callable[[float, float], None]) -> None:
        """Call back with the place of a click in CSS pixels."""
        self.canvas.on_mouse_down(lambda x, y: callback(x / SCALE, y / SCALE))

    def on_key(self, callback: Callable[[str], None]) -> None:
        """Call back with the name of a key, such as ``"ArrowLeft"``. The browser gets no key here, not even Tab."""
        self.canvas.on_key_down(lambda key, *_modifiers: callback(key))

    def _send(self) -> None:
        self._send_commands([("clear_rect", 0, 0, self.width, self.height), *self._commands])

    def _send_commands(self, commands: list[Command]) -> None:
        manager = self.canvas._canvas_manager  # noqa: SLF001 - see below
        with TURN:
            # A new page has never been told which canvas is current (ipycanvas issue 322).
            manager._current_canvas = None  # noqa: SLF001 - there is no public way
            holding = hold_canvas()
            holding.__enter__()
            try:
                self.canvas.reset_transform()
                self.canvas.scale(SCALE, SCALE)
                for name, *values in commands:
                    if name in _PROPERTIES:
                        setattr(self.canvas, name, values[0])
                    else:
                        getattr(self.canvas, name)(*values)
            finally:
                holding.__exit__(None, None, None)

    def close(self) -> None:
        """Close the canvas."""
        self.canvas.close()
