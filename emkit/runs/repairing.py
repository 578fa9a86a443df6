"""An output made whole again: what is lost of it is computed anew, as its record says, and nothing else."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emkit.errors import DamagedError, PathError
from emkit.params import Call
from emkit.provenance import MANIFEST, METADATA, RECIPE, RESULT, TASKS, digest_of_input, manifest, recipe_text, versions
from emkit.recipe import load
from emkit.records import State, broken_record, digests_of, read_record, record_of
from emkit.run.drive import execute
from emkit.run.folder import RunFolder
from emkit.run.machine import machine
from emkit.run.mending import Mending
from emkit.run.output import claimed, clear, note_of
from emkit.run.step import plan_of
from emkit.runs.verifying import Verification, verify

REPAIR = "repair"  # the kind of a run
STRANGE: State = "not of this run"


@dataclass(frozen=True)
class Repair:
    """What was wrong with an output, how many of its tasks were done again, and where files lie now that were none of its own."""

    out: Path
    wrong: dict[str, State]
    redone: int = 0
    tasks: int = 0
    aside: Path | None = None

    def __str__(self) -> str:
        if not self.wrong:
            return f"{self.out}: whole, there was nothing to repair."
        strange = [name for name, how in self.wrong.items() if how == STRANGE]
        lost, redone = len(self.wrong) - len(strange), f"{self.redone} of {self.tasks} tasks were done again"
        told = [f"{self.out}: whole again. {lost} files were damaged or missing, {redone}."]
        return "\n".join([*told, *(f"  {name}: {STRANGE}, kept in {self.aside}" for name in strange)])


def repair(out: Path | str, *, folder: RunFolder | None = None, lock: int | None = None) -> Repair:
    """Make an output whole again: what is damaged or missing is computed anew from the record, bit for bit.

    Needs the output, and the inputs that its record names. The output stays as it is until all is as its old manifest says.
    `folder` is that of a repair that was cut off, `lock` a descriptor that holds its lock.

    Raises `PathError` where there is no record, or an input is not what it was; `DamagedError` where nothing vouches for what
    the output was, or where the versions and the machine of today make something else.
    """
    out = Path(out)
    restored: dict[str, State] = {MANIFEST: "damaged"} if _restored(out) else {}
    found, folder = verify(out), folder or _begun(out)
    if found.whole:
        if folder:  # it was killed after all was in its place
            with claimed(out), folder.driven(lock):
                clear(out)
        return Repair(out, restored)
    call, mending = _call(out, found), _mending(out, found)
    folder = folder or RunFolder.new(recipe_text(call.absolute()), _facts(call))
    execute(call, overwrite=True, folder=folder, lock=lock, mending=mending)
    tasks = _lines(out)
    aside = mending.aside if mending.strange else None
    return Repair(out, found.wrong | restored, len(tasks) - mending.lines.count("\n"), len(tasks), aside)


def _restored(out: Path) -> bool:
    """Whether the manifest was damaged alone: then its digest in the metadata proves it, written anew."""
    listing = record_of(out) / MANIFEST
    if not out.is_dir() or MANIFEST not in broken_record(out):
        return False
    text = manifest(out)
    if hashlib.sha256(text.encode()).hexdigest() != read_record(out).results.get(MANIFEST):
        return False
    new = listing.with_name(f"{MANIFEST}.new")
    new.write_text(text)
    new.replace(listing)
    return True


def _call(out: Path, found: Verification) -> Call:
    """The call that made the output, onto where it lies now, from inputs that are what they were."""
    recipe = record_of(out) / RECIPE
    if RECIPE in found.wrong:
        raise DamagedError(
            f"{recipe} is {found.wrong[RECIPE]}, and nothing else says how {out} was made. "
            "Copy it back from where the output was saved, or from the folder of its run."
        )
    (call,) = load(recipe)
    for name, (path, digest) in ({} if METADATA in found.wrong else read_record(out).inputs).items():
        if not Path(path).exists():
            raise PathError(f"{name}: {path} is missing; it is needed to make {out} whole. Put it back there.")
        if (now := digest_of_input(Path(path))) != digest:
            raise PathError(
                f"{name}: {path} is not what {out} was made from: its digest is {now[:12]}…, needed {digest[:12]}…. "
                "Put back what lay there; emkit verify tells what was changed if emkit made it."
            )
    return call.with_out(out)


def _mending(out: Path, found: Verification) -> Mending:
    """What is left. A task is done if all its files are whole; where the list of tasks is lost, none is."""
    meant, tasks = digests_of(out), _lines(out) if found.wrong.get(TASKS) is None else []
    strange = [name for name, how in found.wrong.items() if how == STRANGE]
    if METADATA in found.wrong:  # a new one will be written, by the versions of today: all must be made by them
        return Mending(out, meant, strange=strange, why=_why(None))
    whole = meant.keys() - found.wrong.keys()
    files = [_files(line) for line in tasks]
    kept = [k for k, names in enumerate(files) if names.keys() <= whole]
    shared = {name for names in files for name, digest in names.items() if digest is None}
    named = {name for k in kept for name in files[k]}
    needed = [METADATA, RECIPE, RESULT, *([MANIFEST] if out.is_dir() else [])]
    return Mending(
        out, meant, "".join(f"{tasks[k]}\n" for k in kept), sorted(named - shared), sorted(named & shared),
        lost=len(tasks) - len(kept), tasks=max(1, len(tasks)), record=[name for name in needed if name not in found.wrong],
        strange=strange, why=_why(out),
    )  # fmt: skip


def _lines(out: Path) -> list[str]:
    """A line of each task; none where the output is a single file."""
    return (out / TASKS).read_text().splitlines() if out.is_dir() else []


def _files(line: str) -> dict[str, str | None]:
    """What a task wrote: the digest of each file by its name, None where others write into it too."""
    result = json.loads(line)["result"]
    written = isinstance(result, dict) and result.keys() == {"files"} and isinstance(result["files"], dict)
    return result["files"] if written else {}


def _why(out: Path | None) -> str:
    """What a difference could come from."""
    if out is None:
        return "Its metadata is damaged, so that nobody knows by which versions it was made."
    record, now = read_record(out), {**versions(), "cpu": machine()["cpu"]}
    then = {**record.versions, "cpu": record.machine.get("cpu")}
    differing = [f"{name} {then[name]} then, {now.get(name)} now" for name in then if then[name] != now.get(name)]
    if differing:
        return f"Not all is as it was: {'; '.join(differing)}. Repair it with those versions, on such a machine."
    return "Inputs, versions and CPU are as they were; emkit rerun tells by how much the values differ."


def _begun(out: Path) -> RunFolder | None:
    """The repair of this output that was cut off."""
    note = note_of(out)
    if not note.is_file() or not (path := note.read_text()) or not (Path(path) / "run.json").is_file():
        return None
    folder = RunFolder(Path(path))
    return folder if folder.facts().get("kind") == REPAIR else None


def _facts(call: Call) -> dict[str, Any]:
    plan = asdict(plan_of(call, overwrite=True))
    return {"kind": REPAIR, "step": call.function.__name__, "out": str(call.absolute().out), "plan": plan, "overwrite": True}
