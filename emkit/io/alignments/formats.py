"""Which program an alignment is for: known by the ending of its file."""

from pathlib import Path
from typing import Literal

from emkit.errors import ParameterError
from emkit.io.alignments import alignem
from emkit.io.alignments.placed import PlacedStack

Program = Literal["by-name", "AlignEM-SWiFT"]
ENDINGS = {"AlignEM-SWiFT": (".swiftir", ".align", ".json")}


def by_name(path: Path, program: Program, parameter: str) -> str:
    """The program that was named, or the one whose files end like this one."""
    if program != "by-name":
        return program
    found = next((name for name, endings in ENDINGS.items() if path.suffix.lower() in endings), None)
    if found is None:
        known = ", ".join(f"{' or '.join(endings)} ({name})" for name, endings in ENDINGS.items())
        raise ParameterError(
            f"{parameter}: found {path.suffix or 'no ending'}, which tells no program; needed: {known}. Or name the program."
        )
    return found


def read_placed(path: Path, program: str, level: int | None) -> PlacedStack:
    """The alignment in a file of ``program``. DataError or ParameterError, with what does not fit."""
    return alignem.read_alignem(path, level)


def write_placed(path: Path, program: str, stack: PlacedStack, images: Path, project: Path | None) -> None:
    """The alignment as a file of ``program``, within a copy of ``project`` where one is given."""
    alignem.write_alignem(path, stack, images, project)
