"""Strokes that somebody paints on a volume, kept as they are painted: labels of the volume's shape, of which most is not there.

    strokes = Strokes.open(path, shape, voxel_size_nm)
    strokes.paint(z, (y, x), mask, 2)     # (y, x): where the mask begins
    strokes.undo()

The volume (OME-Zarr labels, uint8) has 0 where nothing is painted, and a file for each painted square of a section. Each stroke is
first a line of `strokes.jsonl` beside the voxels, with what was there before and what is there now, and then voxels: whatever ends
the process in between, the stroke is there when the volume is opened again. Undo is a line too. A lock is held for each of them, so
that two notebooks may paint the same volume. Axis order is (z, y, x).
"""

import fcntl
import json
import os
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import DataError, PathError
from emkit.io.omezarr import create_volume, read_region, read_volume, write_block
from emkit.model import Shape, SizeNm

JOURNAL = "strokes.jsonl"
SQUARE: Shape = (1, 256, 256)
PAUSE_S = 120.0  # who does not paint for longer does something else


@dataclass(frozen=True)
class Round:
    """What was painted since the last training: strokes that were not undone, and the minutes of painting, pauses left out."""

    number: int
    strokes: int
    minutes: float

    def __str__(self) -> str:
        return f"Round {self.number}: {self.strokes} stroke{'s' * (self.strokes != 1)}, {self.minutes:.1f} min"


