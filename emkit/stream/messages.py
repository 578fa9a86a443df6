"""What goes over the wire of a stream: every message is two parts, a header in msgpack and a block of bytes, often empty.

A scan is cut into groups of `batch` consecutive frames. One `Data` message is one sector of one group; its key (scan, group,
sector) makes it idempotent. A group is confirmed to its senders only when a receiver has counted and written it: what is not
confirmed comes again. A header that is not exactly one of these records is refused; nothing is unpickled.

    sender      → Begin, Data, Pulse, End              ← Welcome, Confirm, Again, Closed
    receiver    → Ready, Here, Missed, Written         ← Welcome, Open, Data, Expect, Closed
    finaliser   → Ready, Finished                      ← Welcome, Close
    watcher     → Look                                 ← View
"""

from math import prod
from typing import Annotated, Any, Literal, get_args

import msgpack
from annotated_types import Ge, Gt, Interval, Len
from pydantic import AllowInfNan, BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError, model_validator

from emkit.errors import DataError

MOST_HEADER_BYTES = 2**16
MOST_BLOCK_BYTES = 2**26
MOST_FRAMES = 2**24
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]  # a folder's name, too
Count = Annotated[int, Ge(0)]
Size = Annotated[int, Interval(ge=1, le=2**16)]
Sector = Annotated[int, Interval(ge=0, le=7)]
Ties = Literal["keep", "drop"]
Role = Literal["receiver", "finaliser"]


class Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Plan(Record):
    """A scan as its senders announce it. `axis` 0: sectors are strips of rows, 1: of columns. Pixels are uint16, little endian."""

    scan: Name
    scan_shape: tuple[Size, Size]
    frame_shape: tuple[Size, Size]
    sectors: Annotated[int, Interval(ge=1, le=8)] = 4
    axis: Literal[0, 1] = 0
    batch: Annotated[int, Interval(ge=1, le=64)] = 8

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

    def window(self, sector: int) -> tuple[slice, slice]:
        """Where a sector lies in its frame."""
        size = self.part_shape[self.axis]
        part = slice(sector * size, (sector + 1) * size)
        return (part, slice(None)) if self.axis == 0 else (slice(None), part)


class Begin(Record):
    kind: Literal["begin"] = "begin"
    plan: Plan
    sector: Sector


class Data(Record):
    """The frames of a group that this sector has, in ascending order; the block holds their pixels, one after the other."""

    kind: Literal["data"] = "data"
    scan: Name
    sector: Sector
    group: Count
    frames: Annotated[tuple[Count, ...], Len(0, 64)]


class Pulse(Record):
    """A sender lives. `waited_s`: how long its window was full, which is back-pressure."""

    kind: Literal["pulse"] = "pulse"
    scan: Name
    sector: Sector
    waited_s: Annotated[float, Ge(0)]


class End(Record):
    """All that the sender had, `parts` sectors of frames, is confirmed."""

    kind: Literal["end"] = "end"
    scan: Name
    sector: Sector
    parts: Count
    waited_s: Annotated[float, Ge(0)]


class Ready(Record):
    """A receiver or finaliser lives."""

    kind: Literal["ready"] = "ready"
    role: Role
    name: Name


class Welcome(Record):
    """From an aggregator that did not know you, or no longer: what you have not written comes again."""

    kind: Literal["welcome"] = "welcome"
    epoch: Name


class Here(Record):
    """What a receiver has written of a scan before this aggregator knew it. The block: of each frame the electrons, int32, -1: not
    written; then of each the mask."""

    kind: Literal["here"] = "here"
    plan: Plan


class Open(Record):
    """Data of this scan follow. How they are to be counted is the same for all receivers."""

    kind: Literal["open"] = "open"
    plan: Plan
    background: Annotated[float, Ge(0)]
    xray: Annotated[float, Gt(0), AllowInfNan(True)]  # infinite: no limit
    ties: Ties


