"""What every format of an alignment says, in our nouns. Points are (y, x), px, pixel centres at integers.

Two habits of other programs are turned into ours here: matrices for points (x, y), and pixels whose *edges* lie at integers, so
that the middle of the first one is at (0.5, 0.5).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from emkit.errors import DataError
from emkit.transforms import Affine, CoordinateMap

LARGEST = 2_000_000_000  # bytes of a project that is read into memory
HALF = Affine.translation(0.5, 0.5)


@dataclass(frozen=True)
class PlacedSection:
    """One section: the name of its image, and ``affine``: px of the common space → px of the image.

    ``shape`` (y, x) px, where the format tells it. ``snr`` is that of each window of the match with section ``reference``, as
    the program measured it, and ``match`` the affine it found: px of the reference → px of this one.
    """

    file: str
    affine: Affine
    shape: tuple[int, int] | None = None
    excluded: bool = False
    snr: tuple[float, ...] = ()
    reference: int | None = None
    match: Affine | None = None
    bent: CoordinateMap | None = None  # where it bends, the whole map

    @property
    def mapping(self) -> CoordinateMap:
        """Px of the common space → px of the image, all that is known of it."""
        return self.bent or self.affine


@dataclass(frozen=True)
class PlacedStack:
    """The sections in order; what the format does not tell is None."""

    sections: tuple[PlacedSection, ...]
    voxel_size_nm: tuple[float, float, float] | None = None


def xy_rows(affine: Affine) -> list[list[float]]:
    """The same for points (x, y): ``[[xx, xy, x0], [yx, yy, y0]]``."""
    (yy, yx, y0), (xy, xx, x0) = affine.rows
    return [[xx, xy, x0], [yx, yy, y0]]


def of_xy_rows(rows: Sequence[Sequence[float]]) -> Affine:
    """From ``[[xx, xy, x0], [yx, yy, y0]]`` for points (x, y); a third row is passed over."""
    (xx, xy, x0), (yx, yy, y0) = rows[:2]
    return Affine(((yy, yx, y0), (xy, xx, x0)))


def between_edges(affine: Affine) -> Affine:
    """The same for pixels whose edges lie at integers."""
    return HALF.compose(affine).compose(HALF.invert())


def between_centres(affine: Affine) -> Affine:
    """Back from pixels whose edges lie at integers."""
    return HALF.invert().compose(affine).compose(HALF)


def read_text(path: Path) -> str:
    """A project as text. DataError if it is none, or too large to be one."""
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path} holds more than {LARGEST:,} bytes; needed: a project or a list of transforms.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as wrong:
        raise DataError(f"{path} is no text: {wrong.reason} at byte {wrong.start}. Needed: UTF-8.") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds. DataError if it holds something else."""
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as wrong:
        raise DataError(f"{path} is no JSON: {wrong}. Save the project again.") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a JSON {type(found).__name__}; needed: an object, as projects are.")
    return found


def match_names(path: Path, held: Sequence[str], given: Sequence[str]) -> None:
    """Refuse a project of other sections. Endings may differ: projects name what they made of the images."""
    if len(held) != len(given):
        raise DataError(f"{path} holds {len(held)} sections, the alignment {len(given)}; needed: the same sections.")
    for z, (theirs, ours) in enumerate(zip(held, given, strict=True)):
        if theirs and PurePath(theirs).stem != PurePath(ours).stem:
            raise DataError(f"{path}: section {z} is {theirs}, but {ours} in the alignment; needed: the same ones, in order.")
