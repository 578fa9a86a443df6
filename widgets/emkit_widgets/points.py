"""Two sections as they were imaged, side by side, to place points that are the same place in both; seen over each other at once."""

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from emkit_widgets.assets import script, style
from emkit_widgets.picture import grey_png

SHOWN_PX = 1024


class PointPicker(anywidget.AnyWidget):
    """Draws `first` and `second`; `pairs` are [y, x, y, x] in px of the sections. `on_use` hears them, or None for none."""

    _esm = script("points.js")
    _css = style("style.css")
    first = traitlets.Bytes(help="PNG").tag(sync=True)
    second = traitlets.Bytes(help="PNG").tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    step = traitlets.Int(1, help="px of a section that a shown one spans").tag(sync=True)
    pairs = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)

    def __init__(
        self,
        first: NDArray[np.generic],
        second: NDArray[np.generic],
        names: Sequence[str],
        on_use: Callable[[list[list[float]] | None], None],
    ) -> None:
        step = -(-max(*first.shape, *second.shape) // SHOWN_PX)
        super().__init__(first=_png(first, step), second=_png(second, step), names=list(names), step=step)
        self.on_msg(lambda _, message, __: on_use(message["use"]))


def _png(section: NDArray[Any], step: int) -> bytes:
    y, x = (size // step * step for size in section.shape)
    small = section[:y, :x].reshape(y // step, step, x // step, step).mean((1, 3), dtype=np.float32)
    low, high = (float(value) for value in np.percentile(small, (0.5, 99.5)))
    return grey_png(small, low, high)
