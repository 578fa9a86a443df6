"""What an output was made from, and what that was made from, back to what emkit did not make: told by their records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from emkit.errors import DamagedError, PathError
from emkit.provenance import digest_of_input, size_of
from emkit.records import Record, read_record
from emkit.run.plan import in_words

Standing = Literal["as recorded", "changed since", "missing"]


@dataclass(frozen=True)
class Origin:
    """Something that lies on a disk: whether it is what was used, the step that made it (none if emkit did not), and from what."""

    path: Path
    standing: Standing
    size_bytes: int
    step: str = ""
    ended: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    sources: "dict[str, Origin]" = field(default_factory=dict)  # by the parameter that names it

    @property
    def about(self) -> str:
        """Size and time, or what became of it."""
        if self.standing == "missing":
            return "missing"
        size = in_words(self.size_bytes) if self.size_bytes >= 1e5 else f"{self.size_bytes / 1e3:,.1f} kB"
        return (
            f"changed since, {size}"
            if self.standing == "changed since"
            else f"{size}, {self.ended[:16].replace('T', ' ')}".rstrip(", ")
        )

    @property
    def settings(self) -> str:
        """The parameters in one line."""
        return ", ".join(f"{name} {shown(value)}" for name, value in self.parameters.items() if value != [])

    def software(self, below: Mapping[str, str]) -> str:
        """The versions in one line: those that are not as `below`, in what was made from it."""
        other = [f"{name} {version}" for name, version in self.versions.items() if below.get(name) != version]
        return ", ".join(other) or "the same versions"

    def told(self, *, boxes: bool) -> str:
        """The tree as text, a line for each thing and two for the step that made it; with `boxes` its branches are drawn."""
        return "\n".join([f"{self.path}  {self.about}", *self._branches(boxes, {})])

    def _branches(self, boxes: bool, below: Mapping[str, str]) -> Iterator[str]:
        stem = ("│ " if self.sources else "  ") if boxes else "  "
        if self.step:
            yield f"{stem}{self.step}" + (f": {self.settings}" if self.settings else "")
            yield f"{stem}by {self.software(below)}"
        for k, (name, source) in enumerate(self.sources.items(), 1):
            last = k == len(self.sources)
            branch, trunk = (("└─ " if last else "├─ ", "   " if last else "│  ")) if boxes else ("  ", "    ")
            yield f"{branch}{name}: {source.path}  {source.about}"
            yield from (f"{trunk}{line}" for line in source._branches(boxes, self.versions))


def lineage(out: Path | str) -> Origin:
    """What an output was made from, as far as the records tell it and what they name is still there, unchanged.

    An input that is not what it was is said to be `changed since`, and its own record is not followed: it tells of something
    else. Raises `PathError` where the output has no record, `DamagedError` where it cannot be read.
    """
    path = Path(out).absolute()
    return _made(path, read_record(path), (path,), {})


def _made(path: Path, record: Record, below: tuple[Path, ...], known: dict[Path, str]) -> Origin:
    sources = {name: _source(Path(source), digest, below, known) for name, (source, digest) in record.inputs.items()}
    return Origin(
        path, "as recorded", size_of(path), record.step, record.ended, record.parameters, record.versions, record.machine, sources
    )


def _source(path: Path, digest: str, below: tuple[Path, ...], known: dict[Path, str]) -> Origin:
    """`below` are those that were made from it, `known` the digests that were taken already."""
    if not path.exists():
        return Origin(path, "missing", 0)
    if path not in known:
        known[path] = digest_of_input(path)
    if known[path] != digest:
        return Origin(path, "changed since", size_of(path))
    try:
        record = read_record(path)
    except (PathError, DamagedError):  # nobody knows more of it
        return Origin(path, "as recorded", size_of(path))
    if path in below:  # no run can make this; a record that was written by hand can say it
        return Origin(path, "as recorded", size_of(path))
    return _made(path, record, (*below, path), known)


def shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
