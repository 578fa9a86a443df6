"""A record, read back: who made an output, from what, with which settings, where, and what came of it.

Everything is read from the folder of the record alone; no step is imported, so that a record outlives the step that made it.
"""

import json
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

from emkit.digests import sha256
from emkit.errors import DamagedError, PathError
from emkit.provenance import MANIFEST, METADATA, RECIPE, RESULT, SEAL, crate_beside, listed

State = Literal["damaged", "missing", "not of this run"]


@dataclass(frozen=True)
class Record:
    """What the record of an output tells; paths as they were, digests in hexadecimal, times in ISO 8601 (UTC)."""

    step: str
    run: str  # the id of the run
    parameters: dict[str, Any]  # but for the paths
    inputs: dict[str, tuple[str, str]]  # parameter: path and digest
    versions: dict[str, str]
    machine: dict[str, str]  # host, kind of CPU, how many workers with how many threads each
    began: str
    ended: str
    results: dict[str, str]  # the digest of the manifest, or of the file that the output is, by name
    size_bytes: int

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.began)).total_seconds()


def record_of(out: Path) -> Path:
    """The folder that holds the record of an output. PathError where there is none."""
    folder = out if out.is_dir() else crate_beside(out)
    if not any((folder / name).is_file() for name in (METADATA, SEAL)):
        raise PathError(f"{out} has no record: {folder / METADATA} is missing. Only what emkit wrote can be repeated from itself.")
    return folder


def read_record(out: Path) -> Record:
    """The record of an output. PathError where there is none, DamagedError where it cannot be read."""
    folder = record_of(out)
    try:
        graph = {entity["@id"]: entity for entity in json.loads((folder / METADATA).read_text())["@graph"]}
        recipe = tomllib.loads((folder / RECIPE).read_text())
        run = graph["#run"]
        digests = {name: entity["sha256"] for name, entity in graph.items() if "sha256" in entity}
        read = {unquote(urlparse(k).path).rstrip("/"): v for k, v in digests.items() if k.startswith("file://")}
        given = [(name, value) for name, value in recipe["arguments"].items() if name != "out"]
        software = [entity for entity in graph.values() if entity["@type"] == "SoftwareApplication"]
        usage = [graph[reference["@id"]] for reference in _several(run.get("resourceUsage", []))]
        return Record(
            recipe["step"],
            run.get("identifier", ""),
            {name: value for name, value in given if not _are_paths(value, read)},
            {k: (path, read[path]) for name, value in given if _are_paths(value, read) for k, path in _numbered(name, value)},
            {entity["name"]: entity["softwareVersion"] for entity in software},
            {entity["name"]: entity["value"] for entity in usage},
            run["startTime"],
            run["endTime"],
            {Path(unquote(name)).name: value for name, value in digests.items() if not name.startswith("file://")},
            int(graph["./"].get("contentSize", -1)),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as broken:
        raise DamagedError(
            f"{folder / METADATA} or {RECIPE} beside it cannot be read as a record ({broken}). "
            "Copy both from where the output was saved, or make it again from its inputs."
        ) from None


def broken_record(out: Path) -> dict[str, State]:
    """The files of the record of an output that are not what its seal says, by name."""
    folder = record_of(out)
    needed = {METADATA, RECIPE, RESULT} | ({MANIFEST} if out.is_dir() else set())
    try:
        sealed = listed((folder / SEAL).read_text())
    except FileNotFoundError:
        return {SEAL: "missing"}
    except ValueError:
        return {SEAL: "damaged"}
    if sealed.keys() != needed:
        return {SEAL: "damaged"}
    found: dict[str, State] = {}
    for name, digest in sealed.items():
        if not (folder / name).is_file():
            found[name] = "missing"
        elif sha256(folder / name) != digest:
            found[name] = "damaged"
    return found


def digests_of(out: Path) -> dict[str, str]:
    """The digest of each file of an output by its name, as its record says. DamagedError where nothing vouches for that list."""
    if not out.is_dir():
        return dict.fromkeys([out.name], *read_record(out).results.values())  # also where it was given another name
    listing, broken = record_of(out) / MANIFEST, broken_record(out)
    # the seal and the metadata both vouch for the manifest: one of them may be damaged
    if not listing.is_file() or ((SEAL in broken or MANIFEST in broken) and sha256(listing) != read_record(out).results[MANIFEST]):
        raise DamagedError(
            f"{listing} is {'damaged' if listing.is_file() else 'missing'}: by it nothing can be checked. If all else is whole, "
            f"emkit repair {out} restores it; else make the output again: emkit run {listing.with_name(RECIPE)}"
        )
    return listed(listing.read_text())


def _several(value: Any) -> list[Any]:
    """JSON-LD leaves out the brackets of a list of one."""
    return value if isinstance(value, list) else [value]


def _are_paths(value: Any, read: dict[str, str]) -> bool:
    """Whether an argument is the path of an input, or of several."""
    return bool(value) and all(isinstance(item, str) and item in read for item in _several(value))


def _numbered(name: str, value: Any) -> list[tuple[str, str]]:
    """Each path by the parameter that names it: source, or sources[0], sources[1] …"""
    return [(f"{name}[{k}]", path) for k, path in enumerate(value)] if isinstance(value, list) else [(name, value)]
