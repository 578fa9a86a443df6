"""Runs by their names."""

from pathlib import Path

from emkit.errors import PathError
from emkit.run.folder import RunFolder, runs_home
from emkit.run.output import note_of


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
