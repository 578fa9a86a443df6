"""A section to paint on, with what a model predicts laid over it."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from math import ceil, log2
from typing import Any

import anywidget
import traitlets

from emkit.errors import EmkitError
from emkit.server.easel import Easel, Window
from emkit_widgets.assets import script, style

WITHOUT_MODEL = "no model yet"
WIDEST_PX = 1024  # of a window, as in paint.js: what is wider is shown at a coarser level


class PaintView(anywidget.AnyWidget):
    """Draws a window of the easel's volume, hands on what is painted there, and predicts it. The model is the easel's.

    `place` is the middle of the window, (z, y, x) px at full size, `extent` how many of them it is wide. `places` are where else to
    look, as the first and last voxel of a box; `value` the class that is painted: 1 interior, 2 membrane. `on_train` hears of the
    button.
    """

    _esm = script("paint.js")
    _css = style("paint.css")

    levels = traitlets.List(traitlets.List(traitlets.Int()), help="the shape of each level").tag(sync=True)
    pixel_nm = traitlets.Float().tag(sync=True)
    place = traitlets.Tuple(traitlets.Float(), traitlets.Float(), traitlets.Float()).tag(sync=True)
    extent = traitlets.Int(512).tag(sync=True)
    places = traitlets.List(traitlets.List(traitlets.List(traitlets.Float()))).tag(sync=True)
    tool = traitlets.Enum(["move", "brush", "within", "fill", "erase"], default_value="brush").tag(sync=True)
    value = traitlets.Int(2).tag(sync=True)
    radius = traitlets.Float(4.0, help="px at full size").tag(sync=True)
    threshold = traitlets.Float(0.5, help="from which probability on there is membrane, for tools that keep to it").tag(sync=True)
    opacity = traitlets.Float(0.5, help="of the prediction").tag(sync=True)
    model_name = traitlets.Unicode(WITHOUT_MODEL).tag(sync=True)
    counted = traitlets.Unicode("").tag(sync=True)
    busy = traitlets.Unicode("", help="what is being done").tag(sync=True)
    trouble = traitlets.Unicode("").tag(sync=True)

    def __init__(self, easel: Easel, on_train: Callable[[], None], **kwargs: Any) -> None:
        depth, height, width = easel.shape
        given = {"place": (depth // 2, height / 2, width / 2), "pixel_nm": easel.voxel_size_nm[2]} | kwargs
        super().__init__(levels=[list(shape) for shape in easel.level_shapes], **given)
        self.easel, self._on_train = easel, on_train
        self._shown: Window | None = None
        self.told: Future[None] = Future()  # done when the last prediction is shown
        self._model_changed()
        self.on_msg(self._hear)

    def use(self, model: Any) -> None:
        """Predict with this model from now on, and what is shown at once."""
        self.easel.use(model)
        self._model_changed()
        if self._shown:
            self.predict([self._shown], self._shown)

    def _model_changed(self) -> None:
        self.model_name = self.easel.model.name if self.easel.model else WITHOUT_MODEL
        self.counted = str(self.easel.strokes.round)

    def _hear(self, _: Any, message: dict[str, Any], __: list[memoryview]) -> None:
        self.trouble = ""
        window = self._shown = Window(**message["window"])
        try:
            match message["do"]:
                case "look":
                    self._show(window)
                case "paint":
                    tool, points = message["tool"], message["points"]
                    self.easel.paint(tool, message["value"], points, message["radius"], window, self.threshold)
                    self._show_painted(window)
                case "undo":
                    self._undo(window)
                case "predict":
                    self.predict([window], window)
                case "places":
                    self.predict([window for box in self.places for window in self.windows_of(box)], window)
                case "train":
                    self._on_train()
        except (EmkitError, OSError) as refused:
            self.trouble = str(refused)
            self.send({"refused": True})

    def predict(self, windows: Sequence[Window], shown: Window) -> "Future[None]":
        """Ask the model about windows, beside the kernel's other work; then show one. The future is done when it is shown."""
        told: Future[None] = Future()
        self.told = told
        self.busy = "Predicting"

        def work() -> None:
            try:
                for done, window in enumerate(windows, 1):
                    self.busy = f"Predicting {done} of {len(windows)}" if len(windows) > 1 else "Predicting"
                    self.easel.predict(window)
                self._show(shown)
            except (EmkitError, OSError) as refused:
                self.trouble = str(refused)
            finally:
                self.busy = ""
                told.set_result(None)

        threading.Thread(target=work, name="emkit-predict", daemon=True).start()
        return told

    def _undo(self, window: Window) -> None:
        z = self.easel.strokes.undo()
        if z is not None and z != window.z:
            self.place = (z, *self.place[1:])  # the page asks for that section
        self._show_painted(window)

    def _show(self, window: Window) -> None:
        found = self.easel.look(window)
        pixels = [part.tobytes() for part in (found.gray, found.painted, found.probability, found.known)]
        self.send({"picture": vars(window)}, pixels)

    def _show_painted(self, window: Window) -> None:
        self.counted = str(self.easel.strokes.round)
        self.send({"painted": vars(window)}, [self.easel.look(window).painted.tobytes()])

    def windows_of(self, box: Sequence[Sequence[float]]) -> list[Window]:
        """As much as is shown, around a point; of a box all, section by section. At the level that is shown."""
        (z, y, x), (w, v, u) = box
        shapes = self.easel.level_shapes
        level = min(max(0, ceil(log2(self.extent / WIDEST_PX))), len(shapes) - 1)
        depth, height, width = shapes[level]
        (top, high), (left, wide) = (_span(a, b, self.extent, size, 2**level) for a, b, size in ((y, v, height), (x, u, width)))
        first, last = (min(max(int(at), 0), depth - 1) for at in (z, max(z, w - 1) if w > z else z))
        return [Window(section, top, left, high, wide, level) for section in range(first, last + 1)]


def _span(low: float, high: float, extent: int, size: int, scale: int) -> tuple[int, int]:
    """The first pixel and how many, of an axis of this size at a level; `low`, `high` and `extent` are px at full size."""
    middle, n = (low + high) / 2 / scale, min(size, round(((high - low) or extent) / scale) or 1)
    return min(max(round(middle - n / 2), 0), size - n), n
