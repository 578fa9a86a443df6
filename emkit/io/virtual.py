"""The sections of a folder as an OME-Zarr 0.5 that is nowhere stored: "before" without a copy. Axis order is (z, y, x).

A viewer asks for keys of a zarr v3 group; each chunk is cut from its section when asked for. Chunks are flat and not
compressed, since they are made to be sent once; coarser levels average y and x only, so that a chunk needs one section.
"""

import json
import re
import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.io.ngff import group_document
from emkit.io.omezarr import downsample
from emkit.io.sections import read_section
from emkit.model import Shape, SizeNm, Stack

CHUNK_PX = 256
KEPT_BYTES = 256 << 20  # decoded sections, with their coarser levels
KEY = re.compile(r"(\d+)/(?:zarr\.json|c/(\d+)/(\d+)/(\d+))")


def plain_array(shape: Shape, chunk: Shape, dtype: str) -> dict[str, Any]:
    """The metadata of a zarr v3 array (z, y, x) whose chunks are not packed."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [*shape],
        "data_type": dtype,
        "dimension_names": ["z", "y", "x"],
        "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*chunk]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }


class SectionsAsZarr:
    """Key to bytes, as a zarr store answers: `zarr.json`, `0/zarr.json`, `0/c/3/0/1`. Safe to ask from several threads."""

    def __init__(self, stack: Stack, voxel_size_nm: SizeNm) -> None:
        self._stack = stack
        self._shapes = [stack.shape]
        while max(self._shapes[-1]) > CHUNK_PX:
            y, x = self._shapes[-1]
            self._shapes.append((-(-y // 2), -(-x // 2)))
        factors = [(1, 1, 1), *[(1, 2, 2)] * (len(self._shapes) - 1)]
        self._group = group_document("", "image", voxel_size_nm, factors)
        self._dtype = np.dtype(stack.dtype).newbyteorder("<")
        section_bytes = self._dtype.itemsize * stack.shape[0] * stack.shape[1] * 4 // 3
        self._levels = lru_cache(maxsize=max(2, KEPT_BYTES // max(1, section_bytes)))(self._decode)
        self._decoding = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """The bytes under a key; None if a store would have none. DataError if the section cannot be read."""
        if key == "zarr.json":
            return json.dumps(self._group).encode()
        if not (named := KEY.fullmatch(key)) or int(named[1]) >= len(self._shapes):
            return None
        level = int(named[1])
        if named[2] is None:
            return json.dumps(self._array(level)).encode()
        return self._chunk(level, int(named[2]), int(named[3]) * CHUNK_PX, int(named[4]) * CHUNK_PX)

    def _array(self, level: int) -> dict[str, Any]:
        shape = (len(self._stack.files), *self._shapes[level])
        return plain_array(shape, (1, CHUNK_PX, CHUNK_PX), self._stack.dtype)

    def _chunk(self, level: int, z: int, y: int, x: int) -> bytes | None:
        height, width = self._shapes[level]
        if z >= len(self._stack.files) or y >= height or x >= width:
            return None
        with self._decoding:  # a viewer asks for many chunks of a section at once: it is decoded for the first
            pixels = self._levels(z)[level]
        found = pixels[y : y + CHUNK_PX, x : x + CHUNK_PX]
        chunk = np.zeros((CHUNK_PX, CHUNK_PX), self._dtype)  # at the rim a chunk is filled up
        chunk[: found.shape[0], : found.shape[1]] = found
        return chunk.tobytes()

    def _decode(self, z: int) -> list[NDArray[Any]]:
        levels = [read_section(self._stack, z)]
        for _ in self._shapes[1:]:
            levels.append(downsample(levels[-1], (2, 2), "mean"))
        return levels
