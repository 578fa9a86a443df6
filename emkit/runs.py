"""What needs the table of steps: to find a run, to go on with it, to repeat it from its record.

python -m emkit.runs FOLDER LOCK      drives a run that was begun; LOCK: the descriptor that holds its lock
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from emkit.errors import DamagedError, EmkitError, PathError
from emkit.params import Call, Reads
from emkit.progress import Cancelled, listening, track
from emkit.provenance import (
    MANIFEST,
    METADATA,
    RECIPE,
    digest,
    files,
    listed,
    manifest,
    record_of,
    recorded,
    result_digests,
    sha256,
    versions,
)
from emkit.recipe import load
from emkit.run.drive import execute
from emkit.run.folder import RunFolder, State, runs_home
from emkit.run.output import note_of
from emkit.run.signals import ended_by_signals


def all_runs() -> list[RunFolder]:
    """My runs, the oldest first."""
    home = runs_home()
    return [RunFolder(path) for path in sorted(home.iterdir()) if (path / "state.json").is_file()] if home.is_dir() else []


def find_run(name: str) -> RunFolder:
    """The run of this id, of a beginning that no other id has, `last`, or the one that writes or wrote this output."""
    known = all_runs()
    if name == "last" and known:
        return known[-1]
    if found := [run for run in known if run.id == name]:
        return found[0]
    out = Path(name).absolute()
    if out.name and note_of(out).is_file() and (path := note_of(out).read_text()) and Path(path).is_dir():
        return RunFolder(Path(path))
    if found := [run for run in known if run.facts()["out"] == str(out)]:
        return found[-1]
    found = [run for run in known if run.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} runs begin so: {', '.join(run.id for run in found[:3])} …" if found else f"none of the {len(known)} runs"
    raise PathError(
        f"RUN: found {name!r}, but {what} in {runs_home()}. "
        "Needed: an id, a beginning that only one id has, last, or the path of an output. See: emkit runs"
    )


def drive(folder: RunFolder, lock: int | None = None) -> Any:
    """Go on with a run, from what its folder says; what it returned."""
    (call,) = load(folder.recipe)
    return execute(call, overwrite=folder.facts()["overwrite"], folder=folder, lock=lock)


def main(folder: RunFolder, lock: int) -> int:
    """Drive a detached run: nobody listens, all is written down."""
    try:
        with ended_by_signals() as asked, listening(stop=asked):
            drive(folder, lock)
    except Cancelled:
        return 130
    except EmkitError as refused:
        folder.say(State.FAILED, str(refused), exit_code=refused.exit_code)  # also what was refused before it began
        return refused.exit_code
    return 0


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


@dataclass(frozen=True)
class Comparison:
    """A run and its repetition: what differs, in words, for inputs, for versions and for each file of the result."""

    out: Path
    inputs: tuple[str, ...]
    versions: tuple[str, ...]
    result: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not (self.inputs or self.versions or self.result)

    def __str__(self) -> str:
        if self.same:
            return f"{self.out}: the same bytes, from the same inputs, by the same versions."
        told = {"inputs": self.inputs, "versions": self.versions, "result": self.result}
        return "\n".join([
            f"{self.out}: " + ("the result is the same, but not all that made it." if not self.result else "the result differs."),
            *(f"  {what}: {line}" for what, found in told.items() for line in found),
        ])  # fmt: skip


def rerun(made: Path, *, out: Path, overwrite: bool = False) -> Comparison:
    """Repeat the run that made `made` from its record alone, onto `out`, and compare.

    Raises `PathError` where the record or an input is missing, `DamagedError` where `made` is not what its record says.
    """
    folder = record_of(made)
    (call,) = load(folder / RECIPE)
    _check_whole(made, folder)
    if call.out is None:
        raise PathError(f"{made} is the record of {call.function.__name__} without an output; there is nothing to compare with.")
    if out.resolve() == made.resolve():
        raise PathError(f"out: {out} is the output to be repeated; choose another place, so that both can be compared.")
    before, packages = recorded(made)
    again = call.with_out(out)
    again.check(overwrite=overwrite)
    changed = tuple(_changed_inputs(again, before))
    execute(again, overwrite=overwrite)
    return Comparison(out, changed, tuple(_differences(packages, versions())), tuple(_differences(_listing(made), _listing(out))))


def _check_whole(made: Path, folder: Path) -> None:
    """Raises `DamagedError` if files of the output are not what its manifest says."""
    if made.is_dir() and (folder / MANIFEST).read_text() != manifest(made):
        wrong = _differences(listed((folder / MANIFEST).read_text()), _listing(made))
        raise DamagedError(
            f"{made} is not what its record says: {'; '.join(wrong)}. Repeat it from the recipe: emkit run {folder / RECIPE}"
        )


def _changed_inputs(call: Call, before: Mapping[str, str]) -> list[str]:
    paths = [path for _, path in call.paths(Reads)]
    return [f"{path} is not what it was" for path in paths if digest(path) != before.get(str(path.absolute()))]


def _listing(out: Path) -> dict[str, str]:
    return listed(manifest(out)) if out.is_dir() else {"content": digest(out)}


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = sorted(before.keys() | after.keys())
    return [f"{k}: {_brief(before.get(k))} before, {_brief(after.get(k))} now" for k in names if before.get(k) != after.get(k)]


def _brief(value: str | None) -> str:
    return "none" if value is None else value[:12]


if __name__ == "__main__":
    sys.exit(main(RunFolder(Path(sys.argv[1])), int(sys.argv[2])))
