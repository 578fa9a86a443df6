"""A run once more, from its record alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emkit.errors import DamagedError, PathError
from emkit.params import Call, Reads
from emkit.provenance import MANIFEST, RECIPE, digest, listed, manifest, record_of, recorded, versions
from emkit.recipe import load
from emkit.run.drive import execute


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
