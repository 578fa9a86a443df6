"""Sections, stacks and volumes. Axis order is (z, y, x), sizes and origins are in nanometres."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Shape = tuple[int, int, int]
SizeNm = tuple[float, float, float]
VolumeKind = Literal["image", "labels"]


@dataclass(frozen=True)
class SectionFile:
    """The image of one section. `number` is what its name counts, None where the names count nothing."""

    path: Path
    number: int | None


@dataclass(frozen=True)
class Stack:
    """An ordered list of sections of one `shape` (y, x) and one `dtype` that do not share a space yet.

    `gaps` are the section numbers that are missing between the first and the last, `duplicates` those that several files bear.
    """

    files: tuple[SectionFile, ...]
    shape: tuple[int, int]
    dtype: str
    gaps: tuple[int, ...] = ()
    duplicates: tuple[int, ...] = ()


@dataclass(frozen=True)
class Level:
    """One resolution of a volume; 0 is the finest. `path` is relative to the volume, `origin_nm` the centre of the first voxel."""

    path: str
    shape: Shape
    dtype: str
    voxel_size_nm: SizeNm
    origin_nm: SizeNm


@dataclass(frozen=True)
class Volume:
    """A (z, y, x) array on disk with its coarser levels. Labels are object numbers: nothing may be averaged over them."""

    path: Path
    name: str
    kind: VolumeKind
    levels: tuple[Level, ...]
