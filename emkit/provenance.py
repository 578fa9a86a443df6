"""The record of a run: a Process Run Crate (RO-Crate 1.1, profile process-run-crate 0.5) with the output.

A folder is its own crate; a file `x.csv` gets `x.csv.crate/` beside it. `manifest.sha256` lists every file of the
output, chunk by chunk, as `sha256sum -c` reads it, and the crate holds the manifest's digest. `recipe.toml` says the
call again, with the inputs by absolute path, `result.json` what the step returned. No record counts as part of the output
that it describes.
"""

import getpass
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote, urlparse

from emkit.errors import PathError
from emkit.params import Call, Reads

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
METADATA, MANIFEST, RECIPE, RESULT = OWN = ("ro-crate-metadata.json", "manifest.sha256", "recipe.toml", "result.json")
TASKS = "tasks.jsonl"  # in an output: what each task returned, or the digests of the files that it wrote
# The packages that decide on bytes.
DECIDING = ("imagecodecs", "numpy", "scipy", "tensorstore", "tifffile", "yaozarrs", "zarr")


@dataclass(frozen=True)
class Written:
    """What a task returns that writes: the digest of each file by its name in the output; None while others write into it too."""

    files: dict[str, str | None]


@dataclass(frozen=True)
class Run:
    """What the clock and the machine said: start, end, and the plan against what was used."""

    began: datetime
    ended: datetime
    facts: str


def files(path: Path) -> list[Path]:
    """The files of an output in the order of their paths, without the record's own."""
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [p for p in found if p.is_file() and not (p.parent == path and p.name in OWN)]


def size_of(path: Path) -> int:
    """Bytes that the files of an output take."""
    return sum(p.stat().st_size for p in files(path)) if path.exists() else 0


def fingerprint(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each file: cheap, and changed by whoever writes the input."""
    return [(p.name if p == path else str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns) for p in files(path)]


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


def sync(*paths: Path) -> None:
    """Return once the content of each file, and the names in each folder, would outlive a power cut."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(path: Path, only: tuple[str, ...] = (), known: Mapping[str, str] = MappingProxyType({})) -> str:
    """A line `digest  name` for each file, or for those that are named; digests that are `known` are not taken again."""
    names = only or [p.relative_to(path).as_posix() for p in files(path)]
    return "".join(f"{known.get(name) or sha256(path / name)}  {name}\n" for name in names)


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


def record_of(out: Path) -> Path:
    """The folder that holds the record of an output."""
    folder = out if out.is_dir() else _crate(out)
    if not (folder / METADATA).is_file():
        raise PathError(f"{out} has no record: {folder / METADATA} is missing. Only what emkit wrote can be repeated from itself.")
    return folder


def recorded(out: Path) -> tuple[dict[str, str], dict[str, str]]:
    """From the record of an output: the digest of each input by its path, and the version of each package by its name."""
    graph = json.loads((record_of(out) / METADATA).read_text())["@graph"]
    inputs = {e["@id"]: e["sha256"] for e in graph if e["@id"].startswith("file://") and "sha256" in e}
    versions = {e["name"]: e["softwareVersion"] for e in graph if e.get("@type") == "SoftwareApplication"}
    return {str(Path(unquote(urlparse(k).path))): v for k, v in inputs.items()}, versions


def result_digests(out: Path) -> dict[str, str]:
    """From the record of an output: the digest of its manifest, or of the file that it is, by name."""
    graph = json.loads((record_of(out) / METADATA).read_text())["@graph"]
    own = {e["@id"]: e["sha256"] for e in graph if "sha256" in e and not e["@id"].startswith("file://")}
    return {Path(unquote(name)).name: value for name, value in own.items()}


def write_record(
    call: Call,
    out: Path,
    built: Path,
    run: Run,
    result: bytes,
    only: tuple[str, ...] = (),
    known: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """In or beside the output, which is still `built` under another name; the metadata file comes last.

    `result` is what the step returned, in JSON; `only` names the files of a folder that are the output, where others lie in it
    too; `known` are digests of files by name.
    """
    from rocrate.model import ContextEntity
    from rocrate.rocrate import ROCrate

    name, folder = call.function.__name__, built if built.is_dir() else _crate(out)
    folder.mkdir(exist_ok=True)
    crate = ROCrate(version="1.1")  # rocrate 0.16 writes 1.3 unless told
    crate.metadata.extra_terms["sha256"] = "https://w3id.org/ro/terms/workflow-run#sha256"
    root, crate.name, crate.license = crate.root_dataset, f"{out.name}, made by {name}", "not stated"
    crate.description, crate.datePublished = (call.function.__doc__ or name).partition("\n")[0], run.ended

    def add(identifier: str, kind: str, **facts: Any) -> Any:
        return crate.add(ContextEntity(crate, identifier, {"@type": kind, **facts}))

    def data(identifier: str, path: Path) -> Any:
        entity = add(identifier, "Dataset" if path.is_dir() else "File", name=path.name, sha256=digest(path))
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
    action["agent"] = add(f"#agent-{quote(getpass.getuser())}", "Person", name=getpass.getuser())
    crate.metadata.write(folder)


def versions() -> dict[str, str]:
    """Of emkit, of Python, and of the packages that decide on bytes."""
    return {"emkit": version("emkit"), "python": sys.version.split()[0], **{k: version(k) for k in DECIDING}}


def _software() -> list[tuple[str, str, str]]:
    """Name, version and package URL of each: an identifier that names no host."""
    return [(k, v, f"pkg:generic/python@{v}" if k == "python" else f"pkg:pypi/{k}@{v}") for k, v in versions().items()]


def _crate(file: Path) -> Path:
    return file.with_name(f"{file.name}.crate")
