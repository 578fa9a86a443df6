"""The record of a run: a Process Run Crate (RO-Crate 1.1, profile process-run-crate 0.5) with the output.

A folder is its own crate; a file `x.csv` gets `x.csv.crate/` beside it. `manifest.sha256` lists every file of the
output, chunk by chunk, as `sha256sum -c` reads it, and the crate holds the manifest's digest. `recipe.toml` says the
call again, with the inputs by absolute path; `result.json` is what the step returned. `record.sha256`, the seal, holds
the digests of these files and is written last. No record counts as part of the output that it describes.
"""

import errno
import getpass
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from emkit.digests import digests, sha256
from emkit.params import Call, Reads

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = ("sha256", "resourceUsage")  # of the Workflow Run vocabulary, which the context of RO-Crate 1.1 lacks
METADATA, MANIFEST, RECIPE, RESULT = ("ro-crate-metadata.json", "manifest.sha256", "recipe.toml", "result.json")
SEAL = "record.sha256"
OWN = (METADATA, MANIFEST, RECIPE, RESULT, SEAL)
TASKS = "tasks.jsonl"  # in an output: what each task returned, or the digests of the files that it wrote
PATIENCE_S = 90.0  # until a file that another machine has written is seen: NFS keeps what it knows of a folder for up to a minute
LOOK_S = 0.05
# The packages that decide on bytes.
DECIDING = ("imagecodecs", "numpy", "scipy", "tensorstore", "tifffile", "yaozarrs", "zarr")


@dataclass(frozen=True)
class Written:
    """What a task returns that writes: the digest of each file by its name in the output; None while others write into it too."""

    files: dict[str, str | None]


@dataclass(frozen=True)
class Run:
    """What the clock and the machine said: start, end, the plan against what was used; the run's id, and where it ran."""

    began: datetime
    ended: datetime
    facts: str
    id: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)  # host, CPU, workers, threads: all that bytes may depend on


def files(path: Path) -> list[Path]:
    """The files of an output in the order of their paths, without the record's own."""
    return [Path(entry.path) for _, entry in _entries(path)] if path.is_dir() else [path] if path.is_file() else []


def _entries(folder: Path | str, within: str = "") -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """The same, each by its name in the output. (Ten times as fast as `Path.rglob`, which counts for 10⁵ files.)"""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, f"{within}{entry.name}/")
        elif entry.is_file() and (within or entry.name not in OWN):
            yield f"{within}{entry.name}", entry


def size_of(path: Path) -> int:
    """Bytes that the files of an output take."""
    if path.is_dir():
        return sum(entry.stat().st_size for _, entry in _entries(path))
    return path.stat().st_size if path.is_file() else 0


