"""A counted scan: its images by virtual detectors that are moved, and what of it was lost. Axis order is (sy, sx, ky, kx)."""

import html
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

import emkit
from emkit import count
from emkit.errors import EmkitError, ResourceError
from emkit.io.counted import counted_header, read_counted
from emkit.model import CountedScan
from emkit_widgets.detector import DetectorView
from emkit_widgets.form import StepForm
from emkit_widgets.messages import note_message, refusal_message
from emkit_widgets.picture import grey_png

MOST_EVENTS = 200_000_000  # 0.8 GB, and seconds for an image
NAMED = 500  # frames that are not whole, of which the place is told
KINDS = {"sum": "Sum", "bright-field": "Bright field", "dark-field": "Dark field", "phase": "Phase"}


class ScanView(widgets.VBox):
    """The virtual images of a counted scan, made anew as the detectors move (the phase when they rest); a form that keeps one of
    them; the report of losses.

    `told` is what the step that counted it said of its frames. Raises PathError or DataError if there is no such scan,
    ResourceError if it is too large to be looked at so.
    """

    def __init__(self, path: str | Path, told: str = "") -> None:
        if (events := counted_header(Path(path)).events) > MOST_EVENTS:
            raise ResourceError(
                f"{path} holds {events:,} electrons; needed: at most {MOST_EVENTS:,}, so that images follow what is dragged. "
                "emkit virtual-image makes images of larger scans."
            )
        self.scan = read_counted(Path(path))
        self._made_by: dict[str, object] = {}
        self.detector, side = DetectorView(), min(self.scan.frame_shape)
        with self.detector.hold_trait_notifications():
            self.detector.height, self.detector.width = self.scan.frame_shape
            self.detector.picture = _pattern(self.scan)
            self.detector.centre = count.estimate_centre(self.scan)
            self.detector.disk_px, self.detector.inner_px, self.detector.outer_px = side / 4, side / 3, side / 2
        self.images = {kind: Picture(title) for kind, title in KINDS.items()}
        self.images["sum"].show(self.scan.sum("frame"), "electrons")
        if self.scan.complete is not None:
            self.images["lost"] = Picture("Not whole")
            self.images["lost"].show(self.scan.weigh((~self.scan.complete).astype(np.int64)), "frames at a position")
        self.keep = StepForm(emkit.virtual_image, scan=path, out=f"{Path(path).name}.tif")
        pattern = widgets.VBox([widgets.HTML("<b>Mean diffraction pattern</b>"), self.detector]).add_class("emkit-pattern")
        images = widgets.Box(list(self.images.values())).add_class("emkit-images")
        kept = widgets.Accordion([self.keep], titles=("Keep an image as TIFF, with its record",)).add_class("emkit-more")
        losses = widgets.HTML(_losses(self.scan, told)).add_class("emkit-losses")
        super().__init__([widgets.HBox([pattern, images]).add_class("emkit-imaged"), kept, losses])
        self.add_class("emkit-scan")
        self.detector.observe(lambda _: self.show(), names=("centre", "disk_px", "inner_px", "outer_px", "moving"))
        self.keep.fields["detector"].entry.observe(lambda _: self._fill(), names="value")
        self.show()

    def show(self) -> None:
        """Make those images anew whose detector has changed."""
        at, ring = self.detector.centre, (self.detector.inner_px, self.detector.outer_px)
        disk = count.disk(self.scan.frame_shape, at, self.detector.disk_px)
        if self._changed("bright-field", (at, self.detector.disk_px)):
            self.images["bright-field"].show(count.virtual_image(self.scan, disk), "electrons")
        if not self.detector.moving and self._changed("phase", (at, self.detector.disk_px)):  # it takes ten times as long
            contrast = count.differential_phase_contrast(self.scan, disk)
            self.images["phase"].show(contrast.phase, f"px × step; {contrast.orientation}")
        if self._changed("dark-field", (at, ring)):
            mask = count.annulus(self.scan.frame_shape, at, *ring)
            self.images["dark-field"].show(count.virtual_image(self.scan, mask), "electrons")
        self._fill()

    def _changed(self, kind: str, made_by: tuple[object, ...]) -> bool:
        before, self._made_by[kind] = self._made_by.get(kind), made_by
        return before != made_by

    def _fill(self) -> None:
        """The form of the step that keeps an image, filled with what is seen."""
        at, fields = self.detector, self.keep.fields
        ring = fields["detector"].entry.value == "dark-field"
        fields["centre"].fill(at.centre)
        fields["inner_px"].fill(at.inner_px if ring else None)
        fields["outer_px"].fill(at.outer_px if ring else at.disk_px)


def scan_of(form: StepForm) -> widgets.VBox:
    """The scan that a form of `count_scan` writes: as it stands there now, and anew after each run of the form."""
    place = form.then(lambda ran: ScanView(ran["out"], form.result.told), "Shown when the scan is counted.")
    out = form.fields["out"].given
    if form.ran is None and out and Path(out).exists():
        try:
            place.children = [widgets.HTML(note_message(f"{out} as it stands, counted before.")), ScanView(out)]
        except EmkitError as refused:
            place.children = [widgets.HTML(refusal_message(refused))]
    return place


class Picture(widgets.VBox):
    """An image of the scan, (sy, sx), its least value black and its greatest white, with its name and these values below."""

    def __init__(self, title: str) -> None:
        self.title, self.image, self.caption = title, widgets.Image(format="png"), widgets.HTML()
        super().__init__([self.image, self.caption])

    def show(self, values: NDArray[Any], unit: str) -> None:
        least, most = float(values.min()), float(values.max())
        self.image.value = grey_png(values, least, most)
        self.caption.value = f"<b>{html.escape(self.title)}</b><br>{_told(least)} to {_told(most)} {html.escape(unit)}"


def _told(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _pattern(scan: CountedScan) -> bytes:
    """All electrons by the place where they hit the detector, logarithmic: rings are a thousand times fainter than the beam."""
    image = np.log1p(scan.sum("scan"))
    return grey_png(image, float(image.min()), float(np.percentile(image, 99.9)))


def _losses(scan: CountedScan, told: str) -> str:
    """What is not whole, with counts and positions, and how many electrons lie on each other; as HTML."""
    lacking = np.zeros(0, np.int64) if scan.complete is None else np.flatnonzero(~scan.complete)
    lines = told.splitlines() or [f"{len(scan) - len(lacking):,} of {len(scan):,} frames are whole"]
    lines.append(str(count.estimate_coincidence(scan)))
    report = "<b>Losses</b>" + "".join(f"<br>{html.escape(line)}" for line in lines)
    if not len(lacking):
        return report
    places = [(k, *divmod(int(scan.positions[k]), scan.scan_shape[1]), int(scan.counts[k])) for k in lacking[:NAMED]]
    items = "".join(f"<li>frame {k} (sy={sy}, sx={sx}): {_there(found)}</li>" for k, sy, sx, found in places)
    more = f"<li>and {len(lacking) - NAMED:,} more</li>" if len(lacking) > NAMED else ""
    return f"{report}<details><summary>{len(lacking):,} frames are not whole</summary><ul>{items}{more}</ul></details>"


def _there(found: int) -> str:
    return f"{found:,} electrons in what is there" if found else "nothing"
