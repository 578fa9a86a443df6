"""The stage of `align_sections` that makes sections ready to be matched. Images are (y, x)."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from emkit.align.pairs import patch_window
from emkit.align.preparing import Preparing
from emkit.errors import ParameterError
from emkit.io.sections import read_section, write_section
from emkit.model import SectionFile, SizeNm, Stack
from emkit.provenance import Written, written
from emkit.run.stage import Stage, stage

PREPARED = "prepared"  # a folder within the unfinished output


def check(preparing: Preparing, stack: Stack) -> None:
    """ParameterError where nothing could be matched."""
    if preparing.artefacts and not preparing.artefacts[0] < preparing.artefacts[1]:
        raise ParameterError(f"artefact_grey: found {preparing.artefacts}; needed: the darkest grey of tissue, then the brightest.")
    try:
        patch_window(preparing.shape(stack.shape))
    except ParameterError as small:
        raise ParameterError(f"downscale: {preparing.downscale} is too much for sections of {stack.shape} px. {small}") from None


def prepare_stack(
    stack: Stack, numbers: tuple[int, ...], preparing: Preparing, out: Path, voxel_size_nm: SizeNm
) -> Generator[Stage[Any], Any, Stack]:
    """In a step: the sections as they are matched, in files of the unfinished output by their ``numbers``; if nothing is asked for,
    the same stack."""
    if preparing == Preparing():
        return stack
    files = tuple(SectionFile(out / PREPARED / f"{number}.tif", number) for number in numbers)
    dtype = stack.dtype if preparing.contrast == "as-imaged" else "uint8"
    tasks = {str(number): (stack, z, preparing, out, files[z].path, voxel_size_nm) for z, number in enumerate(numbers)}
    yield from stage("prepare", prepare_section, tasks, "sections")
    return Stack(files, preparing.shape(stack.shape), dtype)


def prepare_section(stack: Stack, z: int, preparing: Preparing, out: Path, file: Path, voxel_size_nm: SizeNm) -> Written:
    """One task: a section as it is matched."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_section(file, preparing.of(read_section(stack, z)), voxel_size_nm)
    return written(out, file)
