"""Skeletons as Neuroglancer reads them: a file for an object. Positions are (x, y, z) in nm there, (z, y, x) here.

Format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/skeletons.md (unsharded).
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

INFO, TYPE = "info", "neuroglancer_skeletons"


@dataclass(frozen=True)
class Skeleton:
    """`points` (n, 3) in nm, `edges` (m, 2) of indices of points, `radii` (n,): from each point to the nearest rim, nm."""

    points: NDArray[np.float32]
    edges: NDArray[np.uint32]
    radii: NDArray[np.float32]

    @property
    def length_nm(self) -> float:
        ends = self.points[self.edges]
        return float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).sum())


def write_skeleton_info(folder: Path, segmentation: str) -> None:
    """The metadata of all skeletons of a folder; `segmentation` is the name of the volume that they belong to."""
    told = {
        "@type": TYPE,
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "vertex_attributes": [{"id": "radius", "data_type": "float32", "num_components": 1}],
        "segmentation": segmentation,
    }
    (folder / INFO).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def write_skeleton(folder: Path, label: int, skeleton: Skeleton) -> Path:
    """The file of an object."""
    parts = [
        struct.pack("<II", len(skeleton.points), len(skeleton.edges)),
        skeleton.points[:, ::-1].astype("<f4").tobytes(),
        skeleton.edges.astype("<u4").tobytes(),
        skeleton.radii.astype("<f4").tobytes(),
    ]
    (file := folder / str(label)).write_bytes(b"".join(parts))
    return file


def read_skeleton(folder: Path, label: int) -> Skeleton:
    """What `write_skeleton` wrote."""
    data = (folder / str(label)).read_bytes()
    n, m = struct.unpack_from("<II", data)
    points = np.frombuffer(data, "<f4", 3 * n, 8).reshape(n, 3)[:, ::-1]
    edges = np.frombuffer(data, "<u4", 2 * m, 8 + 12 * n).reshape(m, 2)
    return Skeleton(points, edges, np.frombuffer(data, "<f4", n, 8 + 12 * n + 8 * m))
