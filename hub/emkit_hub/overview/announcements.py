"""What admins tell everybody: one JSON file, written whole by the service, read by the service and by the hub's pages.

Text is text: whoever shows it escapes it.
"""

import logging
import os
import secrets
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

log = logging.getLogger(__name__)
FILE_NAME = "announcements.json"
MOST = 20  # at the same time: more is no announcement any more
TEXT_LENGTH = 2000
Level = Literal["info", "warning", "outage"]


class AnnouncementError(ValueError):
    """A posting that is refused: what was found and what to do."""


class Posting(BaseModel):
    """What an admin posts. `until`: a time with its zone, or POSIX seconds; None: until it is withdrawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TEXT_LENGTH)]
    level: Level = "info"
    until: AwareDatetime | None = None


class Announcement(BaseModel):
    """What everybody reads; times are POSIX seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    text: str
    level: Level
    since: float
    until: float | None = None


_FILE = TypeAdapter(Annotated[tuple[Announcement, ...], Field(max_length=MOST)])
_WEIGHT = {"outage": 0, "warning": 1, "info": 2}


class Announcements:
    """Those in `file`. One process writes; any number may read, since the file is replaced whole."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read: tuple[tuple[int, int], tuple[Announcement, ...]] | None = None  # by the file's inode and time

    def current(self) -> tuple[Announcement, ...]:
        """Those whose time has not ended, outages first, then the newest. A damaged file is told as one, and never raises."""
        try:
            kept = self._kept()
        except (OSError, ValidationError) as error:
            log.error("%s cannot be read as announcements: %s. Mend or remove it.", self.file, error)
            told = "The announcements of this site cannot be read. The log of the hub says why."
            return (Announcement(id="unreadable", text=told, level="warning", since=time.time()),)
        return tuple(sorted(_still(kept), key=lambda one: (_WEIGHT[one.level], -one.since)))

    def post(self, posting: Posting) -> Announcement:
        """Keep it, and return it as everybody reads it. AnnouncementError for an end in the past, or for one too many."""
        now = time.time()
        until = None if posting.until is None else posting.until.timestamp()
        if until is not None and until <= now:
            raise AnnouncementError(
                f"found the end {posting.until:%Y-%m-%d %H:%M %Z}, which has passed; needed a later one, or none"
            )
        kept = self._still_kept()
        if len(kept) >= MOST:
            raise AnnouncementError(f"found {MOST} announcements already; nobody reads more. Withdraw one first.")
        new = Announcement(id=secrets.token_hex(8), text=posting.text, level=posting.level, since=now, until=until)
        self._write((*kept, new))
        return new

    def withdraw(self, announcement_id: str) -> bool:
        """Whether there was one with this id; now there is none."""
        kept = self._still_kept()
        left = tuple(one for one in kept if one.id != announcement_id)
        if len(left) < len(kept):
            self._write(left)
        return len(left) < len(kept)

    def _still_kept(self) -> tuple[Announcement, ...]:
        try:
            return _still(self._kept())
        except (OSError, ValidationError) as error:
            raise AnnouncementError(f"the file {self.file} cannot be read as announcements. Mend or remove it first.") from error

    def _kept(self) -> tuple[Announcement, ...]:
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return ()
        version = (found.st_ino, found.st_mtime_ns)
        if self._read is None or self._read[0] != version:
            self._read = (version, _FILE.validate_json(self.file.read_bytes()))
        return self._read[1]

    def _write(self, announcements: tuple[Announcement, ...]) -> None:
        beside = self.file.with_name(f"{self.file.name}.{secrets.token_hex(4)}")
        beside.write_bytes(_FILE.dump_json(announcements, indent=1))
        beside.chmod(0o644)  # they are for everybody, and the dashboards' service has an account of its own
        os.replace(beside, self.file)


def _still(announcements: tuple[Announcement, ...]) -> tuple[Announcement, ...]:
    return tuple(one for one in announcements if one.until is None or one.until > time.time())
