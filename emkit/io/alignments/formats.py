"""Which program an alignment is for: known by the ending of its file."""

from pathlib import Path
from typing import Literal

from emkit.errors import ParameterError
from emkit.io.alignments.alignem import read_alignem, write_alignem
from emkit.io.alignments.aligntk import read_maps, write_maps
from emkit.io.alignments.mir import read_script, write_script
from emkit.io.alignments.placed import PlacedStack
from emkit.io.alignments.pyreconstruct import read_jser, write_jser
from emkit.io.alignments.scene import read_scene, write_scene
from emkit.io.alignments.trakem2 import read_trakem2, write_trakem2
from emkit.io.alignments.transform_list import read_list, write_list

Program = Literal["by-name", "AlignEM-SWiFT", "PyReconstruct", "TrakEM2", "AlignTK", "SWiFT-IR", "OME-Zarr", "transforms"]
ENDINGS = {
    "AlignEM-SWiFT": (".swiftir", ".align", ".json"),
    "PyReconstruct": (".jser",),
    "TrakEM2": (".xml",),
    "AlignTK": (".maps", ".lst"),  # a folder is written, of which the list of images is read
    "SWiFT-IR": (".mir",),
    "OME-Zarr": (".zarr", "zarr.json"),  # likewise
    "transforms": (".txt",),
}
PROJECTS = ("AlignEM-SWiFT", "PyReconstruct", "TrakEM2")  # whose files hold more than an alignment


def by_name(path: Path, program: Program, parameter: str) -> str:
    """The program that was named, or the one whose files end like this one."""
    if program != "by-name":
        return program
    told = (path.name, path.suffix.lower())
    found = next((name for name, endings in reversed(ENDINGS.items()) if any(one in endings for one in told)), None)
    if found is None:
        known = ", ".join(f"{' or '.join(endings)} ({name})" for name, endings in ENDINGS.items())
        raise ParameterError(
            f"{parameter}: found {path.suffix or 'no ending'}, which tells no program; needed: {known}. Or name the program."
        )
    return found


def read_placed(path: Path, program: str, shape: tuple[int, int], level: int | None, alignment: str | None) -> PlacedStack:
    """The alignment of sections of ``shape`` (y, x) in a file of ``program``. DataError or ParameterError if there is none."""
    if program == "PyReconstruct":
        return read_jser(path, shape, alignment)
    if program == "transforms":
        return read_list(path, shape)
    readers = {"TrakEM2": read_trakem2, "AlignTK": read_maps, "SWiFT-IR": read_script, "OME-Zarr": read_scene}
    return readers[program](path) if program in readers else read_alignem(path, level)


def write_placed(path: Path, program: str, stack: PlacedStack, images: Path, alignment: str, project: Path | None) -> None:
    """The alignment as a file of ``program``, within a copy of ``project`` where one is given."""
    if program == "PyReconstruct":
        write_jser(path, stack, images, alignment, project)
    elif program == "TrakEM2":
        write_trakem2(path, stack, images, project)
    elif program == "SWiFT-IR":
        write_script(path, stack, images)
    elif program in (writers := {"transforms": write_list, "AlignTK": write_maps, "OME-Zarr": write_scene}):
        writers[program](path, stack)
    else:
        write_alignem(path, stack, images, project)
