"""A synthetic stack to try things on, with the true answer beside it. Axis order is (z, y, x); points are (y, x), px."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le

from emkit.errors import ParameterError
from emkit.model import DEFECTS, Defect
from emkit.params import Unit, Writes
from emkit.phantoms import SectionPhantom
from emkit.phantoms.defects import EXCHANGED
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step
from emkit.transforms import Rows

TRUTH, CELLS = "truth.json", "cells"


@dataclass(frozen=True)
class PhantomReport:
    """The truth: for each section the map from px of the specimen to px of the section, points (y, x)."""

    size_px: int
    affines: tuple[Rows, ...]
    bad: tuple[int, ...]
    defects: tuple[Defect | Literal[""], ...] = ()

    def __str__(self) -> str:
        told = f"{len(self.affines)} sections of {self.size_px} x {self.size_px} px, each displaced as {TRUTH} tells"
        if any(self.defects):
            told += "; planted: " + ", ".join(f"{z} {name}" for z, name in enumerate(self.defects) if name)
        return told + (f"; showing an unrelated place: {', '.join(map(str, self.bad))}" if self.bad else "")


@step
def make_phantom(
    *,
    out: Annotated[Path, Writes("image folder")],
    sections: Annotated[int, Ge(1), Le(9999)] = 20,
    size_px: Annotated[int, Unit("px"), Ge(64), Le(16384)] = 512,
    jitter: Annotated[float, Ge(0), Le(3)] = 1.0,
    bad: tuple[Annotated[int, Ge(0)], ...] = (),
    defects: tuple[str, ...] = (),
    cells: bool = False,
    seed: Annotated[int, Ge(0)] = 1,
) -> Body[PhantomReport]:
    """Make synthetic serial sections whose true alignment is known.

    Writes one TIFF a section, displaced by a random affine each, and the true affines as truth.json; returns them.

    Parameters
    ----------
    out
        Folder of the sections.
    sections
        How many.
    size_px
        Height and width of each.
    jitter
        How far sections are displaced: 1 is up to 3° of turn, 3 % of scale, 2 % of shear, 4 % of the size in shift.
    bad
        Sections, counted from 0, that show an unrelated place.
    defects
        What is wrong with others, as 3:fold 7:gap: defocus, displaced, duplicate (shows the one before again), gap (two are missing
        before it), out_of_order (has changed places with the fourth after it), fold, tear, charging or contrast.
    cells
        Also write which cell each pixel shows, as numbers from 1 on, into a folder cells within it.
    seed
        Same seed, same stack.
    """
    if far := [z for z in bad if z >= sections]:
        raise ParameterError(f"bad: found section {far[0]}, but there are sections 0 to {sections - 1}.")
    planted = _planted(defects, sections)
    pixels = size_px**2
    draw = Load(sections, 12_000_000 + 79 * pixels, pixels * 4e-7)  # measured
    yield Plan(3_000_000, sections * (pixels * (3 if cells else 1) + 1000), 0.5, stages=(draw,) * (2 if cells else 1))

    out.mkdir(exist_ok=True)
    phantom = SectionPhantom((size_px, size_px), sections, seed, jitter, bad, planted)
    digits = max(2, len(str(sections - 1)))
    names = [f"section_{z:0{digits}d}.tif" for z in range(sections)]
    yield from stage("draw", draw_section, {name: (phantom, z, out, name) for z, name in enumerate(names)}, "sections")
    if cells:
        (out / CELLS).mkdir(exist_ok=True)
        yield from stage("number", label_section, {name: (phantom, z, out, name) for z, name in enumerate(names)}, "sections")
    truth = tuple(affine.rows for affine in phantom.affines)
    about = "specimen px to section px; points (y, x), pixel centres at integers"
    wrong = _named(planted, sections)
    listed = [
        {"file": name, "affine": rows, "bad": z in bad, "defect": wrong[z], "depth": phantom.depths[z]}
        for z, (name, rows) in enumerate(zip(names, truth, strict=True))
    ]
    (out / TRUTH).write_text(json.dumps({"affine": about, "seed": seed, "jitter": jitter, "sections": listed}, indent=1) + "\n")
    return PhantomReport(size_px, truth, bad, wrong)


def _planted(words: tuple[str, ...], count: int) -> dict[int, Defect]:
    """Section to defect. ParameterError with the word that is none, or names no section that can have it."""
    found: dict[int, Defect] = {}
    for word in words:
        section, _, name = word.partition(":")
        defect = next((one for one in DEFECTS if one == name), None)
        if defect is None or not section.isdecimal():
            raise ParameterError(f"defects: found {word!r}; needed: SECTION:DEFECT with one of {', '.join(DEFECTS)}, as 3:fold.")
        first, last = int(defect in ("duplicate", "gap")), count - 1 - EXCHANGED * (defect == "out_of_order")
        if not first <= int(section) <= last:
            raise ParameterError(f"defects: found {word!r}; needed for {defect}: one of sections {first} to {last}.")
        found[int(section)] = defect
    return found


def _named(planted: Mapping[int, Defect], count: int) -> tuple[Defect | Literal[""], ...]:
    """The defect of each section; those that have changed places are both out of order."""
    both = {z + EXCHANGED: name for z, name in planted.items() if name == "out_of_order"}
    return tuple({**both, **planted}.get(z, "") for z in range(count))


def draw_section(phantom: SectionPhantom, z: int, out: Path, name: str) -> Written:
    """One task: a section to its file."""
    from tifffile import imwrite

    # no date, no software: equal sections are equal files
    imwrite(out / name, phantom.render_section(z), photometric="minisblack", metadata=None, software="")
    return written(out, out / name)


def label_section(phantom: SectionPhantom, z: int, out: Path, name: str) -> Written:
    """One task: the cells of a section to their file."""
    from tifffile import imwrite

    imwrite(out / CELLS / name, phantom.label_section(z), photometric="minisblack", metadata=None, software="")
    return written(out, out / CELLS / name)
