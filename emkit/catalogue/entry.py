"""A line of the catalogue: a scan with all that belongs to it, or a volume."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from emkit.catalogue.aside import Aside
from emkit.catalogue.progress import Progress
from emkit.catalogue.things import Thing
from emkit.io.counted import HDF5

STILL_S = 120.0  # a stream of which nothing came for so long has stopped


class State(StrEnum):
    STREAMING = "streaming"  # receivers write it now
    COUNTING = "counting"  # a run counts it, or is about to
    INCOMPLETE = "incomplete"  # something is missing, or was not brought to its end: `told` says what
    RAW = "raw"  # whole, and not counted yet
    DONE = "done"


@dataclass(frozen=True)
class Entry:
    """`at`: when it was recorded, POSIX seconds. `shape`: (sy, sx, ky, kx) of a scan, (z, y, x) of a volume. `done`: the part of
    a count that is done, None where it is not known. Paths are relative to the data folder."""

    name: str
    state: State
    told: str
    done: float | None
    run: str
    at: float
    shape: tuple[int, ...] | None
    frames: int
    raw: str | None
    raw_bytes: int | None  # also of raw frames that have been deleted; None where there never were any
    raw_removed: bool
    counted: tuple[str, ...]  # the one to use first
    counted_bytes: int | None
    facts: dict[str, str]
    notes: str
    shown: str  # the thing whose picture is shown

    @property
    def is_volume(self) -> bool:
        return self.shape is not None and len(self.shape) == 3

    def holds(self, words: Iterable[str]) -> bool:
        """Whether each word is found somewhere in it."""
        text = [self.name, self.state, self.told, self.notes, " x ".join(map(str, self.shape or ())), *self.counted]
        everything = "\n".join([*text, *(f"{name} {value}" for name, value in self.facts.items())]).casefold()
        return all(word.casefold() in everything for word in words)


def size_in_words(size: int) -> str:
    """Bytes as people say them.

    >>> [size_in_words(n) for n in (830, 10_617_856, 43_486_543_872)]
    ['0.8 kB', '10.6 MB', '43 GB']
    """
    unit, name = next(
        (unit, name)
        for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
        if size >= unit or unit == 10**3
    )
    return f"{size / unit:.0f} {name}" if size >= 20 * unit else f"{size / unit:.1f} {name}"


def entry_of(name: str, things: list[Thing], aside: Aside, progress: Progress | None, now_s: float) -> Entry:
    """From what was found of a scan, what people say of it, and the run that counts it."""
    raw = next((thing for thing in things if thing.kind == "raw"), None)
    stream = next((thing for thing in things if thing.kind == "stream"), None)
    counted = sorted((t for t in things if t.kind == "counted"), key=lambda t: (t.whole, not t.path.endswith(HDF5), t.at))[::-1]
    best = next(iter(counted), None)
    main = best or next((thing for thing in things if thing.kind == "volume"), None) or raw or stream
    first = raw or main
    if main is None or first is None:
        raise ValueError(f"nothing is there of {name}")
    state, told = _state(main, stream, progress, now_s)
    size = first.size_bytes if raw else aside.raw.size_bytes if aside.raw else None
    shape = next((thing.shape for thing in (best, raw, main) if thing and thing.shape), None)
    return Entry(
        name=name,
        state=state,
        told=told,
        done=progress.done if progress and progress.active else _streamed(stream) if state is State.STREAMING else None,
        run=progress.run if progress else "",
        at=raw.at if raw else aside.raw.recorded_at.timestamp() if aside.raw else first.at,
        shape=shape,
        frames=main.frames,
        raw=raw.path if raw else None,
        raw_bytes=size,
        raw_removed=aside.raw is not None and raw is None,
        counted=tuple(thing.path for thing in counted),
        counted_bytes=best.size_bytes if best else None if main is raw else main.size_bytes,
        facts={**(raw.facts if raw else {}), **main.facts},
        notes=aside.notes,
        shown=main.path,
    )


def _streamed(stream: Thing | None) -> float | None:
    return stream.frames / (stream.shape[0] * stream.shape[1]) if stream and stream.shape else None


def _state(main: Thing, stream: Thing | None, progress: Progress | None, now_s: float) -> tuple[State, str]:
    if progress and progress.active:
        return State.COUNTING, progress.told
    if stream:
        still = now_s - stream.at > STILL_S
        told = f"{stream.told}; the stream stopped before it was joined" if still else stream.told
        return (State.INCOMPLETE if still else State.STREAMING), told.removeprefix("; ")
    if not main.whole:
        return State.INCOMPLETE, "; ".join(filter(None, [main.told, progress.told if progress and main.kind == "raw" else ""]))
    if main.kind != "raw":
        return State.DONE, main.told
    return (State.INCOMPLETE, progress.told) if progress else (State.RAW, main.told)
