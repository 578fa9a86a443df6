"""What is looked at, painted and predicted in a window of a section. Axis order is (z, y, x).

A window is a square of a section at one level of a volume's pyramid: 0 is full size, each level is half as fine in y and x. What is
painted is kept at full size. Predictions are of the level that is looked at, so that a wide window costs no more than a close one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.io.arrays import Array, Voxels
from emkit.io.formats import format_of
from emkit.io.omezarr import open_level, read_volume
from emkit.io.strokes import Strokes
from emkit.io.voxels import open_voxels
from emkit.membrane.painting import Tool, brushed, flooded, side_of
from emkit.model import Shape, SizeNm
from emkit.server.predicted import Looked

HELD = 4  # sections of a folder
SAMPLED_PX = 2048  # of the middle of a section, to find its contrast
ERASER_VALUE = 0


@dataclass(frozen=True)
class Window:
    """`height` by `width` px of a level of section `z`, from (y, x) on; px of that level."""

    z: int
    y: int
    x: int
    height: int
    width: int
    level: int = 0

    @property
    def block(self) -> Block:
        return Block((self.z, self.z + 1), (self.y, self.y + self.height), (self.x, self.x + self.width))


@dataclass(frozen=True)
class Picture:
    """What is in a window, (y, x): gray values, what is painted, and the probability of membrane (0 to 255) where it is `known`."""

    gray: NDArray[np.uint8]
    painted: NDArray[np.uint8]
    probability: NDArray[np.uint8]
    known: NDArray[np.bool_]


class Easel:
    """A volume, or a folder of sections with their voxel size, to be painted on.

    Raises PathError where there is none, ParameterError where nobody tells its voxel size.
    """

    def __init__(self, source: Path, strokes: Path, voxel_size_nm: SizeNm | None = None) -> None:
        full = open_voxels(source)
        if (size_nm := voxel_size_nm or full.voxel_size_nm) is None:
            raise ParameterError(f"voxel_size_nm is missing: {source} does not tell it. Give z, y, x in nm.")
        self.source, self.shape, self.voxel_size_nm = source, full.shape, size_nm
        self._levels = [(full, size_nm), *_coarser(source)]
        self.strokes = Strokes.open(strokes, full.shape, size_nm, full.origin_nm)
        self.model: Path | None = None
        self._looked: dict[int, Looked] = {}
        self._section = lru_cache(maxsize=HELD)(self._read_section)
        height, width = self._levels[-1][0].shape[1:]
        middle = self._gray(
            Window(full.shape[0] // 2, 0, 0, min(height, SAMPLED_PX), min(width, SAMPLED_PX), len(self._levels) - 1)
        )
        self._black, self._white = (float(value) for value in np.nanpercentile(middle.astype(np.float32), (0.5, 99.5)))

    @property
    def level_shapes(self) -> list[Shape]:
        return [voxels.shape for voxels, _ in self._levels]

    def use(self, model: Path | None) -> None:
        """Predict with this model from now on. Raises as `Looked` where it cannot see these voxels."""
        if model is not None:
            Looked(*self._levels[0], model)
        self.model, self._looked = model, {}

    def look(self, window: Window) -> Picture:
        """What is in a window now."""
        gray = self._gray(window)
        codes = np.clip((gray.astype(np.float32) - self._black) * (255 / max(self._white - self._black, 1e-9)), 0, 255)
        probability, known = self._known(window)
        return Picture(np.nan_to_num(codes).astype(np.uint8), self._painted(window), probability, known)

    def predict(self, window: Window) -> None:
        """Ask the model about a window. ParameterError where there is no model yet."""
        if self.model is None:
            raise ParameterError("There is no model yet: paint some membranes and some interior, and press Train.")
        self._of_level(window.level).predict(window.block)

    def paint(
        self, tool: Tool, value: int, points: Sequence[Sequence[float]], radius: float, window: Window, threshold: float = 0.5
    ) -> bool:
        """Paint on the section of a window: points (y, x) and radius are px at full size; whether that changed anything.

        `within` is a brush that keeps to the side of the class: interior where membrane is less probable than the threshold,
        membrane elsewhere. `fill` paints the whole of that side around the first point, as far as the window shows. Both need a
        prediction there (ParameterError), and paint only where there is one.
        """
        scale, shape = self._scale(window.level), (self.shape[1], self.shape[2])
        if tool in ("brush", "erase"):
            mask, corner = brushed(points, radius, shape)
            return self.strokes.paint(window.z, corner, mask, ERASER_VALUE if tool == "erase" else value)
        probability, known = self._known(window)
        if not known.any():
            raise ParameterError("Nothing is predicted here yet, and this tool keeps to predicted membranes. Press Predict here.")
        allowed = known & side_of(probability, value, 255 * threshold)
        if tool == "fill":
            y, x = (int((at + 0.5) // scale) - first for at, first in zip(points[0], (window.y, window.x), strict=True))
            if not (0 <= y < window.height and 0 <= x < window.width):
                return False
            allowed = flooded(allowed, (y, x))
        top, left = window.y * scale, window.x * scale
        free = allowed.repeat(scale, 0).repeat(scale, 1)[: shape[0] - top, : shape[1] - left]
        if tool == "fill":
            return self.strokes.paint(window.z, (top, left), free, value)
        mask, (y, x) = brushed(points, radius, shape)
        inside = np.zeros_like(mask)
        low, high = (
            (max(y, top), max(x, left)),
            (min(y + mask.shape[0], top + free.shape[0]), min(x + mask.shape[1], left + free.shape[1])),
        )
        if low[0] >= high[0] or low[1] >= high[1]:
            return False
        to = slice(low[0] - y, high[0] - y), slice(low[1] - x, high[1] - x)
        inside[to] = free[low[0] - top : high[0] - top, low[1] - left : high[1] - left]
        return self.strokes.paint(window.z, (y, x), mask & inside, value)

    def _scale(self, level: int) -> int:
        return round(self._levels[level][1][2] / self.voxel_size_nm[2])

    def _gray(self, window: Window) -> NDArray[np.generic]:
        if isinstance(self._levels[0][0], Array):  # what is not: sections that are decoded whole
            found: NDArray[np.generic] = self._levels[window.level][0].read(window.block)[0]
            return found
        return self._section(window.z)[window.y : window.y + window.height, window.x : window.x + window.width]

    def _read_section(self, z: int) -> NDArray[np.generic]:
        found: NDArray[np.generic] = self._levels[0][0].read(Block((z, z + 1), (0, self.shape[1]), (0, self.shape[2])))[0]
        return found

    def _painted(self, window: Window) -> NDArray[np.uint8]:
        scale = self._scale(window.level)
        y, x = ((first * scale, min((first + n) * scale, size)) for first, n, size in (
            (window.y, window.height, self.shape[1]), (window.x, window.width, self.shape[2])))  # fmt: skip
        found = self.strokes.read(Block((window.z, window.z + 1), y, x))[0, ::scale, ::scale]
        return np.ascontiguousarray(found)

    def _known(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        if self.model is None:
            empty = np.zeros((window.height, window.width), np.uint8)
            return empty, empty.astype(bool)
        probability, known = self._of_level(window.level).seen(window.block)
        return probability[0], known[0]

    def _of_level(self, level: int) -> Looked:
        if level not in self._looked and self.model is not None:
            self._looked[level] = Looked(*self._levels[level], self.model)
        return self._looked[level]


def _coarser(source: Path) -> list[tuple[Voxels, SizeNm]]:
    """The levels of a volume in which sections are whole, each half as fine as the one before."""
    if not source.is_dir() or format_of(source) != "OME-Zarr":
        return []
    full, *others = read_volume(source).levels
    found: list[tuple[Voxels, SizeNm]] = []
    for number, level in enumerate(others, 1):
        if level.shape[0] != full.shape[0] or level.voxel_size_nm[0] != full.voxel_size_nm[0]:
            break
        found.append((Array(open_level(source, number), level.voxel_size_nm, level.origin_nm, "image"), level.voxel_size_nm))
    return found
