"""Scripts for mir, the renderer of SWiFT-IR: a command a line, by its first letter. ``mir NAME.mir`` renders every section.

``F`` names the image, ``A xx xy x0 yx yy y0`` takes points (x, y) of the common space to points of the image, px with their centres
at integers, ``B`` is the size of what is drawn (width, height, bytes a px), ``Z`` clears it to a grey value, ``I 2`` interpolates
cubically, ``R`` draws and ``W`` writes a file, ``E`` ends. SWiFT-IR has no other file for maps: swim prints matches, and mir reads
these commands, which it lists itself (``?``). mir keeps 32 bits of a number, the script all.
"""

from __future__ import annotations

from pathlib import Path

from emkit.errors import DataError
from emkit.io.alignments.placed import PlacedSection, PlacedStack, of_xy_rows, read_text, xy_rows


def read_script(path: Path) -> PlacedStack:
    """The images that a script names, in order, each with the matrix that follows it. DataError with the line that does not fit."""
    sections: list[PlacedSection] = []
    file = ""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        letter, _, told = line.partition(" ")
        if letter == "F":
            file = told.strip()
        elif letter == "A":
            try:
                xx, xy, x0, yx, yy, y0 = (float(value) for value in told.split())
            except ValueError:
                raise DataError(f"{path}, line {number}: found {line!r}; needed: A and six numbers.") from None
            if not file:
                raise DataError(f"{path}, line {number}: a matrix without an image; needed: a line F before it.")
            sections.append(PlacedSection(Path(file).name, of_xy_rows([[xx, xy, x0], [yx, yy, y0]])))
            file = ""
    if not sections:
        raise DataError(f"{path} places no images; needed: a line F and a line A for each, as mir reads them.")
    return PlacedStack(tuple(sections))


def write_script(path: Path, stack: PlacedStack, images: Path) -> None:
    """Render all sections, which lie in the folder ``images`` and are of known shapes, to files ``aligned_NAME.tif``."""
    lines = ["I 2"]
    for section in stack.sections:
        file = images / section.file
        if len(str(file).split()) != 1:
            raise DataError(f"mir takes no spaces in names; found {str(file)!r}. Rename the folder or the sections.")
        height, width = section.shape or (0, 0)
        numbers = " ".join(repr(value) for row in xy_rows(section.affine) for value in row)
        lines += [f"B {width} {height} 1", "Z 0", f"F {file}", f"A {numbers}", f"RW aligned_{file.stem}.tif"]
    path.write_text("\n".join([*lines, "E"]) + "\n")
