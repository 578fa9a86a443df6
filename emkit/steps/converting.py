"""One format of a volume into another. Axis order is (z, y, x)."""

import shutil
from collections.abc import Generator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from emkit.blocks import Block, pyramid
from emkit.errors import ParameterError
from emkit.io.arrays import Voxels
from emkit.io.formats import Format, format_of, open_array
from emkit.io.image_zarr import check_images, create_images, write_image
from emkit.io.omezarr import (
    blocks_to_build,
    build_block,
    check_dtype,
    create_volume,
    levels_to_build,
    memory_to_write,
    read_region,
    read_volume,
    shard_grid,
    write_block,
)
from emkit.io.precomputed import check_writable, create_precomputed, writable_levels, write_scale_block
from emkit.io.sections import create_section, fill_section, open_stack, ranges
from emkit.io.spool import SPOOL, Spool, decode_section
from emkit.io.vast import VSVI_DTYPE, write_tiles, write_vsvi
from emkit.model import Shape, SizeNm, VolumeKind
from emkit.params import Positive, Reads, Unit, Writes
from emkit.provenance import Written, files_of, partly, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import Stage, stage
from emkit.run.step import Body, step

Stages = Generator[Stage[Any], Any, None]
WAYS: dict[Format, tuple[str, ...]] = {  # precomputed has no pyramid of its own making: it gets that of an OME-Zarr
    "sections": ("ome-zarr", "pyreconstruct"),
    "OME-Zarr": ("ome-zarr", "sections", "precomputed", "pyreconstruct", "vsvi"),
    "PyReconstruct images": ("ome-zarr", "sections"),
    "precomputed": ("ome-zarr", "sections"),
    "N5": ("ome-zarr", "sections"),
    "VAST segmentation": ("ome-zarr", "sections"),
}


@dataclass(frozen=True)
class ConvertReport:
    """What was found and written. `gaps` are section numbers that the source leaves out."""

    source_format: Format
    kind: VolumeKind
    shape: Shape
    dtype: str
    voxel_size_nm: SizeNm
    gaps: tuple[int, ...] = ()

    def __str__(self) -> str:
        z, y, x = self.shape
        size = " x ".join(f"{nm:g}" for nm in self.voxel_size_nm)
        told = f"{self.source_format}, {self.kind}: {z} x {y} x {x} voxels (z, y, x) of {size} nm, {self.dtype}"
        return told + (f"; missing sections: {ranges(self.gaps)}" if self.gaps else "")


@step
def convert(
    source: Annotated[Path, Reads("folder")],
    *,
    out: Annotated[Path, Writes("folder")],
    to: Literal["ome-zarr", "sections", "precomputed", "pyreconstruct", "vsvi"] = "ome-zarr",
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive] | None, Unit("nm")] = None,
    labels: bool = False,
    allow_gaps: bool = False,
) -> Body[ConvertReport]:
    """Convert sections or a volume to OME-Zarr, or a volume to sections or Neuroglancer precomputed.

    Sections (TIFF, PNG), OME-Zarr 0.4 and 0.5, precomputed, N5 and image zarr of PyReconstruct are read; which one it is, the
    folder tells. OME-Zarr is written as 0.5 with a pyramid, sections as uncompressed TIFF; precomputed is written from OME-Zarr,
    with its levels; the images of PyReconstruct as zarr from sections or OME-Zarr, with scales; images of VAST as .vsvi with PNG
    tiles. Segmentations that VAST exported as images, with their colour file, are read too.

    Parameters
    ----------
    source
        Folder of section images, or of a volume.
    out
        Folder of the result.
    to
        Format of the result.
    voxel_size_nm
        Size of a voxel (z, y, x). Needed where the source does not tell, as sections do not; else it replaces what is told.
    labels
        The voxels are numbers of objects, not grey values. OME-Zarr and precomputed tell it themselves.
    allow_gaps
        Go on although section numbers are missing or doubled.
    """
    found = format_of(source)
    if to not in WAYS[found]:
        raise ParameterError(f"to: found {to} for {source}, which holds {found}; needed: {' or '.join(WAYS[found])}.")
    stack = open_stack(source, allow_gaps=allow_gaps) if found == "sections" else None
    voxels: Voxels = Spool(stack, folder=out / SPOOL) if stack else open_array(source)
    kind: VolumeKind = "labels" if labels or voxels.kind == "labels" else "image"
    if (size_nm := voxel_size_nm or voxels.voxel_size_nm) is None:
        raise ParameterError(f"voxel_size_nm is missing: {source} holds {found}, which does not tell it. Give z, y, x in nm.")
    if to == "precomputed":
        check_writable(source, voxels.dtype)
        if voxel_size_nm:
            raise ParameterError(f"voxel_size_nm: {source} tells it, and its levels; convert it to ome-zarr to change it.")
    if to == "pyreconstruct":
        check_images(out, voxels.dtype)
    if to == "vsvi" and voxels.dtype != VSVI_DTYPE:
        raise ParameterError(f"VAST shows grey of 8 bits; found {voxels.dtype}. Predict with --dtype uint8, or convert it first.")
    check_dtype(voxels.dtype, kind)
    report = ConvertReport(found, kind, voxels.shape, voxels.dtype, size_nm, stack.gaps if stack else ())
    yield _plan(report, to, spooled=stack is not None)

    if isinstance(voxels, Spool):
        yield from stage("decode", decode_section, {str(z): (voxels, z) for z in range(voxels.shape[0])}, "sections")
    if to == "ome-zarr":
        yield from _to_omezarr(voxels, report, out)
    elif to == "sections":
        yield from _to_sections(voxels, report, out)
    elif to == "pyreconstruct":
        names = [file.path.name for file in stack.files] if stack else section_names(report.shape[0])
        yield from _to_images(voxels, report, out, names)
    elif to == "vsvi":
        yield from _to_vsvi(voxels, report, out, source.name.removesuffix(".zarr").removesuffix(".ome"))
    else:
        yield from _to_precomputed(source, report, out)
    if (out / SPOOL).exists():
        shutil.rmtree(out / SPOOL)
    return report


