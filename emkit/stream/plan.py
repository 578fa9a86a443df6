"""A scan as its senders announce it, and the words that all records of a stream are made of.

A scan is cut into groups of `batch` consecutive frames; of each group every sector server sends its part.
"""

from math import prod
from typing import Annotated, Literal

from annotated_types import Ge, Interval
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

MOST_BLOCK_BYTES = 2**26
MOST_FRAMES = 2**24
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]  # a folder's name, too
Count = Annotated[int, Ge(0)]
Size = Annotated[int, Interval(ge=1, le=2**16)]
Sector = Annotated[int, Interval(ge=0, le=7)]


class Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")


class Plan(Record):
    """A scan as its senders announce it. `axis` 0: sectors are strips of rows, 1: of columns. Pixels are uint16, little endian."""

    scan: Name
    scan_shape: tuple[Size, Size]
    frame_shape: tuple[Size, Size]
    sectors: Annotated[int, Interval(ge=1, le=8)] = 4
    axis: Literal[0, 1] = 0
    batch: Annotated[int, Interval(ge=1, le=64)] = 16

    @model_validator(mode="after")
    def _fits(self) -> "Plan":
        if self.frame_shape[self.axis] % self.sectors:
            raise ValueError(f"{self.frame_shape} is not cut into {self.sectors} equal sectors along axis {self.axis}")
        if self.frames > MOST_FRAMES or self.batch * self.part_bytes > MOST_BLOCK_BYTES:
            raise ValueError(f"{self.frames} frames in blocks of {self.batch * self.part_bytes} bytes are more than a stream takes")
        return self

    @property
    def frames(self) -> int:
        return prod(self.scan_shape)

    @property
    def groups(self) -> int:
        return -(-self.frames // self.batch)

    @property
    def part_shape(self) -> tuple[int, int]:
        height, width = self.frame_shape
        return (height // self.sectors, width) if self.axis == 0 else (height, width // self.sectors)

    @property
    def part_bytes(self) -> int:
        return prod(self.part_shape) * 2

    def group(self, number: int) -> range:
        """The frames of a group."""
        return range(number * self.batch, min((number + 1) * self.batch, self.frames))

    def span(self, number: int) -> slice:
        """The frames of a group, in an array of all frames."""
        return slice(number * self.batch, min((number + 1) * self.batch, self.frames))

    def window(self, sector: int) -> tuple[slice, slice]:
        """Where a sector lies in its frame."""
        size = self.part_shape[self.axis]
        part = slice(sector * size, (sector + 1) * size)
        return (part, slice(None)) if self.axis == 0 else (slice(None), part)