class Missed(Record):
    """A receiver got data of a scan that was never opened to it."""

    kind: Literal["missed"] = "missed"
    scan: Name


class Expect(Record):
    """Whether a sector still comes. Groups that wait for nothing else are written as they are."""

    kind: Literal["expect"] = "expect"
    scan: Name
    sector: Sector
    expected: bool


class Written(Record):
    """A group is counted and written: of each frame the mask of its sectors, and its electrons; this receiver's totals."""

    kind: Literal["written"] = "written"
    scan: Name
    group: Count
    masks: Annotated[tuple[Annotated[int, Interval(ge=0, le=255)], ...], Len(1, 64)]
    electrons: Annotated[tuple[Count, ...], Len(1, 64)]
    duplicate: Count
    late: Count
    refused: Count


class Confirm(Record):
    kind: Literal["confirm"] = "confirm"
    scan: Name
    group: Count


class Again(Record):
    """Send these groups again, if they are not confirmed; none named: all."""

    kind: Literal["again"] = "again"
    scan: Name
    groups: Annotated[tuple[Count, ...], Len(0, 4096)]


class Totals(Record):
    """What the aggregator knows of a scan at its end."""

    duplicate: Count = 0
    late: Count = 0
    refused: dict[str, Count] = {}
    silent: tuple[Sector, ...] = ()
    parts: tuple[Count | None, ...] = ()  # that each sector's sender had; None: it did not say
    waited_s: Annotated[float, Ge(0)] = 0.0
    seconds: Annotated[float, Ge(0)] = 0.0


class Close(Record):
    """Every group that will come is written: join them."""

    kind: Literal["close"] = "close"
    plan: Plan
    totals: Totals


class Finished(Record):
    """The scan is joined. The block is as of `Here`, or empty."""

    kind: Literal["finished"] = "finished"
    scan: Name
    complete: Count
    partial: Count


class Closed(Record):
    """The scan is over. `complete`: frames that are whole."""

    kind: Literal["closed"] = "closed"
    scan: Name
    complete: Count
    partial: Count


class Look(Record):
    """Show me this scan; None: the newest."""

    kind: Literal["look"] = "look"
    scan: Name | None


class View(Record):
    """How far a scan is. The block: electrons at each position, uint32; frames that are not there are 0."""

    kind: Literal["view"] = "view"
    scan: Name | None
    receivers: Count
    refused: Count
    scan_shape: tuple[Count, Count] = (0, 0)
    frames: Count = 0
    whole: Count = 0
    partial: Count = 0
    lag: Count = 0  # groups that were handed to receivers, and are not written
    silent: tuple[Sector, ...] = ()
    rate: Annotated[float, Ge(0)] = 0.0  # frames per second over the last seconds
    waited_s: Annotated[float, Ge(0)] = 0.0
    over: bool = False


Message = (
    Begin | Data | Pulse | End | Ready | Here | Missed | Written | Finished | Look  # to the aggregator
    | Welcome | Open | Expect | Confirm | Again | Close | Closed | View  # from it
)  # fmt: skip
KINDS: dict[str, TypeAdapter[Message]] = {one.model_fields["kind"].default: TypeAdapter(one) for one in get_args(Message)}


def encode(message: Message) -> bytes:
    packed: bytes = msgpack.packb(message.model_dump())
    return packed


def decode(header: bytes | memoryview) -> Message:
    """The record that a header is. DataError, with one word of the reason, where it is none."""
    if len(header) > MOST_HEADER_BYTES:
        raise DataError("huge header")
    try:
        found: Any = msgpack.unpackb(header, use_list=False, max_array_len=4096, max_map_len=64, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        raise DataError("garbage") from None
    known = KINDS.get(found["kind"]) if isinstance(found, dict) and isinstance(found.get("kind"), str) else None
    if known is None:
        raise DataError("unknown kind")
    try:
        return known.validate_python(found)
    except ValidationError:
        raise DataError("wrong fields") from None
