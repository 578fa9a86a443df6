"""The catalogue's folder as a jail: no path of it is read or written outside, not through links either."""

import os
from collections.abc import Iterator
from pathlib import Path

from emkit.errors import PathError


def relative_to(root: Path, path: Path) -> str:
    """The path within the folder, with slashes."""
    return path.relative_to(root).as_posix()


def inside(root: Path, name: str) -> Path:
    """The path of a name in the folder. PathError where it, or the folder that it lies in, is elsewhere."""
    path = root / name
    real = path.parent.resolve() / path.name
    if not name or not real.is_relative_to(root) or real == root or ".." in Path(name).parts:
        raise PathError(f"{name!r} does not lie in {root}; needed: the name of a scan there. See: emkit scans {root}")
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        raise PathError(f"{path} is a link to {path.resolve()}, out of {root}; needed: a file or folder that lies there.")
    return path


def check_inside(root: Path, path: Path) -> None:
    """Raises PathError where a path, or anything below it, is a link that leaves the folder."""
    inside(root, relative_to(root, path))
    for entry in _links(path) if path.is_dir() else ():
        if not Path(entry).resolve().is_relative_to(root):
            raise PathError(f"{entry} is a link to {Path(entry).resolve()}, out of {root}; put the file itself there.")


def _links(folder: Path | str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.path
            elif entry.is_dir(follow_symlinks=False):
                yield from _links(entry.path)
