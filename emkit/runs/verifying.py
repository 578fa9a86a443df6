"""An output against its record, file by file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emkit.errors import DamagedError
from emkit.progress import track
from emkit.provenance import MANIFEST, METADATA, files, listed, record_of, result_digests, sha256


@dataclass(frozen=True)
class Verification:
    """An output against its record: which of its files are not what they were, and how."""

    out: Path
    checked: int
    wrong: dict[str, Literal["damaged", "missing", "not of this run"]]

    @property
    def whole(self) -> bool:
        return not self.wrong

    def __str__(self) -> str:
        if self.whole:
            return f"{self.out}: whole, {self.checked} files as their record says."
        return "\n".join([f"{self.out}: {len(self.wrong)} of {self.checked} files are not what their record says.",
                          *(f"  {name}: {how}" for name, how in sorted(self.wrong.items()))])  # fmt: skip


def verify(out: Path) -> Verification:
    """Every file of an output against the digest in its record. PathError where there is no record."""
    folder = record_of(out)
    if out.is_dir():
        listing, there = folder / MANIFEST, {p.relative_to(out).as_posix(): p for p in files(out)}
        if sha256(listing) != result_digests(out)[MANIFEST]:
            raise DamagedError(f"{listing} is not the one that {folder / METADATA} speaks of: by it nothing can be checked.")
        meant = listed(listing.read_text())
    else:
        meant, there = result_digests(out), {out.name: out}
    names = sorted(meant.keys() | there.keys())
    wrong = {name: how for name in track(names, "verify", "files") if (how := _state(meant.get(name), there.get(name)))}
    return Verification(out, len(names), wrong)


def _state(meant: str | None, path: Path | None) -> Literal["damaged", "missing", "not of this run"] | None:
    if meant is None:
        return "not of this run"
    if path is None:
        return "missing"
    return None if sha256(path) == meant else "damaged"
