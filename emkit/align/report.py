"""What an alignment found: the content of ``alignment.json`` inside an aligned volume.

``sections[z].affine`` maps output px → section px, for points (y, x) with pixel centres at integers, by rows
``[[yy, yx, y0], [xy, xx, x0]]``: the section pixel that output pixel (y, x) shows is ``(yy·y + yx·x + y0, xy·y + xx·x + x0)``.
Where sections bend, that is asked not at (y, x) but at (y, x) + u, see `emkit.align.fields`; `read_map` gives the whole map.
``pairs[k].affine`` maps px of section ``fixed`` → px of section ``moving`` in the same way. File names are those in the
source folder, never paths, and nothing depends on the day or the machine.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from emkit.align.defects import SectionVerdict
from emkit.align.fields import field_name, read_elastic
from emkit.align.placement import Placement
from emkit.align.quality import PairQuality
from emkit.errors import DamagedError, PathError
from emkit.model import DEFECT_NAMES
from emkit.transforms import Affine, CoordinateMap, Rows

FILE_NAME = "alignment.json"
POINTS = "(y, x) px, pixel centres at integers; affine: output px to section px, in pairs fixed px to moving px"


@dataclass(frozen=True)
class SectionPlace:
    """Where one section lies. ``linked`` is False where no match holds it: its place is interpolated between neighbours.

    ``number`` counts the files in natural order: it is not ``z`` where sections were swapped.
    """

    z: int
    file: str
    affine: Rows
    excluded: bool
    linked: bool
    number: int = -1
    field: str | None = None  # the file in the volume that tells what it bends by


@dataclass(frozen=True)
class AlignmentReport:
    """Every section's place and every compared pair, flagged ones too; pairs further apart than 1 bridge a section."""

    voxel_size_nm: tuple[float, float, float]
    snr_threshold: float
    window_px: int
    sections: tuple[SectionPlace, ...]
    pairs: tuple[PairQuality, ...]
    points: str = POINTS
    verdicts: tuple[SectionVerdict, ...] = ()
    mirrored: tuple[int, ...] = ()  # sections that match face down only, as nobody asked for
    flipped: tuple[int, ...] = ()  # those that were turned over for that, by a general leave
    landmarks: int = 0  # that chose the space
    landmarks_off_px: float | None = None  # in the median
    spacing_px: float | None = None  # of the coefficients of fields, where sections bend

    @classmethod
    def of(
        cls,
        voxel_size_nm: tuple[float, float, float],
        snr_threshold: float,
        window_px: int,
        files: Sequence[str],
        excluded: Collection[int],
        placement: Placement,
        pairs: tuple[PairQuality, ...],
        verdicts: tuple[SectionVerdict, ...] = (),
        numbers: Sequence[int] | None = None,
    ) -> AlignmentReport:
        """From the names of the sections, in order, where they were placed, and why; ``numbers`` where they were swapped."""
        sections = tuple(
            SectionPlace(z, file, affine.rows, z in excluded, linked, numbers[z] if numbers else z)
            for z, (file, affine, linked) in enumerate(zip(files, placement.affines, placement.linked, strict=True))
        )
        return cls(voxel_size_nm, snr_threshold, window_px, sections, pairs, verdicts=verdicts)

    def as_json(self) -> str:
        """Equal text for equal reports."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def __str__(self) -> str:
        """What a person wants to know first; every number is in `as_json`."""
        snrs = [pair.snr for pair in self.pairs] or [0.0]
        told = [
            f"{len(self.sections)} sections, {len(self.pairs)} pairs: SNR {min(snrs):.2f} to {max(snrs):.2f}, "
            f"flagged below {self.snr_threshold:g}: {len(self.flagged) or 'none'}"
            if self.pairs
            else "One section is in use: there is no pair to match",
            *(f"  {pair}" for pair in self.flagged),
        ]
        for one in self.verdicts:
            if one.defect:
                told.append(f"  section {one.z} ({self.sections[one.z].file}): {DEFECT_NAMES[one.defect]}, score {one.score:.1f}")
        if self.spacing_px:
            told.append(f"Sections bend by splines with a coefficient every {self.spacing_px:g} px")
        for z in self.mirrored:
            place = self.sections[z]
            told.append(f"  section {z} ({place.file}) is mirrored: turned over it matches; ask for that by {place.number}:flip")
        told += [f"  section {z} ({self.sections[z].file}) was mirrored: it is turned over" for z in self.flipped]
        if self.landmarks_off_px is not None:
            told.append(f"Laid on {self.landmarks} landmarks, off by {self.landmarks_off_px:.2f} px in the median")
        if excluded := [str(section.z) for section in self.sections if section.excluded]:
            told.append(f"Left out of the matching: {', '.join(excluded)}")
        if self.pairs and (loose := [str(section.z) for section in self.sections if not section.linked]):
            told.append(f"Placed between their neighbours, since nothing matches them: {', '.join(loose)}")
        return "\n".join(told)

    def bent(self, spacing_px: float) -> AlignmentReport:
        """The same of sections that bend."""
        sections = tuple(replace(section, field=field_name(section.z)) for section in self.sections)
        return replace(self, sections=sections, spacing_px=spacing_px)

    @property
    def flagged(self) -> tuple[PairQuality, ...]:
        """The pairs to look at."""
        return tuple(pair for pair in self.pairs if pair.flagged)


def read_map(volume: Path, report: AlignmentReport, z: int) -> CoordinateMap:
    """The map of a section, output px → section px, affine or elastic. DamagedError if its field is not whole."""
    affine = Affine(report.sections[z].affine)
    return affine if report.spacing_px is None else read_elastic(volume, z, affine, report.spacing_px)


def read_alignment(volume: Path) -> AlignmentReport:
    """The report inside an aligned volume. PathError if there is none, DamagedError if it is not whole."""
    from pydantic import TypeAdapter, ValidationError

    file = Path(volume) / FILE_NAME
    if not file.is_file():
        raise PathError(
            f"{volume} holds no {FILE_NAME}; needed: a volume that align-sections made. Run measure-alignment on any other."
        )
    try:
        return TypeAdapter(AlignmentReport).validate_json(file.read_bytes())
    except ValidationError as wrong:
        raise DamagedError(f"{file} is not a report of an alignment: {wrong.errors()[0]['msg']}. Align again.") from None
