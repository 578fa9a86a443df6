"""What lies in a folder of data: raw scans, counted scans, streams in progress and volumes, each as its own files tell.

`walk` finds them by the names of files; `read_thing` looks into one. Nothing outside the folder is read: links that lead out
of it are not followed, and what holds such a link is told so instead of being opened. Times are POSIX seconds.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from emkit.catalogue.jail import check_inside, relative_to
from emkit.catalogue.microscope import microscope_facts
from emkit.errors import DamagedError, EmkitError, PathError
from emkit.io.counted import HDF5, counted_header
from emkit.io.omezarr import read_volume
from emkit.io.sectors import sectors_header
from emkit.params import UNFINISHED
from emkit.provenance import RESULT, SEAL, size_of
from emkit.records import Record, read_record
from emkit.stream.finalising import COUNTED, REPORT
from emkit.stream.parts import PARTS, SUFFIX, read_counts, read_plan

Kind = Literal["raw", "counted", "stream", "volume"]
DEPTH = 8  # folders below the data folder that are looked into
COUNTED_NAME = "-counted"  # behind the name of a raw scan: what a batch writes beside it
SOURCES = ("source", "scan", "volume")  # parameters of steps that name what an output was made from


@dataclass(frozen=True)
class Thing:
    """One of them. `of`: the path of the scan that it belongs to; `whole`: nothing is missing, else `told` says what is.
    `shape`: of a scan (sy, sx, ky, kx), of a volume (z, y, x); None where the files do not tell it."""

    path: str
    kind: Kind
    of: str
    whole: bool
    told: str
    shape: tuple[int, ...] | None
    frames: int
    size_bytes: int
    at: float
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """Where one lies. `seen` is another text as soon as its files are others."""

    path: Path
    kind: Kind
    seen: str


@dataclass
class Look:
    """What a walk has met. `notes`: of each output that is being made the note of its run, by the output's path."""

    things: list[Found] = field(default_factory=list)
    notes: dict[str, Path] = field(default_factory=dict)


def walk(root: Path) -> Look:
    """Everything below a folder, by names, sizes and times alone."""
    look, todo = Look(), [(root, 0)]
    while todo:
        folder, depth = todo.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, PermissionError):  # it went away, or is somebody else's
            continue
        files = {entry.name: entry for entry in entries if entry.is_file() and (entry.name[0] != "." or entry.name == ".zattrs")}
        if folder != root and (kind := _zarr_kind(folder, files)):
            look.things.append(_found(folder, kind, [files[name] for name in ("zarr.json", ".zattrs", SEAL) if name in files]))
            continue
        look.notes |= {
            relative_to(root, folder / name.removeprefix(UNFINISHED).removesuffix(".run")): folder / name
            for name in files
            if name.startswith(UNFINISHED) and name.endswith(".run")
        }
        if folder != root and any(_is_raw(name) for name in files):
            look.things.append(_found(folder, "raw", [entry for name, entry in files.items() if _is_raw(name)]))
        if parts := [entry for name, entry in files.items() if folder.name == PARTS and name.endswith(SUFFIX)]:
            look.things.append(_found(folder, "stream", parts))
            continue
        for name, entry in files.items():
            if name.endswith(HDF5) and not name.startswith(UNFINISHED):
                look.things.append(_found(folder / name, "counted", [entry]))
        if depth < DEPTH:
            todo += [(Path(entry.path), depth + 1) for entry in entries if _is_entered(entry)]
    return look


def _is_entered(entry: "os.DirEntry[str]") -> bool:
    hidden = entry.name.startswith((".", UNFINISHED, "replaced-")) or entry.name.endswith(".crate")
    return entry.is_dir(follow_symlinks=False) and not hidden


def _is_raw(name: str) -> bool:
    return name.endswith(".data") or ("module" in name and name.endswith((".dat", ".bin")))


def _zarr_kind(folder: Path, files: Mapping[str, object]) -> Kind | None:
    """By the attributes of a zarr group; None for a folder that is no zarr of a scan or a volume."""
    if ".zattrs" in files:
        return "volume"
    if "zarr.json" not in files:
        return None
    try:
        attributes = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return "counted" if "scan_shape" in attributes.get("emkit", {}) else "volume" if "ome" in attributes else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a zarr of another kind
        return None


def _found(path: Path, kind: Kind, entries: "list[os.DirEntry[str]]") -> Found:
    seen = []
    for entry in entries:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        seen.append((entry.name, found.st_size, found.st_mtime_ns, stat.S_ISLNK(found.st_mode)))
    return Found(path, kind, json.dumps(seen))


def read_thing(root: Path, found: Found) -> Thing | None:
    """What the files of one tell; None where it is no scan after all, as an HDF5 file of something else."""
    reader = {"raw": _read_raw, "counted": _read_counted, "stream": _read_stream, "volume": _read_volume}[found.kind]
    try:
        check_inside(root, found.path)
        return reader(root, found.path)
    except (EmkitError, FileNotFoundError) as refused:
        if found.kind == "volume" or found.path.suffix in HDF5:
            return None
        path = relative_to(root, found.path)
        return Thing(path, found.kind, path, False, str(refused), None, 0, 0, _newest([found.path]))


