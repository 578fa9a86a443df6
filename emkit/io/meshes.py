"""Multi-resolution meshes as Neuroglancer reads them: two files for an object, one with its pieces, one that says where they lie.

Format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/meshes.md (unsharded). An object is cut by an
octree: a piece at level of detail `lod` is what lies in one cube of the grid, whose cubes are twice as wide at each coarser level.
Positions are (x, y, z) in nm there, (z, y, x) here; in a piece they are integers from 0 to 2¹⁶ - 1 across its cube, Draco-encoded.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.model import Shape, SizeNm

BITS = 16
INFO, MANIFEST = "info", "index"
TYPE = "neuroglancer_multilod_draco"
HEADER = struct.Struct("<3f3fI")


@dataclass(frozen=True)
class Piece:
    """What of an object lies in one cube: the cube's place (z, y, x) in the grid of its level, and the encoded mesh."""

    place: Shape
    mesh: bytes


@dataclass(frozen=True)
class OctreeGrid:
    """Cubes of `cube_nm` at the finest level, from `origin_nm` on; by level of detail how far they are shifted, and its scale."""

    origin_nm: SizeNm
    cube_nm: SizeNm
    shifts_nm: tuple[SizeNm, ...]
    scales_nm: tuple[float, ...]


def write_mesh_info(folder: Path, segmentation: str) -> None:
    """The metadata of all meshes of a folder; `segmentation` is the name of the volume that they belong to."""
    told = {
        "@type": TYPE,
        "vertex_quantization_bits": BITS,
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "lod_scale_multiplier": 1,
        "segmentation": segmentation,
    }
    (folder / INFO).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def encode_piece(points: NDArray[np.float64], faces: NDArray[np.uint32]) -> bytes:
    """A mesh whose points (z, y, x) are 0 to 1 across its cube. The same mesh gives the same bytes."""
    import DracoPy

    steps = np.rint(points[:, ::-1] * (2**BITS - 1)).clip(0, 2**BITS - 1).astype(np.uint32)
    encoded: bytes = DracoPy.encode(np.ascontiguousarray(steps), np.ascontiguousarray(faces))
    return encoded


def write_mesh(folder: Path, label: int, grid: OctreeGrid, levels: Sequence[Sequence[Piece]]) -> tuple[Path, Path]:
    """The two files of an object; `levels` are its pieces by level of detail, the finest first, none of them empty."""
    ordered = [sorted(pieces, key=lambda piece: _z_curve(piece.place)) for pieces in levels]
    count = len(ordered)
    manifest = [
        HEADER.pack(*reversed(grid.cube_nm), *reversed(grid.origin_nm), count),
        np.array(grid.scales_nm[:count], "<f4").tobytes(),
        np.array([shift[::-1] for shift in grid.shifts_nm[:count]], "<f4").tobytes(),
        np.array([len(pieces) for pieces in ordered], "<u4").tobytes(),
    ]
    for pieces in ordered:
        manifest.append(np.array([piece.place[::-1] for piece in pieces], "<u4").T.tobytes())
        manifest.append(np.array([len(piece.mesh) for piece in pieces], "<u4").tobytes())
    files = folder / str(label), folder / f"{label}.{MANIFEST}"
    files[0].write_bytes(b"".join(piece.mesh for pieces in ordered for piece in pieces))
    files[1].write_bytes(b"".join(manifest))
    return files


def read_mesh(folder: Path, label: int, lod: int = 0) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """Points (z, y, x) in nm and faces of an object at a level of detail; points at faces of cubes that coincide are one."""
    import DracoPy

    manifest, data = (folder / f"{label}.{MANIFEST}").read_bytes(), (folder / str(label)).read_bytes()
    cube, origin = (np.array(part) for part in (HEADER.unpack_from(manifest)[:3], HEADER.unpack_from(manifest)[3:6]))
    count = HEADER.unpack_from(manifest)[6]
    at = HEADER.size + 4 * count
    shifts = np.frombuffer(manifest, "<f4", 3 * count, at).reshape(count, 3)
    sizes = np.frombuffer(manifest, "<u4", count, at + 12 * count)
    at, start = at + 16 * count, 0
    points: list[NDArray[Any]] = []
    faces: list[NDArray[Any]] = []
    for level, pieces in enumerate(sizes):
        places = np.frombuffer(manifest, "<u4", 3 * pieces, at).reshape(3, pieces).T
        lengths = np.frombuffer(manifest, "<u4", pieces, at + 12 * pieces)
        at += 16 * pieces
        for place, length in zip(places, lengths, strict=True):
            if level == lod:
                piece = DracoPy.decode(data[start : start + length])
                faces.append(np.asarray(piece.faces) + sum(map(len, points)))
                points.append(origin + shifts[level] + cube * 2**level * (place + piece.points.astype(float) / (2**BITS - 1)))
            start += int(length)
    every, which = np.unique(np.concatenate(points).round(6), axis=0, return_inverse=True)
    return every[:, ::-1], which.reshape(-1)[np.concatenate(faces)].astype(np.uint32)


def _z_curve(place: Shape) -> int:
    """The number of a cube on the Z curve: the bits of x, y and z interleaved, those of x lowest."""
    return sum(((place[2 - axis] >> bit) & 1) << (3 * bit + axis) for bit in range(21) for axis in range(3))
