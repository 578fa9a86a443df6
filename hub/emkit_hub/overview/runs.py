"""What a user's own server told last about the user's runs, one file for each user. The hub can read no one's home.

The file is named by a digest of the user's name, so that no name can lead elsewhere.
"""

import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

FOLDER_NAME = "runs"
BODY_BYTES = 64 * 1024
MOST = 50

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
Seconds = Annotated[float, Field(ge=0, le=2**40, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Run(_Frozen):
    """One run of a step, as its server sees it; times are POSIX seconds."""

    id: Word
    step: Word
    state: Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    message: Annotated[str, StringConstraints(max_length=500)] = ""
    done: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None  # the share that is done
    began_at: Seconds | None = None
    ended_at: Seconds | None = None


class Posted(_Frozen):
    """What a server posts: all of the user's runs that it wants shown, newest first. It replaces what was posted before."""

    runs: Annotated[tuple[Run, ...], Field(max_length=MOST)]


class Kept(Posted):
    """What was posted, and when."""

    posted_at: Seconds


class PostedRuns:
    """One file below `folder` for each user."""

    def __init__(self, folder: Path, keep_s: float) -> None:
        self.folder = folder
        self.keep_s = keep_s

    def keep(self, user: str, posted: Posted) -> Kept:
        """Replace what this user's server posted last. OSError when it cannot be written."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = Kept(runs=posted.runs, posted_at=time.time())
        file = self._file(user)
        beside = file.with_suffix(f".{secrets.token_hex(4)}")
        beside.write_text(kept.model_dump_json())
        os.replace(beside, file)
        return kept

    def of(self, user: str) -> Kept | None:
        """What this user's server posted last; None when it never did, too long ago, or in the words of another version."""
        try:
            kept = Kept.model_validate_json(self._file(user).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return kept if time.time() - kept.posted_at < self.keep_s else None

    def forget_old(self) -> int:
        """Remove what is too old, and what a kill left half written; returns how many files."""
        before = time.time() - self.keep_s
        old = [file for file in self.folder.glob("*") if file.suffix != ".json" or file.stat().st_mtime < before]
        for file in old:
            file.unlink(missing_ok=True)
        return len(old)

    def _file(self, user: str) -> Path:
        return self.folder / f"{hashlib.sha256(user.encode()).hexdigest()}.json"
