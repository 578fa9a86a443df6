"""An output against its record, file by file."""

from dataclasses import dataclass
from pathlib import Path

from emkit.digests import digests
from emkit.errors import PathError
from emkit.progress import track
from emkit.provenance import files
from emkit.records import State, broken_record, digests_of


@dataclass(frozen=True)
class Verification:
    """An output against its record: which of its files, and of the record's own, are not what they were, and how."""

    out: Path
    checked: int
    wrong: dict[str, State]

    @property
    def whole(self) -> bool:
        return not self.wrong

    def __str__(self) -> str:
        if self.whole:
            return f"{self.out}: whole, {self.checked} files as their record says."
        return "\n".join([f"{self.out}: {len(self.wrong)} of {self.checked} files are not what their record says.",
                          *(f"  {name}: {how}" for name, how in sorted(self.wrong.items()))])  # fmt: skip


def verify(out: Path | str) -> Verification:
    """Check every file of an output against the digest in its record, several at once.

    Needs the output alone, and beside one that is a single file its NAME.crate. Raises `PathError` where there is no record,
    `DamagedError` where the record is damaged so that nothing can be checked by it.
    """
    out = Path(out)
    meant, broken, base = digests_of(out), broken_record(out), out if out.is_dir() else out.parent
    wrong: dict[str, State] = {}
    for path, found in track(digests(base / name for name in meant), "verify", "files", len(meant)):
        if how := _how(found, meant[name := path.relative_to(base).as_posix()]):
            wrong[name] = how
    more = {path.relative_to(base).as_posix() for path in files(out)} - meant.keys() if out.exists() else set()
    wrong |= dict.fromkeys(more, "not of this run")
    return Verification(out, len(meant) + len(more) + len(broken), wrong | broken)


def _how(found: str | OSError, meant: str) -> State | None:
    if isinstance(found, PermissionError):
        raise PathError(f"{found.filename} may not be read by you; ask its owner, or copy the output with its permissions.")
    if isinstance(found, FileNotFoundError):
        return "missing"
    return None if found == meant else "damaged"
