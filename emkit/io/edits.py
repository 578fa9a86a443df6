"""The edits of a segmentation: a file of JSON lines beside it, which only ever grows. Points are voxels (z, y, x).

The n-th line is edit n. Nothing of the segmentation is written: it and its record stay whole, and undoing is one more line. Whoever
adds a line holds a lock on the file from before the look at what the line rests on, so that people may edit at once; a line
that a kill or a power cut left without its end is none, and the next one takes its place.
"""

import fcntl
import getpass
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from emkit.errors import DamagedError, PathError
from emkit.model import Shape

Kind = Literal["merge", "split", "undo"]


@dataclass(frozen=True)
class Edit:
    """`points` are the two that were clicked, `pairs` the fragments that a merge joins and a split parts; an undo names the edit
    that is as if it had never been (of an undo: that edit holds again)."""

    kind: Kind
    points: tuple[Shape, ...]
    pairs: tuple[tuple[int, int], ...]
    undoes: int | None
    author: str
    time: str

    def __str__(self) -> str:
        if self.kind == "undo":
            told = f"undo of {self.undoes}"
        else:
            told = f"{self.kind} at " + " and ".join("({}, {}, {})".format(*point) for point in self.points)
        return f"{told}, {self.author}, {self.time}"


def edits_of(segmentation: Path) -> Path:
    """Where the edits of a segmentation lie: beside it, under its name."""
    return segmentation.with_name(f"{segmentation.name}.edits.jsonl")


def new_edit(kind: Kind, points: Sequence[Shape] = (), pairs: Sequence[tuple[int, int]] = (), *, undoes: int | None = None) -> Edit:
    """An edit by this account, now."""
    return Edit(kind, tuple(points), tuple(pairs), undoes, getpass.getuser(), datetime.now(UTC).isoformat(timespec="seconds"))


def read_edits(file: Path) -> tuple[Edit, ...]:
    """All edits in their order; none where there is no file. DamagedError where a line is no edit."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return ()
    return _parsed(file, data)


def undone(edits: Sequence[Edit]) -> set[int]:
    """The numbers (from 1) of the edits that an undo names which holds itself."""
    found: set[int] = set()
    for number, edit in reversed(list(enumerate(edits, 1))):
        if edit.undoes is not None and number not in found:
            found.add(edit.undoes)
    return found


def live(edits: Sequence[Edit]) -> list[int]:
    """The numbers of the merges and splits that hold."""
    gone = undone(edits)
    return [number for number, edit in enumerate(edits, 1) if edit.kind != "undo" and number not in gone]


class Pen:
    """Adds edits to a file that is locked as long as this lives; `edits` are all that it holds."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self._descriptor = descriptor
        data = file.read_bytes()
        self._end = data.rfind(b"\n") + 1
        self.edits = _parsed(file, data)

    def add(self, edit: Edit) -> int:
        """Returns its number once the line would outlive a power cut."""
        line = json.dumps(asdict(edit), separators=(",", ":")).encode() + b"\n"
        os.ftruncate(self._descriptor, self._end)
        os.pwrite(self._descriptor, line, self._end)
        os.fsync(self._descriptor)
        self._end += len(line)
        self.edits = (*self.edits, edit)
        return len(self.edits)


@contextmanager
def writing(file: Path) -> Iterator[Pen]:
    """The right to add edits, alone; waits for whoever has it. PathError where the file cannot be written."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise PathError(
            f"{file} cannot be written ({error.strerror}), and edits are kept beside the segmentation. "
            "Ask its owner for the right to write there, or copy the segmentation to a folder of yours."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go of when the descriptor is closed, also by a kill
        yield Pen(file, descriptor)
    finally:
        os.close(descriptor)


def _parsed(file: Path, data: bytes) -> tuple[Edit, ...]:
    return tuple(_edit(file, number, line) for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1))


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Edit)


def _edit(file: Path, number: int, line: bytes) -> Edit:
    from pydantic import ValidationError

    try:
        edit: Edit = _adapter().validate_json(line)
    except ValidationError:
        edit = Edit("undo", (), (), None, "", "")
    if edit.kind == "undo" and not 0 < (edit.undoes or 0) < number:
        raise DamagedError(
            f"{file}, line {number}: found {line[:60].decode(errors='replace')!r}; needed: an edit, as emkit edit-segments writes "
            "them. Take a copy of the file from before it was changed by other means."
        )
    return edit
