"""Thresholds chosen by eye before a scan is counted: the histogram with both lines, and what they make of some frames.

What is estimated, counted and refused is so by the functions that the step calls; here it is shown. Axis order is (sy, sx, ky, kx).
"""

from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, Literal, Self

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from emkit.count import CountedScan, EstimatedThresholds, Thresholds, correct_rows, count_frames, estimate_thresholds
from emkit.count.definition import corrected
from emkit.count.thresholds import check_thresholds
from emkit.errors import EmkitError, ParameterError
from emkit.io.sectors import open_sectors
from emkit.params import Call
from emkit.steps.counting import read_dark, sampled
from emkit_widgets.form import StepForm
from emkit_widgets.frames import EventFrames
from emkit_widgets.messages import note_message, refusal_message
from emkit_widgets.picture import grey_png
from emkit_widgets.thresholds import ThresholdLines

LINES = ("background", "xray")
SHOWN = 16  # frames that can be looked at
# fields of the form that a sample is made of
FROM = ("source", "dark", "scan_shape", "samples", "background_sigmas", "xray_sigmas", "row_dark", "ties")
WHITE_SD = 40.0  # of the noise, above it: a usual electron


@dataclass(frozen=True)
class Sample:
    """Some frames of a scan (n, ky, kx), the dark that is subtracted from them, and the thresholds estimated from more."""

    frames: NDArray[np.uint16]
    names: tuple[str, ...]
    dark: NDArray[np.float32] | None
    ties: Literal["keep", "drop"]
    estimated: EstimatedThresholds

    @classmethod
    def of(cls, call: Call) -> Self:
        """As this call of `count_scan` would draw and estimate it. EmkitError where that cannot be."""
        given = call.values
        raw = open_sectors(given["source"], scan_shape=given["scan_shape"])
        dark, chosen = read_dark(given["dark"], raw.frame_shape), sampled(raw, given["samples"])
        frames, every = raw.read(chosen), -(-len(chosen) // SHOWN)
        found = estimate_thresholds(frames, dark, None, len(frames), given["background_sigmas"], given["xray_sigmas"])
        names = tuple("frame {} (sy={}, sx={})".format(k, *divmod(k, raw.scan_shape[1])) for k in chosen[::every])
        shown = frames[::every].copy()  # the others are let go
        if (by := given["row_dark"]) != "none":
            shown = correct_rows(shown, estimate_thresholds(frames, samples=len(frames)).noise_mean, by)
        return cls(shown, names, dark, given["ties"], found)

    def doubt(self, k: int, thresholds: Thresholds) -> str:
        """What one of them says against thresholds, in a line; empty if nothing."""
        return check_thresholds(self.frames[k : k + 1], thresholds, self.dark).partition("\n")[0]

    def count(self, thresholds: Thresholds) -> CountedScan:
        """The electrons of these frames."""
        return count_frames(self.frames, thresholds, self.dark, ties=self.ties)

    def values(self, k: int) -> NDArray[Any]:
        """v = raw - dark of one of them, (ky, kx)."""
        return corrected(self.frames[k], self.dark)


class ThresholdsView(widgets.VBox):
    """The histogram of the scan that a form of `count_scan` names, and some of its frames with the electrons marked.

    Lines that are moved fill the form's fields, numbers typed there move the lines; empty fields leave the estimate to the step.
    """

    def __init__(self, form: StepForm) -> None:
        self.form = form
        self.sample: Sample | None = None
        self._made_of: dict[str, Any] = {}
        self.lines, self.frames = ThresholdLines(), EventFrames()
        self.again = widgets.Button(description="Estimate again", icon="repeat")
        self.again.tooltip = "Back to what the frames tell; the form's fields are emptied"
        self.message = widgets.HTML().add_class("emkit-message")
        told = widgets.HBox([self.again, self.message]).add_class("emkit-buttons")
        super().__init__([widgets.HBox([widgets.VBox([self.lines, told]), self.frames]).add_class("emkit-chosen")])
        self.add_class("emkit-scan")
        self.lines.observe(lambda _: self._moved(), names=LINES)
        self.frames.observe(lambda _: self._show_frame(), names="index")
        self.again.on_click(lambda _: self.estimate_again())
        for name in LINES:
            form.fields[name].entry.observe(lambda _: self._typed(), names="value")
        for name in FROM:
            form.fields[name].entry.observe(lambda _: self._say(), names="value")
        self.look()

    def look(self) -> None:
        """Read a sample of the frames that the form names, and show it."""
        self._hide("none")
        try:
            call = self.form.call()
            self.sample = Sample.of(call)
            self._made_of = {name: self.form.fields[name].entry.value for name in FROM}
        except EmkitError as refused:
            self.sample, self.message.value = None, refusal_message(refused)
            return
        self._hide(None)
        found = self.sample.estimated
        self.frames.offer(self.sample.names)
        self._show_frame()
        whole = self.sample.values(0).dtype.kind == "i"
        self.lines.show(found, *(self._given() or (found.background, found.xray)), begins=found.first_adu - 0.5 * whole)
        self._mark()
        self._say()

    def _hide(self, display: str | None) -> None:
        self.lines.layout.display = self.frames.layout.display = display

    def estimate_again(self) -> None:
        """Forget what was dragged or typed: the step estimates, and so does this."""
        for name in LINES:
            self.form.fields[name].fill(None)
        self.look()

    def _given(self) -> tuple[float, float] | None:
        """The numbers in the form, to the digits that the lines have; None where one is missing, or is none."""
        try:
            background, xray = (round(float(self.form.fields[name].given), 2) for name in LINES)
        except (TypeError, ValueError):
            return None
        return (background, xray) if isfinite(background) and isfinite(xray) else None

    def _moved(self) -> None:
        """The lines are elsewhere: into the form, unless that is where they come from, and onto the frames."""
        if not self.sample:
            return
        found, now = self.sample.estimated, (self.lines.background, self.lines.xray)
        if now != (self._given() or (round(found.background, 2), round(found.xray, 2))):
            for name, value in zip(LINES, now, strict=True):
                self.form.fields[name].fill(value)
        self._mark()

    def _typed(self) -> None:
        """Numbers in the form: the lines go there."""
        if self.sample and (given := self._given()):
            self.lines.place(*given)

    def _say(self) -> None:
        """What was estimated, and whether the form tells of other frames by now."""
        if not self.sample:
            return
        now = {name: self.form.fields[name].entry.value for name in FROM}
        other = "" if now == self._made_of else " The form names other frames by now: Estimate again shows them."
        self.message.value = note_message(f"Estimated: {self.sample.estimated}.{other}")

    def _show_frame(self) -> None:
        if self.sample:
            v, found = self.sample.values(self.frames.index), self.sample.estimated
            low, high = (found.noise_mean + sd * found.noise_sigma for sd in (-2, WHITE_SD))
            self.frames.show(grey_png(v, low, high), (v.shape[0], v.shape[1]))
            self._mark()

    def _mark(self) -> None:
        """The electrons of the chosen frame, and how many all have."""
        if not self.sample:
            return
        none, k = np.zeros(0, np.uint32), self.frames.index
        try:
            thresholds = Thresholds(self.lines.background, self.lines.xray)
            scan, doubt = self.sample.count(thresholds), self.sample.doubt(k, thresholds)
        except ParameterError as refused:
            self.frames.mark(none, none, str(refused))
            return
        each = scan.counts
        here = f"{each[k]:,} electrons in this frame ({each[k] / prod(scan.frame_shape):.2%} of its pixels)"
        all_told = f"{each.mean():,.0f} ± {each.std():,.0f} in each of {len(scan)} frames ({scan.occupancy:.2%})"
        self.frames.mark(
            scan.indices[scan.offsets[k] : scan.offsets[k + 1]],
            np.flatnonzero(self.sample.values(k) >= self.lines.xray),
            f"{here}; {all_told}\n{doubt}".rstrip(),
        )
