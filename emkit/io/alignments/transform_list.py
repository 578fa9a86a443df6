"""Lists of transforms, text: a line ``n a b tx c d ty`` for each section, of which n is the number, px; see `field`.

PyReconstruct reads them (Alignments, Import transformations), whatever the shape of the sections.
"""

from __future__ import annotations

from pathlib import Path

from emkit.errors import DataError
from emkit.io.alignments.field import of_six, to_six
from emkit.io.alignments.placed import PlacedSection, PlacedStack, read_text


def read_list(path: Path, shape: tuple[int, int]) -> PlacedStack:
    """The sections, of ``shape`` (y, x) px, in order of their numbers. DataError with the line that does not fit."""
    found: dict[int, PlacedSection] = {}
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        try:
            number, *six = text.split()
            if int(number) in found or len(six) != 6:
                raise ValueError
            affine = of_six([float(value) for value in six], shape[0], shape[0])
        except ValueError:
            raise DataError(
                f"{path}, line {line}: found {text.strip()!r}; needed: n a b tx c d ty, of which n is a number and not yet taken."
            ) from None
        found[int(number)] = PlacedSection("", affine, shape)
    if not found:
        raise DataError(f"{path} holds no transforms; needed: a line n a b tx c d ty for each section.")
    return PlacedStack(tuple(found[number] for number in sorted(found)))


def write_list(path: Path, stack: PlacedStack) -> None:
    """The sections, numbered from 0; all their shapes must be known."""
    heights = [section.shape[0] for section in stack.sections if section.shape]
    lines = (to_six(section.affine, height, heights[0]) for section, height in zip(stack.sections, heights, strict=True))
    path.write_text("".join(f"{n} {' '.join(map(repr, six))}\n" for n, six in enumerate(lines)))
