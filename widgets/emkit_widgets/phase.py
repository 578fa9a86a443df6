"""A reconstructed phase as a picture, beside the true one where it is known."""

import html
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray
from tifffile import imread

from emkit.errors import PathError
from emkit_widgets.form import StepForm
from emkit_widgets.picture import grey_png

SIDE_PX = 320  # of a picture, about


class PhaseView(widgets.VBox):
    """The phase in a TIFF, bright where it is large, and with `truth`, another one, how well they agree.

    Both are shown from their 1st to their 99th percentile. Raises PathError where there is no such image.
    """

    def __init__(self, path: str | Path, truth: str | Path = "") -> None:
        shown = {"reconstructed": _read(Path(path))} | ({"planted": _read(Path(truth))} if truth else {})
        self.agreement = float("nan")
        pictures = widgets.HBox(
            [_picture(name, values) for name, values in shown.items()], layout=widgets.Layout(flex_flow="row wrap")
        )
        super().__init__([pictures])
        if truth and len({values.shape for values in shown.values()}) == 1:
            found, planted = (values[_inside(values)].ravel() for values in shown.values())
            self.agreement = float(np.corrcoef(found, planted)[0, 1])
            self.children = [pictures, widgets.HTML(f"The correlation of the two, without their borders, is {self.agreement:.2f}.")]


def phase_of(form: StepForm, truth: str | Path = "") -> widgets.VBox:
    """The phase that a form of `reconstruct_phase` writes, anew after each run."""
    return form.then(lambda ran: PhaseView(ran["out"], truth), "Shown when the phase is there.")


def _read(path: Path) -> NDArray[np.float64]:
    if not path.is_file():
        raise PathError(f"{path} does not exist, or is no file.")
    return np.asarray(imread(path), np.float64)


def _inside(values: NDArray[np.float64]) -> tuple[slice, ...]:
    return tuple(slice(n // 10, n - n // 10) for n in values.shape)


def _picture(name: str, values: NDArray[np.float64]) -> widgets.VBox:
    least, most = (float(value) for value in np.percentile(values, (1, 99)))
    times = max(1, round(SIDE_PX / max(values.shape)))
    png = grey_png(np.kron(values, np.ones((times, times))), least, most)
    caption = f"<b>{html.escape(name)}</b><br>{least:.3f} to {most:.3f} rad".replace("-", "\N{MINUS SIGN}")
    image = widgets.Image(value=png, format="png", layout=widgets.Layout(max_width="100%"))
    return widgets.VBox([image, widgets.HTML(caption)], layout=widgets.Layout(margin="0 12px 0 0"))
