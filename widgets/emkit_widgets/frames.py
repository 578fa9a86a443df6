"""Frames of the detector, one at a time, with the electrons found in it marked."""

from collections.abc import Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from emkit_widgets.assets import script, style


class EventFrames(anywidget.AnyWidget):
    """Shows the frame that `names[index]` names; who gives the frames observes `index` and answers by `show` and `mark`."""

    _esm = script("frames.js")
    _css = style("scan.css")
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)
    picture = traitlets.Bytes(help="PNG").tag(sync=True)
    width = traitlets.Int(1, help="px of a frame").tag(sync=True)
    height = traitlets.Int(1, help="px of a frame").tag(sync=True)
    events = traitlets.Bytes(help="flat indices of electrons, uint32 in little endian").tag(sync=True)
    left_out = traitlets.Bytes(help="those of pixels that are X-rays").tag(sync=True)
    told = traitlets.Unicode("", help="the count, in words").tag(sync=True)

    def offer(self, names: Sequence[str]) -> None:
        """Let a person choose among these frames."""
        with self.hold_sync():
            self.names, self.index = list(names), min(self.index, max(len(names) - 1, 0))

    def show(self, picture: bytes, frame_shape: tuple[int, int]) -> None:
        """The picture of the chosen frame."""
        with self.hold_sync():
            (self.height, self.width), self.picture = frame_shape, picture

    def mark(self, events: NDArray[Any], left_out: NDArray[Any], told: str) -> None:
        """What was found in it, as flat indices of pixels."""
        with self.hold_sync():
            self.events, self.left_out, self.told = events.astype("<u4").tobytes(), left_out.astype("<u4").tobytes(), told

    @traitlets.validate("index")
    def _inside(self, proposal: Any) -> int:
        return int(np.clip(proposal["value"], 0, max(len(self.names) - 1, 0)))
