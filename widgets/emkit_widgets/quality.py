"""The quality of an alignment: each section with its verdict and what helps, every pair with its SNR, and the pair to judge by eye.

All numbers come from the report in the volume; nothing is judged anew. Sections are read from the volume at the finest level
that a screen can show. Axis order is (z, y, x).
"""

import html
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

import emkit
from emkit.align import AlignmentReport, PairQuality, match_signal, read_alignment
from emkit.align.page import page_of, reimage_list
from emkit.io.omezarr import read_levels
from emkit.io.sections import read_image, section_files
from emkit_widgets.form import StepForm
from emkit_widgets.messages import note_message
from emkit_widgets.pairs import PairTable
from emkit_widgets.picture import grey_png
from emkit_widgets.points import PointPicker
from emkit_widgets.remedies import RemedyBox
from emkit_widgets.section import SectionView
from emkit_widgets.verdicts import VerdictTable

SCREEN_PX = 2048
SIGNAL_PX, REPORT_PX = 240, 360
WHITE_SD = 12.0  # standard deviations of the match signal shown white: a clear peak


KEYS = "s skip · f turn over · x swap · o place points · r run again"


class QualityView(widgets.VBox):
    """The sections of an aligned volume with their verdicts, its pairs in a plot and a table; one pair to look at.

    With the form of the step that made it come remedies: the step runs again with what a person asks for. Raises PathError if
    the volume holds no report of an alignment.
    """

    def __init__(self, volume: str | Path, form: StepForm | None = None) -> None:
        self.report = read_alignment(Path(volume))
        self.shown = ShownSections(Path(volume))
        self.pairs = PairTable()
        self.pairs.show([_row(self.report, pair) for pair in self.report.pairs], self.report.snr_threshold)
        legend = f"↑ ↓ a section · n, p the next, previous bad one{' · ' * bool(form)}{KEYS * bool(form)}"
        self.verdicts = VerdictTable(self.report, legend=legend, letters=[*"sfxor"] if form else [])
        names = [section.file for section in self.report.sections]
        self.sections = SectionView(self.shown, pixel_nm=self.shown.pixel_nm, names=names)
        self.signal = widgets.Image(format="png", width=SIGNAL_PX, height=SIGNAL_PX)
        self.caption = widgets.HTML()
        beside = widgets.VBox([widgets.HTML("<b>Match signal</b>"), self.signal, self.caption]).add_class("emkit-signal")
        compared = widgets.HBox([self.sections, beside]).add_class("emkit-compared")
        self.placing = widgets.VBox()
        self.remedies = RemedyBox(form, self.report, self.shown.shape, self.place_points) if form else None
        verdicts = [self.verdicts] if self.report.verdicts else []
        remedies = [self.remedies, self.placing] if self.remedies else []
        self.title, self.links = Path(volume).name, self._links()
        self.to_report = widgets.Button(description="Make the report", icon="file-text-o", tooltip="One page to read or print")
        self.to_report.on_click(lambda _: self.show_report())
        taken = [widgets.HBox([self.to_report, self.links]).add_class("emkit-buttons")] if self.report.verdicts else []
        super().__init__([widgets.HTML(_heading(self.report)), *verdicts, *remedies, *taken, self.pairs, compared])
        self.add_class("emkit-quality")
        self.pairs.observe(lambda _: self.show_pair(), names="selected")
        self.verdicts.observe(lambda _: self.show_section(), names="selected")
        if self.remedies:
            self.verdicts.on_key(self.remedies.press)
        if self.report.verdicts:
            self.show_section()
        self.show_pair()

    def show_section(self) -> None:
        """Show the selected section: its pair with the section before, or after the first, and what can be done for it."""
        z = self.verdicts.selected
        mine = [k for k, pair in enumerate(self.report.pairs) if z in (pair.fixed, pair.moving)]
        if mine:
            pairs = self.report.pairs
            self.pairs.selected = min(mine, key=lambda k: (pairs[k].moving - pairs[k].fixed, pairs[k].moving != z))
        if self.remedies:
            self.remedies.offer(z)

    def show_pair(self) -> None:
        """Show the selected pair: both sections as they lie in the volume, and how sharply they agree."""
        if not self.report.pairs:
            return
        pair = self.report.pairs[self.pairs.selected]
        self.sections.compare(pair.fixed, pair.moving)
        self.signal.value = grey_png(match_signal(self.shown[pair.fixed], self.shown[pair.moving]), 0, WHITE_SD)
        self.caption.value = note_message(
            f"Sections {pair.fixed} and {pair.moving} as aligned. One bright point in the middle: they match there. "
            "Elsewhere: by so much they are off. None: nothing matches."
        )
        if self.verdicts.selected not in (pair.fixed, pair.moving):
            self.verdicts.selected = pair.moving

    def place_points(self, fixed: int, moving: int) -> None:
        """Show two sections as they were imaged, to place points on."""
        if self.remedies is None or (remedies := self.remedies).form.call().values.get("source") is None:
            return
        files = section_files(Path(remedies.form.call().values["source"]))
        first, second = (read_image(files[remedies.numbers[z]]) for z in (fixed, moving))
        names = [f"{z} · {self.report.sections[z].file}" for z in (fixed, moving)]

        def used(pairs: list[list[float]] | None) -> None:
            self.placing.children = []
            if pairs is not None:
                remedies.placed(fixed, moving, pairs)

        self.placing.children = [PointPicker(first, second, names, used)]

    def _links(self) -> widgets.HTML:
        """What can be taken along: the list to image again, and the report, made when they are asked for."""
        listed = b64encode(reimage_list(self.report).encode()).decode()
        to_csv = f'<a download="image_again.csv" href="data:text/csv;base64,{listed}">Sections to image again (CSV)</a>'
        return widgets.HTML(to_csv).add_class("emkit-links")

    def show_report(self) -> None:
        """Make the page for the microscopist, and offer it."""

        def thumbnail(z: int) -> NDArray[np.generic]:
            factor = -(-max(self.shown[z].shape) // REPORT_PX)
            return self.shown[z][::factor, ::factor]

        page = b64encode(page_of(self.report, self.title, thumbnail).encode()).decode()
        self.links.value += (
            f'<a download="report.html" href="data:text/html;base64,{page}">{html.escape(self.title)}: report.html</a>'
        )
        self.to_report.disabled = True


class ShownSections:
    """The sections of a volume, each (y, x), at the finest level that is no larger than a screen."""

    def __init__(self, volume: Path) -> None:
        levels = read_levels(volume)
        number = next((i for i, level in enumerate(levels) if max(level.shape[1:]) <= SCREEN_PX), len(levels) - 1)
        self.volume = emkit.open_volume(volume, level=number)
        self.pixel_nm = levels[number].voxel_size_nm[2]
        self.shape = levels[0].shape[1:]
        self.z_nm = levels[0].origin_nm[0] + levels[0].voxel_size_nm[0] * np.arange(levels[0].shape[0])

    def __len__(self) -> int:
        return len(self.z_nm)

    def __getitem__(self, z: int, /) -> NDArray[np.generic]:
        section: NDArray[np.generic] = self.volume.sel(z=self.z_nm[z], method="nearest").to_numpy()
        return section


def _row(report: AlignmentReport, pair: PairQuality) -> dict[str, Any]:
    names = [report.sections[z].file for z in (pair.fixed, pair.moving)]
    residual = None if pair.residual_px is None else round(pair.residual_px, 3)
    numbers = {"fixed": pair.fixed, "moving": pair.moving, "snr": round(pair.snr, 3), "residual_px": residual}
    return {"names": names, "flagged": pair.flagged, "reasons": [*pair.reasons], **numbers}


def suspects(report: AlignmentReport) -> list[int]:
    """Sections that match none of their neighbours, turned over neither; over one that is excluded its own neighbours are such."""
    neighbours = set(pairwise(section.z for section in report.sections if not section.excluded))
    near = [pair for pair in report.pairs if (pair.fixed, pair.moving) in neighbours]
    good = {z for pair in near if not pair.flagged for z in (pair.fixed, pair.moving)}
    return sorted({z for pair in near for z in (pair.fixed, pair.moving)} - good - {*report.mirrored})


def _heading(report: AlignmentReport) -> str:
    excluded = [section.z for section in report.sections if section.excluded]
    bad = f", {sum(bool(one.defect) for one in report.verdicts) or 'none'} bad" if report.verdicts else ""
    facts = [
        f"{len(report.sections)} sections{bad}",
        f"{len(report.pairs)} pairs compared",
        f"{len(report.flagged) or 'none'} flagged",
        *(f"section {z} ({report.sections[z].file}) matches none of its neighbours" for z in suspects(report)),
        *(f"section {z} ({report.sections[z].file}) is mirrored" for z in report.mirrored),
        *([f"left out: {', '.join(map(str, excluded))}"] if excluded else []),
    ]
    return f"<b>Quality of the alignment</b> &nbsp; {html.escape(' · '.join(facts))}"
