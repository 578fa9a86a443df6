"""A run that makes anew only what is lost of an output, and takes its place if all is as the old manifest says.

What is whole is linked into the place where the output is built, and the lines of its tasks begin the journal: from there it
is a run that was cut off. Files that several tasks write into are copied, since tasks write into them in place.
"""

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emkit.errors import DamagedError
from emkit.progress import track
from emkit.provenance import RESULT, crate_beside, listed, manifest, seal_record, sync
from emkit.run.plan import Plan


@dataclass(frozen=True)
class Mending:
    """What is to be made anew of the output `out`, which must then be what `meant` says: the digest of each file by its name.

    `lines` are those of the tasks that are done; `linked` and `copied` are the files that they wrote; `lost` of `tasks` tasks
    are done again. `record` names the record's own files that stay: none where it is damaged, and a new one is written.
    `strange` files are none of the output's: they are set aside. `why` says what a difference could come from.
    """

    out: Path
    meant: Mapping[str, str]
    lines: str = ""
    linked: Collection[str] = ()
    copied: Collection[str] = ()
    lost: int = 1
    tasks: int = 1
    record: Collection[str] = ()
    strange: Collection[str] = ()
    why: str = ""

    @property
    def aside(self) -> Path:
        """Where strange files are kept."""
        return self.out.with_name(f"strange-{self.out.name}")

    def reduced(self, plan: Plan) -> Plan:
        """The plan of the whole, for what is lost of it."""
        kept = sum((self.out / name).stat().st_size for name in self.linked)
        stages = tuple(
            load if load.together else replace(load, tasks=-(-load.tasks * self.lost // self.tasks)) for load in plan.stages
        )
        return replace(plan, disk_bytes=max(0, plan.disk_bytes - kept), stages=stages)

    def seed(self, built: Path, journal: Path, identity: str) -> None:
        """Put what is whole into its place; the journal is there once all of that is."""
        for name in track([*self.linked, *self.copied], "link", "files"):
            (new := built / name).parent.mkdir(parents=True, exist_ok=True)
            if name in self.copied or not _linked(self.out / name, new):
                shutil.copyfile(self.out / name, new)
                sync(new)
        begun = journal.with_name("journal.begun")
        begun.write_text(f"{identity}\n{self.lines}")
        sync(begun)  # a line that was lost would let a task write again into what is still linked to the output
        begun.replace(journal)
        sync(journal.parent)

    def check(self, built: Path, known: Mapping[str, str]) -> None:
        """DamagedError if what was built is not what was lost; `known` are digests that were taken of it already."""
        if built.is_dir():
            found = listed(manifest(built, known=known))
        else:
            found = {self.out.name: listed(manifest(built.parent, (built.name,)))[built.name]}
        if differing := sorted(name for name in found.keys() | self.meant.keys() if found.get(name) != self.meant.get(name)):
            raise DamagedError(
                f"{self.out} was left as it is: what was made anew differs in {len(differing)} of {len(self.meant)} files "
                f"({', '.join(differing[:5])}{' …' if differing[5:] else ''}). {self.why}"
            )

    def finish(self, built: Path, result: bytes) -> None:
        """What is made whole takes along its record, and `result`, in JSON, where that was lost; strange files are set aside."""
        for name in self.strange:
            (kept := self.aside / name).parent.mkdir(parents=True, exist_ok=True)
            if not kept.exists() and not _linked(self.out / name, kept):
                shutil.copyfile(self.out / name, kept)
        old = self.out if self.out.is_dir() else crate_beside(self.out)
        new = built if built.is_dir() else old
        if self.record:
            for name in self.record if new != old else ():
                shutil.copyfile(old / name, new / name)
            if RESULT not in self.record:
                (new / RESULT).write_bytes(result)
            seal_record(new)


def _linked(old: Path, new: Path) -> bool:
    """Whether the file has the new name too; False where the file system has no such links, or does not let us."""
    try:
        os.link(old, new)
    except OSError:
        return False
    return True