def _to_omezarr(voxels: Voxels, report: ConvertReport, out: Path) -> Stages:
    size_nm, origin_nm = report.voxel_size_nm, voxels.origin_nm
    create_volume(out, shape=report.shape, dtype=report.dtype, voxel_size_nm=size_nm, origin_nm=origin_nm, kind=report.kind)
    blocks = {str(block): (voxels, out, block) for block in shard_grid(out)}
    made = files_of((yield from stage("write", write_voxels, blocks, "blocks")))
    for level in levels_to_build(out):
        coarser = {str(block): (out, level, block, finer) for block, finer in blocks_to_build(out, level, made)}
        made = files_of((yield from stage(f"level {level}", build_block, coarser, "blocks")))


def _to_sections(voxels: Voxels, report: ConvertReport, out: Path) -> Stages:
    out.mkdir(exist_ok=True)
    count, *shape = report.shape
    files = [out / name for name in section_names(count)]
    yield from stage("create", new_section, {file.name: (file, (*shape,), report) for file in files}, "sections")
    tasks = {str(block): (voxels, files, block) for block in _blocks(report.shape, report)}
    yield from stage("write", write_into_sections, tasks, "blocks")


def _to_precomputed(source: Path, report: ConvertReport, out: Path) -> Stages:
    volume = read_volume(source)
    create_precomputed(out, volume)
    for level, _ in writable_levels(volume):
        number = volume.levels.index(level)
        tasks = {str(b): (source, number, level.voxel_size_nm, out, b) for b in _blocks(level.shape, report)}
        yield from stage(f"level {number}", write_scale, tasks, "blocks")


def _to_images(voxels: Voxels, report: ConvertReport, out: Path, names: list[str]) -> Stages:
    _, height, width = report.shape
    create_images(out, (height, width), report.voxel_size_nm)
    blocks = ((name, Block((z, z + 1), (0, height), (0, width))) for z, name in enumerate(names))
    yield from stage("write", write_scales, {name: (voxels, out, name, block) for name, block in blocks}, "sections")


def _to_vsvi(voxels: Voxels, report: ConvertReport, out: Path, name: str) -> Stages:
    out.mkdir(exist_ok=True)
    count, height, width = report.shape
    write_vsvi(out, report.shape, report.voxel_size_nm, name)
    blocks = {str(z): (voxels, out, Block((z, z + 1), (0, height), (0, width))) for z in range(count)}
    yield from stage("write", write_section_tiles, blocks, "sections")


def section_names(count: int) -> list[str]:
    """Names that sort as the sections follow."""
    return [f"{z:0{len(str(count - 1))}d}.tif" for z in range(count)]


def write_scales(voxels: Voxels, out: Path, name: str, block: Block) -> Written:
    """One task: a section at all scales."""
    return written(out, *write_image(out, name, voxels.read(block)[0]))


def write_section_tiles(voxels: Voxels, out: Path, block: Block) -> Written:
    """One task: a section as tiles of all levels."""
    return written(out, *write_tiles(out, block.z[0], voxels.read(block)[0]))


def write_voxels(voxels: Voxels, out: Path, block: Block) -> Written:
    """One task: a block of the source to OME-Zarr."""
    return write_block(out, block, voxels.read(block))


def new_section(file: Path, shape: tuple[int, int], report: ConvertReport) -> Written:
    """One task: a section whose pixels are still 0."""
    create_section(file, shape, report.dtype, report.voxel_size_nm)
    return partly(file.parent, file)


def write_into_sections(voxels: Voxels, files: list[Path], block: Block) -> Written:
    """One task: a block of the source to its window of each of its sections."""
    touched = files[slice(*block.z)]
    for file, pixels in zip(touched, voxels.read(block), strict=True):
        fill_section(file, block.y[0], block.x[0], pixels)
    return partly(files[0].parent, *touched)


def write_scale(source: Path, level: int, voxel_size_nm: SizeNm, out: Path, block: Block) -> Written:
    """One task: a block of a level to precomputed."""
    return write_scale_block(out, voxel_size_nm, block, read_region(source, level, block))


def _blocks(shape: Shape, report: ConvertReport) -> list[Block]:
    return pyramid(shape, report.voxel_size_nm, np.dtype(report.dtype).itemsize)[0].blocks()


def _plan(report: ConvertReport, to: str, *, spooled: bool) -> Plan:
    """Memory: what a worker holds of a block, or of a section; measured. Disk: as if nothing could be packed."""
    itemsize, (count, *section) = np.dtype(report.dtype).itemsize, report.shape
    finest = pyramid(report.shape, report.voxel_size_nm, itemsize)[0]
    block, total = prod(finest.shard) * itemsize, count * prod(section) * itemsize
    held = memory_to_write(block) + (0 if spooled else block * 7 // 5)  # reading a volume takes chunks too
    if to == "sections":
        held = 38_000_000 + block * 31 // 20
    write = Load(prod(finest.shards), held, block / 60e6)
    if to in ("pyreconstruct", "vsvi"):
        write = Load(count, memory_to_write(prod(section)), prod(section) / 60e6)
    decode = Load(count, 40_000_000 + 2 * prod(section) * itemsize, prod(section) * itemsize / 60e6)
    stages, driver = ((decode, write), 60_000_000) if spooled else ((write,), 10_000_000)
    return Plan(driver, int(total * (2.5 if spooled else 1.5)), 1, stages=stages)