def fingerprint(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each file: cheap, and changed by whoever writes the input."""
    found = [(name, entry.stat()) for name, entry in _entries(path)] if path.is_dir() else [(p.name, p.stat()) for p in files(path)]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def written(out: Path, *made: Path) -> Written:
    """The files that a task has finished; they and their names are on the disk when this returns."""
    sync(*made, *{path.parent for path in made})
    return Written({path.relative_to(out).as_posix(): sha256(path) for path in made})


def partly(out: Path, *touched: Path) -> Written:
    """The files that a task has written into, as others do; what it wrote is on the disk when this returns."""
    sync(*touched, *{path.parent for path in touched})
    return Written(dict.fromkeys((path.relative_to(out).as_posix() for path in touched), None))


def files_of(results: Mapping[str, Written]) -> set[str]:
    """The files that the tasks of a stage wrote, by name in the output."""
    return {name for result in results.values() for name in result.files}


def await_files(*paths: Path) -> None:
    """Return once each is there, for what another machine has written may show late. FileNotFoundError after PATIENCE_S."""
    last = time.monotonic() + PATIENCE_S
    for path in paths:
        while not path.exists():
            if time.monotonic() > last:
                raise FileNotFoundError(errno.ENOENT, f"not seen within {PATIENCE_S:g} s after it was written", str(path))
            os.listdir(next(folder for folder in path.parents if folder.is_dir()))  # that makes NFS look again
            time.sleep(LOOK_S)


def sync(*paths: Path) -> None:
    """Return once the content of each file, and the names in each folder, would outlive a power cut."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def manifest(path: Path, only: tuple[str, ...] = (), known: Mapping[str, str] = MappingProxyType({})) -> str:
    """A line `digest  name` for each file, or for those that are named; digests that are `known` are not taken again."""
    names = only or [name for name, _ in _entries(path)]
    found = dict(known)
    for file, value in digests(path / name for name in names if not known.get(name)):
        if isinstance(value, OSError):
            raise value
        found[file.relative_to(path).as_posix()] = value
    return "".join(f"{found[name]}  {name}\n" for name in names)


def listed(text: str) -> dict[str, str]:
    """The digest of each file by its name, of a manifest."""
    return {name: value for value, name in (line.split("  ", 1) for line in text.splitlines())}


def digest(path: Path) -> str:
    """Of a file its sha256, of a folder that of its manifest: equal if and only if the content is."""
    return hashlib.sha256(manifest(path).encode()).hexdigest() if path.is_dir() else sha256(path)


def recipe_text(call: Call) -> str:
    """The call as TOML, which `emkit.recipe` reads back."""
    import tomli_w

    return tomli_w.dumps({"step": call.function.__name__, "arguments": call.as_json()})


def digest_of_input(path: Path) -> str:
    """The digest of an input. A folder that emkit made is not read again if it seems untouched: its record tells the digest.

    Untouched means: the seal holds, names and total size are those of the record, and nothing was changed since it was
    sealed. What rots on the disk, or is changed with the clock set back, is found by `emkit verify` alone.
    """
    return sha256(path / MANIFEST) if path.is_dir() and _is_untouched(path) else digest(path)


def _is_untouched(folder: Path) -> bool:
    try:
        sealed_ns, text = (folder / SEAL).stat().st_mtime_ns, (folder / SEAL).read_text()
        names, graph = listed((folder / MANIFEST).read_text()).keys(), json.loads((folder / METADATA).read_text())["@graph"]
        size = next(int(entity["contentSize"]) for entity in graph if entity["@id"] == "./")
        holds = all(sha256(folder / name) == value for name, value in listed(text).items())
        stats = {path.relative_to(folder).as_posix(): path.stat() for path in files(folder)}
    except (OSError, ValueError, LookupError, TypeError, StopIteration):  # no record, or none that can be read: then all is read
        return False
    same = holds and stats.keys() == names and sum(stat.st_size for stat in stats.values()) == size
    return same and all(stat.st_mtime_ns < sealed_ns for stat in stats.values())


def write_record(
    call: Call,
    out: Path,
    built: Path,
    run: Run,
    result: bytes,
    only: tuple[str, ...] = (),
    known: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """In or beside the output, which is still `built` under another name; the seal comes last.

    `result` is what the step returned, in JSON; `only` names the files of a folder that are the output, where others lie in it
    too; `known` are digests of files by name.
    """
    from rocrate.model import ContextEntity
    from rocrate.rocrate import ROCrate

    name, folder = call.function.__name__, built if built.is_dir() else crate_beside(out)
    folder.mkdir(exist_ok=True)
    crate = ROCrate(version="1.1")  # rocrate 0.16 writes 1.3 unless told
    crate.metadata.extra_terms.update({name: f"https://w3id.org/ro/terms/workflow-run#{name}" for name in TERMS})
    root, crate.name, crate.license = crate.root_dataset, f"{out.name}, made by {name}", "not stated"
    crate.description, crate.datePublished = (call.function.__doc__ or name).partition("\n")[0], run.ended

    def add(identifier: str, kind: str, **facts: Any) -> Any:
        return crate.add(ContextEntity(crate, identifier, {"@type": kind, **facts}))

    def data(identifier: str, path: Path) -> Any:
        kind = "Dataset" if path.is_dir() else "File"
        entity = add(identifier, kind, name=path.name, sha256=digest_of_input(path))
        root.append_to("hasPart", entity)  # the validator asks it of every File and Dataset, inputs too
        return entity

    def text(file: str, content: str, **facts: Any) -> None:
        (folder / file).write_text(content)
        crate.add_file(file, file, properties=facts)

    text(RECIPE, recipe_text(call.absolute()), encodingFormat="application/toml")
    text(RESULT, result.decode(), encodingFormat="application/json")
    if built.is_dir():
        listing = manifest(built, only, known)
        text(MANIFEST, listing, encodingFormat="text/plain", sha256=hashlib.sha256(listing.encode()).hexdigest())
    used = [data(p.absolute().as_uri() + "/" * p.is_dir(), p) for _, p in call.paths(Reads)]
    used += [add(f"#{k}", "PropertyValue", name=k, value=str(v)) for k, v in call.as_json().items()]
    program, *packages = [add(url, "SoftwareApplication", name=k, softwareVersion=v, url=url) for k, v, url in _software()]
    program["softwareRequirements"], root["conformsTo"] = packages, add(PROFILE, "CreativeWork", version="0.5")
    made = root if built.is_dir() else data(f"../{quote(out.name)}", built)
    when = {"startTime": run.began.isoformat(timespec="milliseconds"), "endTime": run.ended.isoformat(timespec="milliseconds")}
    status = {"actionStatus": "http://schema.org/CompletedActionStatus", "name": crate.name, "description": run.facts}
    root["mentions"] = action = crate.add_action(program, "#run", object=used, result=made, properties={**when, **status})
    action["identifier"] = run.id
    if run.machine:
        action["resourceUsage"] = [add(f"#machine-{quote(k)}", "PropertyValue", name=k, value=v) for k, v in run.machine.items()]
    action["agent"] = add(f"#agent-{quote(getpass.getuser())}", "Person", name=getpass.getuser())
    root["contentSize"] = str(sum((built / name).stat().st_size for name in only) if only else size_of(built))
    crate.metadata.write(folder)
    seal_record(folder)


def seal_record(folder: Path) -> None:
    """Say by their digests which files the record is made of, as `sha256sum -c` reads it."""
    (folder / SEAL).write_text(manifest(folder, tuple(name for name in OWN if name != SEAL and (folder / name).is_file())))


def versions() -> dict[str, str]:
    """Of emkit, of Python, and of the packages that decide on bytes."""
    return {"emkit": version("emkit"), "python": sys.version.split()[0], **{k: version(k) for k in DECIDING}}


def _software() -> list[tuple[str, str, str]]:
    """Name, version and package URL of each: an identifier that names no host."""
    return [(k, v, f"pkg:generic/python@{v}" if k == "python" else f"pkg:pypi/{k}@{v}") for k, v in versions().items()]


def crate_beside(file: Path) -> Path:
    """Where the record of an output lies that is a single file."""
    return file.with_name(f"{file.name}.crate")