@dataclass
class Strokes:
    """An open volume of strokes."""

    path: Path
    shape: Shape
    _offset: int = 0  # of the journal that was read
    _last: int | None = None  # where its last line begins that changed voxels
    _stack: list[tuple[int, float]] = field(default_factory=list)  # strokes that are not undone: where their line begins, and when
    _rounds: list[int] = field(default_factory=list)  # how many strokes there were before each round but the first

    @classmethod
    def open(cls, path: Path, shape: Shape, voxel_size_nm: SizeNm, origin_nm: SizeNm = (0.0, 0.0, 0.0)) -> "Strokes":
        """The strokes of a volume of this shape, begun where there are none yet. PathError where the path holds something else."""
        if not (path / "zarr.json").exists():
            path.mkdir(parents=True, exist_ok=True)
            create_volume(
                path, shape=shape, dtype="uint8", voxel_size_nm=voxel_size_nm, origin_nm=origin_nm, kind="labels",
                chunk_px=SQUARE, shard_px=SQUARE, levels=1,
            )  # fmt: skip
        held = read_volume(path)
        if held.kind != "labels" or held.levels[0].shape != shape or held.levels[0].dtype != "uint8":
            raise PathError(
                f"{path} holds {held.kind} of {held.levels[0].shape} voxels, {held.levels[0].dtype}; needed: strokes on a volume "
                f"of {shape}. Name another folder, or the volume that they were painted on."
            )
        strokes = cls(path, shape)
        with strokes._locked():
            if strokes._last is not None:
                strokes._apply(strokes._line(strokes._last))
        return strokes

    def read(self, block: Block) -> NDArray[np.uint8]:
        """What is painted in a block."""
        found: NDArray[np.uint8] = read_region(self.path, 0, block)
        return found

    def paint(self, z: int, corner: tuple[int, int], mask: NDArray[np.bool_], value: int) -> bool:
        """Give this value to the pixels of a mask that begins at `corner` (y, x) of a section; whether that changed anything."""
        if not mask.any():
            return False
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        y, x = corner[0] + int(rows[0]), corner[1] + int(columns[0])
        with self._locked():
            before = self.read(Block((z, z + 1), (y, y + inner.shape[0]), (x, x + inner.shape[1])))[0]
            after = np.where(inner, np.uint8(value), before)
            if np.array_equal(before, after):
                return False
            line = {"z": z, "y": y, "x": x, "shape": inner.shape, "before": _packed(before), "after": _packed(after)}
            self._apply(self._append(line))
        return True

    def undo(self) -> int | None:
        """Take back the last stroke; the section it was on, None where there is none."""
        with self._locked():
            if not self._stack:
                return None
            line = self._line(self._stack[-1][0])
            self._apply(self._append(line | {"undo": True, "before": line["after"], "after": line["before"]}))
        return int(line["z"])

    def begin_round(self, model: str) -> None:
        """A model was trained on what is painted: strokes from now on are of the next round."""
        with self._locked():
            self._append({"trained": model})

    @property
    def round(self) -> Round:
        first = self._rounds[-1] if self._rounds else 0
        times = [at for _, at in self._stack[first:]]
        painted_s = sum(gap for gap in np.diff(times) if gap < PAUSE_S)
        return Round(len(self._rounds) + 1, len(times), painted_s / 60)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """What others wrote is known, and nobody else writes."""
        with (self.path / JOURNAL).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._catch_up()
            yield

    def _catch_up(self) -> None:
        """Read what the journal has become; a last line that was cut off is no line."""
        with (self.path / JOURNAL).open("rb+") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(self._offset)
                    return
                self._note(_parsed(self.path, line), self._offset)
                self._offset += len(line)

    def _note(self, line: dict[str, Any], offset: int) -> None:
        if "trained" in line:
            self._rounds.append(len(self._stack))
            return
        self._last = offset
        if not line.get("undo"):
            self._stack.append((offset, line["at"]))
            return
        self._stack.pop()
        self._rounds = [min(first, len(self._stack)) for first in self._rounds]

    def _append(self, line: dict[str, Any]) -> dict[str, Any]:
        line = line | {"at": time.time()}
        with (self.path / JOURNAL).open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._catch_up()
        return line

    def _line(self, offset: int) -> dict[str, Any]:
        with (self.path / JOURNAL).open("rb") as file:
            file.seek(offset)
            return _parsed(self.path, file.readline())

    def _apply(self, line: dict[str, Any]) -> None:
        """Write the voxels of a line, square by square."""
        z, y, x, (height, width) = line["z"], line["y"], line["x"], line["shape"]
        after = np.frombuffer(zlib.decompress(b64decode(line["after"])), np.uint8).reshape(height, width)
        for square in _squares(self.shape, z, (y, y + height), (x, x + width)):
            voxels = self.read(square)
            rows, columns = ((max(low, a), min(high, b)) for (low, high), (a, b) in _spans(square, y, x, height, width))
            inside = slice(rows[0] - square.y[0], rows[1] - square.y[0]), slice(columns[0] - square.x[0], columns[1] - square.x[0])
            voxels[0][inside] = after[rows[0] - y : rows[1] - y, columns[0] - x : columns[1] - x]
            write_block(self.path, square, np.ascontiguousarray(voxels))


def _squares(shape: Shape, z: int, y: tuple[int, int], x: tuple[int, int]) -> Iterator[Block]:
    """The squares of a section that these rows and columns touch."""
    _, high, wide = (min(side, size) if k == 0 else side for k, (side, size) in enumerate(zip(SQUARE, shape, strict=True)))
    for top in range(y[0] // high * high, y[1], high):
        for left in range(x[0] // wide * wide, x[1], wide):
            yield Block((z, z + 1), (top, min(top + high, shape[1])), (left, min(left + wide, shape[2])))


def _spans(square: Block, y: int, x: int, height: int, width: int) -> tuple[Any, Any]:
    return (square.y, (y, y + height)), (square.x, (x, x + width))


def _packed(pixels: NDArray[np.uint8]) -> str:
    return b64encode(zlib.compress(np.ascontiguousarray(pixels).tobytes())).decode()


def _parsed(path: Path, line: bytes) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        raise DataError(
            f"{path / JOURNAL} is damaged: a line is no JSON ({line[:40]!r}). The strokes are in the volume; move the file away to "
            "go on painting, without undo."
        ) from None
    return told
