"""Objects of a segmentation to meshes that Neuroglancer shows. Axis order is (z, y, x).

Each level of detail is made from a level of the volume. A task makes the pieces of all objects in some cubes, another puts together
what belongs to an object.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import log2, prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.io.meshes import OctreeGrid, Piece, encode_piece, write_mesh, write_mesh_info
from emkit.io.omezarr import read_region, read_volume
from emkit.membrane.meshes import surfaces_in
from emkit.model import Level, Shape
from emkit.params import Reads, Writes
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

CUBE_PX, CUBES, TOGETHER = 64, 4, 200  # voxels of a finest cube along x; cubes along each axis, and objects, of a task
PARTS = "parts"  # a folder within the unfinished output


@dataclass(frozen=True)
class MeshReport:
    """What was written. `missing`: objects that were asked for and are not there."""

    objects: int
    levels: int
    bytes: int
    missing: tuple[int, ...] = ()

    def __str__(self) -> str:
        told = f"{self.objects} objects at up to {self.levels} levels of detail, {self.bytes / 1e6:,.1f} MB"
        return told + (f"; not in the volume: {', '.join(map(str, self.missing))}" if self.missing else "")


@dataclass(frozen=True)
class Cubes:
    """The cubes of a level of detail. `cells`: how many gaps between voxels of `level` one is wide, (z, y, x)."""

    volume: Path
    out: Path
    lod: int
    level: int
    shape: Shape
    cells: Shape

    @property
    def counts(self) -> Shape:
        """How many lie along each axis: a volume of n voxels has n + 1 gaps, those before and behind it included."""
        z, y, x = (-(-(n + 1) // side) for n, side in zip(self.shape, self.cells, strict=True))
        return z, y, x


@step
def mesh(
    segmentation: Annotated[Path, Reads("volume")],
    *,
    out: Annotated[Path, Writes("folder")],
    objects: list[Annotated[int, Ge(1)]] | None = None,
    finest_level: Annotated[int, Ge(0)] = 0,
) -> Body[MeshReport]:
    """Mesh the objects of a segmentation at several levels of detail, as Neuroglancer shows them.

    Written beside the segmentation, as NAME.mesh beside NAME.ome.zarr, they are shown by emkit view and in the dashboards.

    Parameters
    ----------
    segmentation
        The labels, OME-Zarr.
    out
        A folder of meshes: Neuroglancer precomputed, one of its formats that web servers need nothing for.
    objects
        The numbers of the objects. Default: all.
    finest_level
        The level of the volume that the finest meshes are made from; each more is twice as coarse, and takes an eighth of the time.
    """
    volume = read_volume(segmentation)
    if volume.kind != "labels":
        raise ParameterError(f"segmentation: {segmentation} holds an image; needed: labels, as segment makes them.")
    if finest_level >= len(volume.levels):
        raise ParameterError(f"finest_level: found {finest_level}, but {segmentation} has levels 0 to {len(volume.levels) - 1}.")
    levels = volume.levels[finest_level:]
    cubes = _levels_of_detail(segmentation, out, levels, finest_level)
    tasks = {f"lod {c.lod}, cubes {first}": (c, first, tuple(objects or ())) for c in cubes for first in _firsts(c)}
    yield _plan(cubes, tasks, prod(levels[0].shape))

    (out / PARTS).mkdir(parents=True, exist_ok=True)
    write_mesh_info(out, segmentation.name)
    yield from stage("cubes", mesh_cubes, tasks, "parts")
    labels = sorted({int(label) for file in (out / PARTS).glob("*.npy") for label in np.load(file)[:, 0]})
    groups = [tuple(labels[low : low + TOGETHER]) for low in range(0, len(labels), TOGETHER)]
    grid = _grid(levels, cubes)
    made = yield from stage("objects", join_pieces, {f"{g[0]} to {g[-1]}": (out, grid, g) for g in groups}, "groups")
    shutil.rmtree(out / PARTS, ignore_errors=True)
    size = sum((out / name).stat().st_size for part in made.values() for name in part.files)
    return MeshReport(len(labels), len(cubes), size, tuple(sorted(set(objects or ()) - set(labels))))


def mesh_cubes(cubes: Cubes, first: Shape, objects: tuple[int, ...]) -> Written:
    """One task: the pieces of all objects in some cubes. Rows of the table: object, lod, z, y, x, where its bytes begin and end."""
    wanted = np.array(objects) if objects else None
    data, rows, at = [], [], 0
    last = [min(place + CUBES, n) for place, n in zip(first, cubes.counts, strict=True)]
    low = [place * side for place, side in zip(first, cubes.cells, strict=True)]
    high = [place * side for place, side in zip(last, cubes.cells, strict=True)]
    labels = _read_around(cubes, low, high)
    for place in product(*(range(a, b) for a, b in zip(first, last, strict=True))):
        start = [(p - f) * side for p, f, side in zip(place, first, cubes.cells, strict=True)]
        cube = labels[tuple(slice(s, s + side + 3) for s, side in zip(start, cubes.cells, strict=True))]
        for label, encoded in _pieces(cube, cubes, wanted):
            rows.append((label, cubes.lod, *place, at, at + len(encoded)))
            data.append(encoded)
            at += len(encoded)
    name = f"{cubes.lod}-" + "-".join(map(str, first))
    table, pieces = cubes.out / PARTS / f"{name}.npy", cubes.out / PARTS / f"{name}.bin"
    np.save(table, np.array(rows, np.int64).reshape(-1, 7))
    pieces.write_bytes(b"".join(data))
    return written(cubes.out, table, pieces)


def join_pieces(out: Path, grid: OctreeGrid, labels: tuple[int, ...]) -> Written:
    """One task: the files of some objects, from their pieces."""
    found: dict[int, dict[int, list[Piece]]] = {label: {} for label in labels}
    for file in sorted((out / PARTS).glob("*.npy")):
        table = np.load(file)
        mine = table[np.isin(table[:, 0], labels)]
        if len(mine):
            data = file.with_suffix(".bin").read_bytes()
            for label, lod, z, y, x, start, end in mine.tolist():
                found[label].setdefault(lod, []).append(Piece((z, y, x), data[start:end]))
    files: list[Path] = []
    for label, pieces in found.items():
        depth = next(lod for lod in range(len(grid.scales_nm) + 1) if lod not in pieces)  # a coarse level may have lost it
        if depth:
            files += write_mesh(out, label, grid, [pieces[lod] for lod in range(depth)])
    return written(out, *files)


def _pieces(cube: NDArray[Any], cubes: Cubes, wanted: NDArray[np.int64] | None) -> Iterator[tuple[int, bytes]]:
    """The encoded meshes of the objects in a cube, which is given with a voxel before it and two behind."""
    found: dict[int, list[tuple[NDArray[np.float64], NDArray[np.uint32]]]] = {}
    if not cube.any():
        return
    for start, side in _octants(cubes):
        part = cube[tuple(slice(s, s + n + 3) for s, n in zip(start, side, strict=True))]
        for label, surface in surfaces_in(part, wanted):
            found.setdefault(label, []).append((surface.points - 1 + start, surface.faces))
    for label, parts in sorted(found.items()):
        firsts = np.cumsum([0, *(len(points) for points, _ in parts[:-1])])
        points = np.concatenate([points for points, _ in parts]) / cubes.cells
        yield label, encode_piece(points, np.concatenate([f + np.uint32(n) for (_, f), n in zip(parts, firsts, strict=True)]))


def _octants(cubes: Cubes) -> Iterator[tuple[Shape, Shape]]:
    """Where the parts of a cube begin, and how wide they are."""
    if not cubes.lod:
        yield (0, 0, 0), cubes.cells
        return
    z, y, x = ([(0, side // 2), (side // 2, side - side // 2)] if side > 1 else [(0, side)] for side in cubes.cells)
    for spans in product(z, y, x):
        (z0, nz), (y0, ny), (x0, nx) = spans
        yield (z0, y0, x0), (nz, ny, nx)


def _read_around(cubes: Cubes, low: list[int], high: list[int]) -> NDArray[Any]:
    """The voxels of the gaps low to high, the first of which lies before the volume, with one more each way; 0 outside."""
    spans = [(a - 2, b + 1) for a, b in zip(low, high, strict=True)]
    inside = [(max(a, 0), min(b, n)) for (a, b), n in zip(spans, cubes.shape, strict=True)]
    labels = read_region(cubes.volume, cubes.level, Block(inside[0], inside[1], inside[2]))
    return np.pad(labels, [(i[0] - s[0], s[1] - i[1]) for i, s in zip(inside, spans, strict=True)])


def _levels_of_detail(volume: Path, out: Path, levels: tuple[Level, ...], finest: int) -> list[Cubes]:
    """A level of detail for each level of the volume, as long as it has more than one cube."""
    sizes = levels[0].voxel_size_nm
    base = [max(2, CUBE_PX >> max(0, round(log2(size / sizes[2])))) for size in sizes]
    cubes: list[Cubes] = []
    for lod, level in enumerate(levels):
        factors = [round(coarse / fine) for coarse, fine in zip(level.voxel_size_nm, sizes, strict=True)]
        z, y, x = (side * 2**lod // factor for side, factor in zip(base, factors, strict=True))
        cubes.append(Cubes(volume, out, lod, finest + lod, level.shape, (z, y, x)))
        if max(cubes[-1].counts) == 1:
            break
    return cubes


def _grid(levels: tuple[Level, ...], cubes: list[Cubes]) -> OctreeGrid:
    """Where the grid of cubes lies: it begins at the centre of the voxel before the first one."""
    before = [np.subtract(level.origin_nm, level.voxel_size_nm) for level in levels]
    shifts = tuple((float(z), float(y), float(x)) for z, y, x in (b - before[0] for b in before[: len(cubes)]))
    cube = [side * size for side, size in zip(cubes[0].cells, levels[0].voxel_size_nm, strict=True)]
    scales = tuple(level.voxel_size_nm[2] for level in levels[: len(cubes)])
    return OctreeGrid((float(before[0][0]), float(before[0][1]), float(before[0][2])), (cube[0], cube[1], cube[2]), shifts, scales)


def _firsts(cubes: Cubes) -> list[Shape]:
    z, y, x = (range(0, n, CUBES) for n in cubes.counts)
    return list(product(z, y, x))


def _plan(cubes: list[Cubes], tasks: dict[str, tuple[Cubes, Shape, tuple[int, ...]]], voxels: int) -> Plan:
    """Memory: what a worker holds of its cubes, twice, and of the surfaces of one; measured. Disk: half a byte a voxel."""
    task = max(prod(min(CUBES * side, n + 1) for side, n in zip(c.cells, c.shape, strict=True)) for c in cubes)
    work = Load(len(tasks), 45_000_000 + 9 * task, task * 1.5e-7)
    return Plan(2_000_000, voxels // 2, 0.5, stages=(work, Load(1, 30_000_000, 1.0)))
