"""Curated notebooks copied into a user's home: what the user has edited is theirs and never overwritten.

What was copied is remembered by its digest, beside the copies. At each start, as people know it from nbgitpuller:

| the user's file | the template | then |
|---|---|---|
| is not there | any | it is copied (to delete a file is the way to a fresh one) |
| as it was copied | is newer | it is replaced by the newer one |
| edited | as it was | nothing |
| edited | is newer | the newer one is put beside it as `NAME.new.ipynb`, unless that is edited too |
"""

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

from emkit.errors import PathError
from emkit.notebooks.templates import templates

MEMORY = ".emkit-notebooks.json"


@dataclass(frozen=True)
class Installed:
    """What became of one file: its place, and whether it was copied, replaced, put beside an edited one, or left as it is."""

    path: Path
    what: Literal["copied", "replaced", "beside", "kept"]


def install(folders: Iterable[Path], home: Path) -> list[Installed]:
    """Bring the curated notebooks of some folders, and their pictures, into `home`, which is made if it is not there."""
    for folder in (folders := list(folders)):
        if not folder.is_dir():
            raise PathError(f"{folder} is no folder; needed: one that holds curated notebooks.")
    home.mkdir(parents=True, exist_ok=True)
    memory = home / MEMORY
    copied: dict[str, str] = json.loads(memory.read_text()) if memory.is_file() else {}
    done = []
    for template in templates(folders):
        below = template.path.parent
        for file in (template.path, template.picture):
            if file.is_file():
                done.append(_bring(file.read_bytes(), home, file.relative_to(below).as_posix(), copied))
    _write(memory, json.dumps(copied, indent=1, sort_keys=True).encode())
    return done


def _bring(content: bytes, home: Path, name: str, copied: dict[str, str]) -> Installed:
    """One file to its place below the home; `copied` maps names to the digest that was last copied there."""
    path, digest = home / name, sha256(content).hexdigest()
    there = sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    before, copied[name] = copied.get(name), digest
    if path.exists() and digest in (before, there):
        return Installed(path, "kept")
    if not path.exists() or there == before:
        _write(path, content)
        return Installed(path, "copied" if there is None else "replaced")
    if ".new." in name:
        return Installed(path, "kept")
    beside = Path(name).with_suffix(f".new{path.suffix}").as_posix()
    newer = _bring(content, home, beside, copied)
    return newer if newer.what == "kept" else replace(newer, what="beside")


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, also where the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}", delete=False) as part:
        try:
            part.write(content)
            part.close()
            Path(part.name).chmod(0o644)
            os.replace(part.name, path)
        except OSError:
            os.unlink(part.name)
            raise
