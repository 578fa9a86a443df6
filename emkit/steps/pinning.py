"""Landmarks for `align_sections`: read from a table, and laid on what was matched. Points are (y, x), px as imaged."""

from collections.abc import Collection, Sequence
from pathlib import Path

from emkit.align.landmarks import Landmark, pin
from emkit.align.placement import Placement
from emkit.errors import DataError
from emkit.io.tables import FIRST_LINE, read_table
from emkit.transforms import Affine, Floats

COLUMNS = ("section", "y", "x", "target_y", "target_x")


def read_landmarks(path: Path, count: int, exclude: Collection[int]) -> list[Landmark]:
    """The landmarks of a CSV file, for ``count`` sections, by their files. DataError with the line of what does not fit."""
    table = read_table(path, COLUMNS, count)
    if not table.rows:
        raise DataError(f"{path} holds no landmark; needed: a line with {', '.join(COLUMNS)} for each.")
    found = [Landmark(round(z), (y, x), (v, u)) for z, y, x, v, u in table.numbers.tolist()]
    for line, one in enumerate(found, FIRST_LINE):
        if one.section in exclude:
            raise DataError(f"{path}, line {line}: section {one.section} is excluded; needed: landmarks in matched sections.")
    return found


def pin_placed(placed: Placement, landmarks: Sequence[Landmark], numbers: Sequence[int]) -> tuple[tuple[Affine, ...], Floats]:
    """`pin` by the landmarks in sections that are linked; ``numbers`` are those of the files by their place in the stack.

    DataError where none is.
    """
    places = [Landmark(numbers.index(one.section), one.place, one.target) for one in landmarks]
    held = [one for one in places if placed.linked[one.section]]
    if not held:
        named = ", ".join(str(z) for z in sorted({one.section for one in landmarks}))
        raise DataError(
            f"landmarks: nothing matches the sections that they are in ({named}), so they pin nothing. Place some in others."
        )
    return pin(placed.affines, held)