def _read_raw(root: Path, folder: Path) -> Thing:
    header = sectors_header(folder)
    path, frames = relative_to(root, folder), header.parts // (4 if header.version >= 4 else 1)
    whole = header.parts == header.needed if header.needed else True
    told = "" if whole else f"{header.parts} of {header.needed} sectors are there"
    if header.needed is None:
        told = "its files do not tell the scan's shape: count it with emkit count-scan --scan-shape"
    shape = (*header.scan_shape, *header.frame_shape) if header.scan_shape else None
    size = sum(file.stat().st_size for file in header.files)
    return Thing(path, "raw", path, whole, told, shape, frames, size, _newest(header.files), microscope_facts(folder))


def _read_counted(root: Path, path: Path) -> Thing:
    header, name = counted_header(path), relative_to(root, path)
    shape = (*header.scan_shape, *header.frame_shape)
    report = path.with_name(REPORT.replace(".", f"{path.name.removeprefix(COUNTED)}."))
    if path.name.startswith(COUNTED) and report.is_file() and path.parent != root:
        told, facts, at = _of_stream(report)
        of = relative_to(root, path.parent) if path.name == COUNTED else name
    else:
        record = _record(path)
        told, facts = _of_count(path, record)
        of, at = _source(root, path, record), _began(record) or _newest([path])
    return Thing(name, "counted", of, not told, told, shape, header.frames, size_of(path), at, {**microscope_facts(path), **facts})


def _read_stream(root: Path, folder: Path) -> Thing:
    """What receivers have written so far, of a scan that is not joined yet."""
    files, scan, plan = sorted(folder.glob(f"*{SUFFIX}")), folder.parent, read_plan(folder).plan
    before = sum(1 for path in scan.glob(f"{COUNTED}*") if path.is_dir())
    of = relative_to(root, scan / f"{COUNTED}-{before + 1}" if before else scan)
    frames = sum(len(masks) for file in files for _, masks, _ in read_counts(file))
    told, size = f"{frames} of {plan.frames} frames so far", sum(file.stat().st_size for file in files)
    shape = (*plan.scan_shape, *plan.frame_shape)
    return Thing(relative_to(root, folder), "stream", of, False, told, shape, frames, size, _newest(files))


def _read_volume(root: Path, path: Path) -> Thing:
    volume, record, name = read_volume(path), _record(path), relative_to(root, path)
    size = record.size_bytes if record and record.size_bytes >= 0 else size_of(path)
    z, y, x = volume.levels[0].voxel_size_nm
    facts = {"voxel": f"{z:g} × {y:g} × {x:g} nm", **({"made by": record.step} if record else {})}
    return Thing(name, "volume", name, True, "", tuple(volume.levels[0].shape), 0, size, _began(record) or _newest([path]), facts)


def _record(path: Path) -> Record | None:
    try:
        return read_record(path)
    except (PathError, DamagedError):
        return None


def _began(record: Record | None) -> float | None:
    return datetime.fromisoformat(record.began).timestamp() if record else None


def _of_count(path: Path, record: Record | None) -> tuple[str, dict[str, str]]:
    """What is missing, in words, and numbers of a count, from the report that it left."""
    if record is None or record.step != "count_scan":
        return "", {}
    try:
        told = json.loads((path / RESULT).read_text(encoding="utf-8"))
        missing = "" if told["whole"] == told["frames"] else f"{told['whole']} of {told['frames']} frames are whole"
        thresholds = f"{told['background']:.2f} < v < {told['xray']:.1f} ADU"
        return missing, {"electrons": f"{told['electrons']:,}", "occupancy": f"{told['occupancy']:.2%}", "thresholds": thresholds}
    except (OSError, ValueError, KeyError, TypeError):  # of another version
        return "", {}


def _of_stream(report: Path) -> tuple[str, dict[str, str], float]:
    """The same of a stream, and when it ended."""
    try:
        told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        missing = "" if told["complete"] == told["frames"] else f"{told['complete']} of {told['frames']} frames are whole"
        return missing, {"electrons": f"{told['electrons']:,}", "streamed in": f"{told['seconds']:.1f} s"}, report.stat().st_mtime
    except (ValueError, KeyError, TypeError):
        return f"{report.name} cannot be read", {}, report.stat().st_mtime


def _source(root: Path, path: Path, record: Record | None) -> str:
    """The path of the scan that an output was made from, also where that has been deleted; by its record, else by its name."""
    named = [record.inputs[name][0] for name in SOURCES if name in record.inputs] if record else []
    for source in (Path(os.path.normpath(name)) for name in named):
        if source.is_relative_to(root) and source != root:
            return relative_to(root, source)
    return relative_to(root, path).removesuffix(COUNTED_NAME)


def _newest(paths: "tuple[Path, ...] | list[Path]") -> float:
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def chains(things: Mapping[str, Thing]) -> Iterator[tuple[str, Thing]]:
    """Each with the path of the scan that it belongs to in the end: what was made from a counted scan is of that one's."""
    for thing in things.values():
        of, seen = thing.of, {thing.path}
        while (next_one := things.get(of)) and next_one.of != of and of not in seen:
            seen.add(of)
            of = next_one.of
        yield of, thing
