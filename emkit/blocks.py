"""Chunk grid, shard grid and pyramid of an array: pure geometry. Axis order is (z, y, x).

A *chunk* is what is compressed as one, a *shard* is one file of chunks, a *block* is what one task works on. zarr is atomic
per file only, so here a block is exactly one shard: tasks may write theirs in any order and at once.

Along the pyramid a shard shrinks as its level does (512, 256, 128, 64), so that the coarser picture of one shard is again one
shard and a block goes down several levels without being read back. Where it would fall below a chunk the shard is full-size
again: such a level *starts a group*, and is built from the level before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod

from emkit.model import Shape, SizeNm

Span = tuple[int, int]
CHUNK_PX, SHARD_PX = 64, 512
SHARD_BYTES = SHARD_PX**3  # a worker holds one shard: 512³ of one byte, fewer voxels of wider types


@dataclass(frozen=True)
class Block:
    """The half-open box of indices z[0]:z[1], y[0]:y[1], x[0]:x[1]."""

    z: Span
    y: Span
    x: Span

    def __str__(self) -> str:
        """As a task of this block is called.

        >>> str(Block((0, 64), (512, 1024), (0, 512)))
        'z 0:64, y 512:1024, x 0:512'
        """
        return ", ".join(f"{axis} {low}:{high}" for axis, (low, high) in zip("zyx", (self.z, self.y, self.x), strict=True))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        return slice(*self.z), slice(*self.y), slice(*self.x)

    @property
    def shape(self) -> Shape:
        return self.z[1] - self.z[0], self.y[1] - self.y[0], self.x[1] - self.x[0]

    def coarser(self, factor: Shape) -> "Block":
        """The block of the next level that covers this one, which begins at a multiple of `factor`."""
        z, y, x = ((low // f, -(-high // f)) for (low, high), f in zip((self.z, self.y, self.x), factor, strict=True))
        return Block(z, y, x)

    def finer(self, factor: Shape, shape: Shape) -> "Block":
        """The block of the finer level of this `shape` that this one is made from."""
        spans = zip((self.z, self.y, self.x), factor, shape, strict=True)
        z, y, x = ((low * f, min(high * f, size)) for (low, high), f, size in spans)
        return Block(z, y, x)


@dataclass(frozen=True)
class Grid:
    """One level: its shape, the factor that made it from the finer level, chunk, shard, and whether it starts a group."""

    shape: Shape
    factor: Shape
    chunk: Shape
    shard: Shape
    starts_group: bool

    @property
    def shards(self) -> Shape:
        """How many shards lie along each axis."""
        return _each(lambda n, shard: -(-n // shard), self.shape, self.shard)

    def blocks(self) -> list[Block]:
        """One block per shard, in (z, y, x) order; together they are the whole array, once.

        >>> [block.x for block in Grid((1, 1, 5), (1, 1, 1), (1, 1, 2), (1, 1, 4), True).blocks()]
        [(0, 4), (4, 5)]
        """
        spans = ([(low, min(low + n, size)) for low in range(0, size, n)] for size, n in zip(self.shape, self.shard, strict=True))
        return [Block(*found) for found in product(*spans)]


def shard_shape(itemsize: int, shard_px: int = SHARD_PX) -> Shape:
    """The largest full shard: a cube of `shard_px`, its longest side halved until it fits into `SHARD_BYTES`.

    >>> shard_shape(1), shard_shape(2)
    ((512, 512, 512), (256, 512, 512))
    """
    sides = [shard_px] * 3
    while prod(sides) * itemsize > SHARD_BYTES:
        sides[sides.index(max(sides))] //= 2
    return sides[0], sides[1], sides[2]


def halving(shape: Shape, voxel_size_nm: SizeNm) -> Shape:
    """The factor to the next level: 2 along each axis that can be halved and whose voxels are not already the coarse ones.

    Thick sections keep their z until y and x have come within a factor of 1.5, so that voxels become cubes.

    >>> halving((20, 1024, 1024), (45, 4.6, 4.6))
    (1, 2, 2)
    """
    finest = min(size for size, n in zip(voxel_size_nm, shape, strict=True) if n > 1)
    z, y, x = (2 if n > 1 and size < 1.5 * finest else 1 for size, n in zip(voxel_size_nm, shape, strict=True))
    return z, y, x


def pyramid(
    shape: Shape,
    voxel_size_nm: SizeNm,
    itemsize: int,
    *,
    chunk_px: int | Shape = CHUNK_PX,
    shard_px: int | Shape = SHARD_PX,
) -> list[Grid]:
    """All levels, the finest first, until no axis is longer than a chunk. `shard_px` is `chunk_px` times a power of two.

    Numbers are the sides of cubes, and the shard is then made to fit into `SHARD_BYTES`; shapes are taken as they are.
    """
    chunk = (chunk_px,) * 3 if isinstance(chunk_px, int) else chunk_px
    widest = (shard_px,) * 3 if isinstance(shard_px, int) else shard_px
    if any(side % part or (side // part).bit_count() != 1 for side, part in zip(widest, chunk, strict=True)):
        raise ValueError(f"shard_px={shard_px} is not chunk_px={chunk_px} times a power of two")
    full = sides = shard_shape(itemsize, shard_px) if isinstance(shard_px, int) else widest
    grids = [_grid(shape, (1, 1, 1), full, chunk, starts_group=True)]
    while max(shape) > max(chunk):
        factor = halving(shape, voxel_size_nm)
        sides = _each(lambda side, f: side // f, sides, factor)
        # Along an axis with several shards each must hold a chunk at least; one shard for all may shrink with its level.
        small = zip(sides, chunk, shape, grids[-1].shard, strict=True)
        anew = any(side < part and n > shard for side, part, n, shard in small)
        sides = full if anew else sides
        shape = _each(lambda n, f: -(-n // f), shape, factor)
        voxel_size_nm = scaled(voxel_size_nm, factor)
        grids.append(_grid(shape, factor, sides, chunk, starts_group=anew))
    return grids


def scaled(size_nm: SizeNm, factor: Shape) -> SizeNm:
    """Sizes of voxels that are `factor` larger."""
    z, y, x = (size * f for size, f in zip(size_nm, factor, strict=True))
    return z, y, x


def _grid(shape: Shape, factor: Shape, sides: Shape, full_chunk: Shape, *, starts_group: bool) -> Grid:
    chunk = _each(min, shape, full_chunk)  # a thin stack has thin chunks
    whole = _each(lambda n, c: -(-n // c) * c, shape, chunk)
    shard = _each(lambda side, c, n: min(max(side, c), n), sides, full_chunk, whole)
    return Grid(shape, factor, chunk, shard, starts_group)


def _each(rule: Callable[..., int], *of: Shape) -> Shape:
    z, y, x = (rule(*numbers) for numbers in zip(*of, strict=True))
    return z, y, x
