"""What goes over the wire of a stream: every message is two parts, a header in msgpack and a block of bytes, often empty.

One `Data` message is one sector of one group of frames (`emkit.stream.plan`); its key (scan, group, sector) makes it idempotent.
A group is confirmed to its senders only when a receiver has counted and written it: what is not confirmed comes again. A header
that is not exactly one of these records is refused; nothing is unpickled.

    sender      → Begin, Data, Pulse, End              ← Alive, Welcome, Confirm, Again, Closed
    receiver    → Ready, Here, Missed, Written         ← Welcome, Open, Data, Expect, Closed
    finaliser   → Ready, Finished                      ← Welcome, Close
    watcher     → Look                                 ← View
"""

from typing import Annotated, Any, Literal, get_args

import msgpack
from annotated_types import Ge, Gt, Interval, Len
from pydantic import AllowInfNan, TypeAdapter, ValidationError

from emkit.errors import DataError
from emkit.model import Thresholds
from emkit.stream.plan import Count, Name, Plan, Record, Sector

MOST_HEADER_BYTES = 2**16
Ties = Literal["keep", "drop"]
Role = Literal["receiver", "finaliser"]


class How(Record):
    """How frames are counted, the same by all receivers. `disk`: of the bright field, its centre (ky, kx) and radius, px."""

    background: Annotated[float, Ge(0)]
    xray: Annotated[float, Gt(0), AllowInfNan(True)]  # infinite: no limit
    ties: Ties = "keep"
    disk: tuple[float, float, Annotated[float, Gt(0)]] | None = None

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.background, self.xray)


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


class Alive(Record):
    """To a sender that must wait: somebody listens."""

    kind: Literal["alive"] = "alive"


class Here(Record):
    """What a receiver has written of a scan before this aggregator knew it. The block: its tally (`emkit.stream.tally`)."""

    kind: Literal["here"] = "here"
    plan: Plan


class Open(Record):
    """Data of this scan follow."""

    kind: Literal["open"] = "open"
    plan: Plan
    how: How


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
    """A group is counted and written. The block: its tally. The totals are this receiver's."""

    kind: Literal["written"] = "written"
    scan: Name
    group: Count
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
    how: How
    totals: Totals


class Finished(Record):
    """The scan is joined. The block: its tally, or nothing."""

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
    """How far a scan is; `scan` None: there is none yet. The block: its tally. `duplicate` and `late` count sectors of frames."""

    kind: Literal["view"] = "view"
    scan: Name | None
    receivers: Count
    refused: Count
    scans: Annotated[tuple[Name, ...], Len(0, 64)] = ()  # that can be looked at, the newest last
    scan_shape: tuple[Count, Count] = (0, 0)
    sectors: Annotated[int, Interval(ge=0, le=8)] = 0
    bright: bool = False  # whether there is a bright field
    frames: Count = 0
    whole: Count = 0
    partial: Count = 0
    duplicate: Count = 0
    late: Count = 0
    lag: Count = 0  # groups that were handed to receivers, and are not written
    silent: tuple[Sector, ...] = ()
    rate: Annotated[float, Ge(0)] = 0.0  # frames per second over the last seconds
    waited_s: Annotated[float, Ge(0)] = 0.0
    seconds: Annotated[float, Ge(0)] = 0.0  # since its first sender spoke; of a scan that is over, how long it took
    over: bool = False


Message = (
    Begin | Data | Pulse | End | Ready | Here | Missed | Written | Finished | Look  # to the aggregator
    | Alive | Welcome | Open | Expect | Confirm | Again | Close | Closed | View  # from it
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
