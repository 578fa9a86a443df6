"""The websocket of one kernel, for widgets only.

Voila and jupyter_server build a list as long as the first eight bytes of a frame say, so one frame of a guest would eat
all memory and stop everybody: a frame is checked as a whole before either of them sees it. Only the binary protocol
`v1.kernel.websocket.jupyter.org` is spoken (the older ones are parsed elsewhere), and only messages of widgets pass.
"""

import json
from typing import Any

from tornado import web
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from emkit_hub.dashboards.guard import Guard

PROTOCOL = "v1.kernel.websocket.jupyter.org"
MESSAGES = ("comm_open", "comm_close", "comm_msg", "comm_info_request", "kernel_info_request")
CHANNELS = (b"shell", b"control", b"stdin")
MAX_PARTS = 64
MAX_BYTES = 16 * 2**20
NOT_BINARY, MALFORMED = 1003, 1007  # close codes of RFC 6455


class FrameError(ValueError):
    """A frame that is not a message of the protocol."""


def check_frame(frame: bytes) -> None:
    """Raise FrameError unless `frame` is one whole message.

    Layout, little-endian unsigned 64-bit: the count n of offsets, n offsets, then channel, header, parent header,
    metadata, content and buffers without a gap; the last offset is the length of the frame.
    Source: https://jupyter-server.readthedocs.io/en/latest/developers/websocket-protocols.html
    """
    count = int.from_bytes(frame[:8], "little")
    if not 6 <= count <= MAX_PARTS + 2 or len(frame) < 8 * (count + 1):
        raise FrameError(f"found {count} offsets in {len(frame)} bytes; needed 6 to {MAX_PARTS + 2}, all there")
    offsets = [int.from_bytes(frame[8 * i : 8 * i + 8], "little") for i in range(1, count + 1)]
    if offsets[0] != 8 * (count + 1) or offsets[-1] != len(frame) or offsets != sorted(offsets):
        raise FrameError(f"found offsets {offsets}; needed them to rise from {8 * (count + 1)} to {len(frame)}")
    if frame[offsets[0] : offsets[1]] not in CHANNELS:
        raise FrameError(f"found the channel {frame[offsets[0] : offsets[1]]!r}; needed one of {CHANNELS}")
    for part in range(1, 5):
        try:
            value = json.loads(frame[offsets[part] : offsets[part + 1]])
        except (ValueError, RecursionError) as error:
            raise FrameError(f"part {part} is no JSON: {error}") from error
        if not isinstance(value, dict) or (part == 1 and not isinstance(value.get("msg_type"), str)):
            raise FrameError(f"part {part} is no JSON object of a message")


class Channels(Guard, VoilaKernelWebsocketHandler):
    """Widgets' messages between one guest's page and their kernel."""

    _counted = False

    async def get(self, kernel_id: str) -> None:
        """Open the websocket, for clients that speak the protocol."""
        if PROTOCOL not in self.request.headers.get("Sec-WebSocket-Protocol", ""):
            raise web.HTTPError(400, f"needed the websocket protocol {PROTOCOL}")
        await super().get(kernel_id=kernel_id)

    async def open(self, kernel_id: str) -> None:
        """The connection stands; one that fails on the way to its kernel is not counted."""
        self.settings["places"].connect(kernel_id)
        self._counted = True
        try:
            await super().open(kernel_id)
        except BaseException:
            self._leave()  # tornado does not call `on_close` for it
            raise

    def on_close(self) -> None:
        """The connection has ended, from either side."""
        self._leave()
        super().on_close()

    def _leave(self) -> None:
        if self._counted:
            self._counted = False
            self.settings["places"].disconnect(self.kernel_id)

    def on_message(self, ws_message: Any) -> None:
        """Hand a whole message on; anything else ends the connection."""
        if not isinstance(ws_message, bytes):
            self.close(NOT_BINARY, "binary messages only")
            return
        try:
            check_frame(ws_message)
        except FrameError as error:
            self.log.warning("%s sent a malformed frame: %s", self.guest, error)
            self.close(MALFORMED, "malformed message")
            return
        super().on_message(ws_message)
