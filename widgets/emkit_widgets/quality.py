"""The quality of an alignment: every pair with its SNR, what is flagged and why, and the pair itself to judge by eye.

All numbers come from the report in the volume; nothing is judged anew. Sections are read from the volume at the finest level
that a screen can show. Axis order is (z, y, x).
"""

import html
from itertools import pairwise
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

import emkit
from emkit.align import AlignmentReport, PairQuality, match_signal, read_alignment
from emkit.io.omezarr import read_levels
from emkit_widgets.form import StepForm
from emkit_widgets.messages import note_message
from emkit_widgets.pairs import PairTable
from emkit_widgets.picture import grey_png
from emkit_widgets.section import SectionView

SCREEN_PX = 2048
SIGNAL_PX = 240
WHITE_SD = 12.0  # standard deviations of the match signal shown white: a clear peak


class QualityView(widgets.VBox):
    """The pairs of an aligned volume in a plot and a table; the selected one as match signal, blinked or overlaid.

    With the form of the step that made it, a section can be left out and the step run again without it. Raises PathError if
    the volume holds no report of an alignment.
    """

    def __init__(self, volume: str | Path, form: StepForm | None = None) -> None:
        self.report = read_alignment(Path(volume))
        self.shown = ShownSections(Path(volume))
        self.pairs = PairTable()
        self.pairs.show([_row(self.report, pair) for pair in self.report.pairs], self.report.snr_threshold)
        names = [section.file for section in self.report.sections]
        self.sections = SectionView(self.shown, pixel_nm=self.shown.pixel_nm, names=names)
        self.signal = widgets.Image(format="png", width=SIGNAL_PX, height=SIGNAL_PX)
        self.caption = widgets.HTML()
        beside = widgets.VBox([widgets.HTML("<b>Match signal</b>"), self.signal, self.caption]).add_class("emkit-signal")
        compared = widgets.HBox([self.sections, beside]).add_class("emkit-compared")
        self.leaving = Leaving(form, [s.z for s in self.report.sections if s.excluded]) if form else None
        rows = [widgets.HTML(_heading(self.report)), self.pairs, *([self.leaving] if self.leaving else []), compared]
        super().__init__(rows)
        self.add_class("emkit-quality")
        self.pairs.observe(lambda _: self.show_pair(), names="selected")
        self.show_pair()

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
        if self.leaving:
            self.leaving.offer(pair.fixed, pair.moving)


class ShownSections:
    """The sections of a volume, each (y, x), at the finest level that is no larger than a screen."""

    def __init__(self, volume: Path) -> None:
        levels = read_levels(volume)
        number = next((i for i, level in enumerate(levels) if max(level.shape[1:]) <= SCREEN_PX), len(levels) - 1)
        self.volume = emkit.open_volume(volume, level=number)
        self.pixel_nm = levels[number].voxel_size_nm[2]
        self.z_nm = levels[0].origin_nm[0] + levels[0].voxel_size_nm[0] * np.arange(levels[0].shape[0])

    def __len__(self) -> int:
        return len(self.z_nm)

    def __getitem__(self, z: int, /) -> NDArray[np.generic]:
        section: NDArray[np.generic] = self.volume.sel(z=self.z_nm[z], method="nearest").to_numpy()
        return section


class Leaving(widgets.HBox):
    """Two switches that leave the sections of a pair out, and a button that runs the step again without all that are."""

    def __init__(self, form: StepForm, excluded: list[int]) -> None:
        self.form, self.before, self.sections = form, set(excluded), set(excluded)
        self.switches = [widgets.ToggleButton(icon="ban"), widgets.ToggleButton(icon="ban")]
        self.again = widgets.Button(icon="repeat", button_style="primary", disabled=True)
        super().__init__([*self.switches, self.again])
        self.add_class("emkit-buttons")
        self.offered: tuple[int, ...] = ()
        for switch in self.switches:
            switch.observe(lambda _: self._switched(), names="value")
        self.again.on_click(lambda _: self.run_again())

    def offer(self, *sections: int) -> None:
        """Let these two be left out, or taken in again."""
        self.offered = ()  # nothing is switched by a person now
        for section, switch in zip(sections, self.switches, strict=True):
            switch.value, switch.description = section in self.sections, f"Leave out {section}"
        self.offered = sections
        self._switched()

    def _switched(self) -> None:
        for section, switch in zip(self.offered, self.switches, strict=False):
            (self.sections.add if switch.value else self.sections.discard)(section)
        named = ", ".join(map(str, sorted(self.sections)))
        self.again.disabled = self.sections == self.before
        which = f" without {named}" if named else " with all"
        self.again.description = "Run again" + ("" if self.again.disabled else which)

    def run_again(self) -> None:
        """Fill the form's `exclude`, and run onto the same output."""
        self.form.fields["exclude"].fill(sorted(self.sections))
        self.form.overwrite.value = True
        self.again.disabled = self.form.start() is not None


def _row(report: AlignmentReport, pair: PairQuality) -> dict[str, Any]:
    names = [report.sections[z].file for z in (pair.fixed, pair.moving)]
    residual = None if pair.residual_px is None else round(pair.residual_px, 3)
    numbers = {"fixed": pair.fixed, "moving": pair.moving, "snr": round(pair.snr, 3), "residual_px": residual}
    return {"names": names, "flagged": pair.flagged, "reasons": [*pair.reasons], **numbers}


def suspects(report: AlignmentReport) -> list[int]:
    """Sections that match none of their neighbours; over one that is excluded its own neighbours are such."""
    neighbours = set(pairwise(section.z for section in report.sections if not section.excluded))
    near = [pair for pair in report.pairs if (pair.fixed, pair.moving) in neighbours]
    good = {z for pair in near if not pair.flagged for z in (pair.fixed, pair.moving)}
    return sorted({z for pair in near for z in (pair.fixed, pair.moving)} - good)


def _heading(report: AlignmentReport) -> str:
    excluded = [section.z for section in report.sections if section.excluded]
    facts = [
        f"{len(report.sections)} sections",
        f"{len(report.pairs)} pairs compared",
        f"{len(report.flagged) or 'none'} flagged",
        *(f"section {z} ({report.sections[z].file}) matches none of its neighbours" for z in suspects(report)),
        *([f"left out: {', '.join(map(str, excluded))}"] if excluded else []),
    ]
    return f"<b>Quality of the alignment</b> &nbsp; {html.escape(' · '.join(facts))}"
