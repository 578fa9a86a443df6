"""To delete raw frames: a question that names what goes, and what is refused.

Raw frames go without further words only where a counted scan stands beside them that is whole: every file as its record says,
every frame complete, as many as the raw frames have. Else the person types the name of the scan, and thereby says so.
"""

from dataclasses import dataclass
from pathlib import Path

from emkit.catalogue.aside import Aside, RemovedRaw, when
from emkit.catalogue.entry import size_in_words
from emkit.catalogue.jail import check_inside
from emkit.catalogue.things import Thing
from emkit.errors import EmkitError, PathError
from emkit.io.counted import counted_header, read_counted
from emkit.io.sectors import SectorsHeader, sectors_header
from emkit.records import record_of
from emkit.runs import verify


@dataclass(frozen=True)
class Removal:
    """What would go. `why_not` is empty where a whole counted scan stands beside it."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    size_bytes: int
    kept: str
    why_not: str

    @property
    def question(self) -> str:
        """For the person who is to say yes."""
        what = (
            f"Delete the {len(self.files)} raw files of {self.name}, {size_in_words(self.size_bytes)}? They cannot be brought back."
        )
        if self.why_not:
            return f"{what}\n{self.why_not} To delete them all the same, type the name: {self.name}"
        return f"{what}\n{self.kept}"

    def check(self, typed: str) -> None:
        """Raises PathError unless all is safe, or the name was typed."""
        if self.why_not and typed != self.name:
            raise PathError(f"{self.name}: nothing was deleted. {self.why_not} To delete all the same, type its name: {self.name}")


def plan_removal(root: Path, name: str, raw: Thing, counted: list[Thing]) -> Removal:
    """Look at everything; nothing is deleted. PathError where the files lead out of the data folder."""
    folder = root / raw.path
    check_inside(root, folder)
    header = sectors_header(folder)
    size = sum(file.stat().st_size for file in header.files)
    refusals = []
    for one in counted:
        if not (why := _lacks(root / one.path, one, header)):
            kept = f"Kept: {one.path}, {one.frames} frames, checked file by file."
            return Removal(name, folder, header.files, size, kept, "")
        refusals.append(f"{one.path} {why}.")
    why_not = " ".join(refusals) or "No counted scan stands beside them."
    return Removal(name, folder, header.files, size, "", why_not)


def _lacks(path: Path, counted: Thing, header: SectorsHeader) -> str:
    """Why a counted scan cannot stand for the raw frames; empty if it can."""
    if header.scan_shape is None:
        return "cannot be compared: the raw files do not tell their scan's shape"
    (sy, sx), frames = header.scan_shape, header.scan_shape[0] * header.scan_shape[1]
    try:
        found = counted_header(path)
        if found.frames != frames:
            return f"holds {found.frames} frames, but the raw scan of {sy} x {sx} positions has {frames}"
        if not counted.whole:
            return f"is not whole: {counted.told}"
        if not _has_record(path):
            read_counted(path)  # all of it, against the check sums of its chunks
        elif not (verified := verify(path)).whole:
            return f"is damaged: {', '.join(list(verified.wrong)[:3])}"
    except EmkitError as refused:
        return f"cannot be relied on: {refused}"
    return ""


def _has_record(path: Path) -> bool:
    try:
        return record_of(path).is_dir()
    except PathError:
        return False


def remove_files(removal: Removal) -> None:
    """Delete them, and their folder if nothing else lies in it. PathError where one may not be deleted."""
    for done, file in enumerate(removal.files):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise PathError(
                f"{file} cannot be deleted ({error.strerror}); {done} of {len(removal.files)} files are gone."
            ) from None
    if not any(removal.folder.iterdir()):
        removal.folder.rmdir()


def remembered(aside: Aside, raw: Thing, now_s: float) -> Aside:
    """The same notes, with what was known of the raw frames."""
    gone = RemovedRaw(removed_at=when(now_s), recorded_at=when(raw.at), size_bytes=raw.size_bytes, frames=raw.frames)
    return aside.model_copy(update={"raw": gone})
