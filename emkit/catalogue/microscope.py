"""What a microscope said of a scan, where files have it: as words, for people.

- HDF5: attributes and single values of the group `metadata`, as stempy and interactEM write them.
- A Gatan or FEI file in the folder of a raw scan, or of its name beside it: voltage, magnification, camera length and such.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emkit.errors import EmkitError
from emkit.io.counted import HDF5
from emkit.io.dense import PLUGINS, open_dense

MOST, LONGEST = 24, 120  # facts, and letters of one


def microscope_facts(path: Path) -> dict[str, str]:
    """Name to value with its unit; empty where no file tells any."""
    told = _of_hdf5(path) if path.suffix in HDF5 else _of_neighbours(path)
    return {name: value[:LONGEST] for name, value in list(told)[:MOST]}


def _of_hdf5(path: Path) -> Iterator[tuple[str, str]]:
    import h5py

    found: list[tuple[str, str]] = []

    def visit(name: str, item: Any) -> None:
        within = name.replace("/", " ")
        found.extend((f"{within} {key}".strip(), _word(value)) for key, value in item.attrs.items())
        if isinstance(item, h5py.Dataset) and item.size == 1:
            found.append((within, _word(item[()])))

    with h5py.File(path, "r") as file:
        if isinstance(group := file.get("metadata"), h5py.Group):
            visit("", group)
            group.visititems(visit)
    yield from found


def _word(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _of_neighbours(path: Path) -> Iterator[tuple[str, str]]:
    """Of the first file in the folder, or beside it under its name, that a reader of microscopes' files opens."""
    beside = [path.with_name(f"{path.name}{ending}") for ending in PLUGINS]
    for file in [*sorted(path.iterdir()), *beside]:
        if file.suffix.lower() in PLUGINS and file.is_file() and not file.is_symlink():
            try:
                (first, *_) = open_dense(file)
            except EmkitError:  # the extra is not installed, or it is no such file
                continue
            yield "microscope file", file.name
            yield from ((str(name), str(value)) for name, value in first.attrs.get("instrument", {}).items())
            return
