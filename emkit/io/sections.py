"""A folder of section images, TIFF or PNG, one file a section, in natural order. Pixels are (y, x), stacks (z, y, x).

`open_stack` reads headers only and refuses what they tell; `read_section` reads pixels and refuses what only they tell.
Values are those that the file stores: nothing is scaled or inverted.
"""

import os
import re
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError, PathError
from emkit.io.headers import Header, read_header
from emkit.io.stores import PASSING
from emkit.model import SectionFile, SizeNm, Stack
from emkit.provenance import await_files

SUFFIXES = (".tif", ".tiff", ".png")
WIDEST_SPAN = 100_000  # numbers that lie further apart than this, beyond one a file, are dates or positions


def open_stack(folder: Path, *, allow_gaps: bool = False) -> Stack:
    """The sections of a folder, from names and headers; everything wrong with them is one PathError.

    The section number is the first of the numbers in a name that differs between the files. A missing or a doubled one is
    refused, or with `allow_gaps` told in the stack. Hidden files and files of other kinds are passed over.
    """
    files = section_files(folder)
    headers = [read_header(path) for path in files]
    _check_alike(folder, files, headers)
    numbers = section_numbers([path.stem for path in files])
    counts = Counter(number for number in numbers if number is not None)
    present = sorted(counts)
    gaps = tuple(sorted(set(range(present[0], present[-1])) - set(present))) if present else ()
    duplicates = tuple(number for number in present if counts[number] > 1)
    if (gaps or duplicates) and not allow_gaps:
        doubled = [path.name for path, number in zip(files, numbers, strict=True) if number in duplicates]
        found = [f"no section {ranges(gaps)}"] * bool(gaps) + [f"several files of one number ({_few(doubled)})"] * bool(duplicates)
        raise PathError(
            f"{folder} counts its sections from {present[0]} to {present[-1]}, but has {' and '.join(found)}; needed: each number "
            "once. Add or remove files, or pass --allow-gaps to go on with the files as they are, in natural order."
        )
    sections = tuple(SectionFile(path, number) for path, number in zip(files, numbers, strict=True))
    return Stack(sections, headers[0].shape, headers[0].dtype, gaps, duplicates)


def section_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order: s2 before s10."""
    try:
        names = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    except OSError as wrong:
        raise PathError(
            f"{folder} cannot be listed: {wrong.strerror}. Needed: a folder of {', '.join(SUFFIXES)} images that you may read."
        ) from None
    if not names:
        raise PathError(f"{folder} holds no images; needed: one {', '.join(SUFFIXES)} file a section. Give the folder they lie in.")
    return sorted(names, key=lambda path: (natural(path.name), path.name))


def section_numbers(stems: Sequence[str]) -> list[int | None]:
    """What the names count: of the numbers that all names have, the first that differs; None where nothing is counted.

    >>> section_numbers(["run3_s09", "run3_s10"])
    [9, 10]
    """
    rows = [tuple(map(int, re.findall("[0-9]+", stem))) for stem in stems]
    columns = list(zip(*(row[: min(map(len, rows))] for row in rows), strict=True))
    differing = [column for column in columns if len(set(column)) > 1] or columns[-1:]
    distinct = [column for column in differing if len(set(column)) == len(column)]
    if not differing or (len(differing) > 1 and not distinct):  # such as wafer and section: no one number tells
        return [None] * len(stems)
    counted = (distinct or differing)[0]
    if max(counted) - min(counted) > len(counted) + WIDEST_SPAN:
        return [None] * len(stems)
    return list(counted)


def read_section(stack: Stack, z: int) -> NDArray[Any]:
    """The pixels of a section, (y, x). DataError with the file if they cannot be decoded, or hold NaN or infinity."""
    path = stack.files[z].path
    pixels = read_image(path)
    if pixels.shape != stack.shape or pixels.dtype.name != stack.dtype:
        found = f"{pixels.dtype.name} of {pixels.shape} px"
        raise DataError(f"{path} holds {found}, its header told {stack.dtype} of {stack.shape} px (y, x). Write it anew.")
    return pixels


def read_image(path: Path) -> NDArray[Any]:
    """The pixels of one image, (y, x). DataError with the file if they cannot be decoded, or hold NaN or infinity."""
    pixels = _decode(path)
    if pixels.dtype.kind == "f" and not (finite := np.isfinite(pixels)).all():
        y, x = np.argwhere(~finite)[0]
        raise DataError(
            f"{path} holds {np.count_nonzero(~finite)} pixels that are not finite, the first is {pixels[y, x]} at (y={y}, x={x}); "
            "needed: a finite value in each. Replace them, or leave the section out."
        )
    return pixels


def map_section(path: Path) -> NDArray[Any] | None:
    """The pixels of an uncompressed TIFF where they lie, (y, x), in its byte order; None for a file that must be decoded."""
    import tifffile

    try:
        return None if path.suffix.lower() == ".png" else tifffile.memmap(path, mode="r")
    except ValueError:  # "image data are not memory-mappable"
        return None


def create_section(path: Path, shape: tuple[int, int], dtype: str, voxel_size_nm: SizeNm) -> None:
    """An uncompressed TIFF with its pixel size as resolution, all pixels 0. The same pixels give the same file.

    It takes its whole place at once: a full disk is an OSError here, and not a signal when a mapped pixel is written.
    """
    import tifffile

    _, size_y, size_x = voxel_size_nm
    told: dict[str, Any] = {"resolution": (1e7 / size_x, 1e7 / size_y), "resolutionunit": "CENTIMETER", "software": "emkit"}
    tifffile.memmap(path, shape=shape, dtype=dtype, photometric="minisblack", metadata=None, **told)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def fill_section(path: Path, y: int, x: int, pixels: NDArray[Any]) -> None:
    """Write a window of a section, (y, x), that begins at (y, x)."""
    import tifffile

    await_files(path)
    tifffile.memmap(path)[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels


def write_section(path: Path, pixels: NDArray[Any], voxel_size_nm: SizeNm) -> None:
    """One section at once, as `create_section` makes it."""
    create_section(path, (pixels.shape[0], pixels.shape[1]), pixels.dtype.newbyteorder("=").name, voxel_size_nm)
    fill_section(path, 0, 0, pixels)


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in few words.

    >>> ranges([3, 4, 5, 9])
    '3–5, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return _few([f"{low}" if low == high else f"{low}–{high}" for low, high in runs])


def _decode(path: Path) -> NDArray[Any]:
    import imagecodecs
    import tifffile

    try:
        pixels = imagecodecs.png_decode(path.read_bytes()) if path.suffix.lower() == ".png" else tifffile.imread(path)
    except OSError as wrong:
        if wrong.errno in PASSING:
            raise
        raise _undecodable(path, wrong) from None
    # Each decoder has its own RuntimeError; tags that point nowhere end as one of the others.
    except (RuntimeError, ValueError, LookupError, struct.error, tifffile.TiffFileError) as wrong:
        raise _undecodable(path, wrong) from None
    native: NDArray[Any] = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native


def _undecodable(path: Path, wrong: Exception) -> DataError:
    return DataError(f"{path} cannot be decoded: {wrong}. Needed: a whole image. Copy it again from its source.")


def _check_alike(folder: Path, files: Sequence[Path], headers: Sequence[Header]) -> None:
    for told, what in (("shape", "sizes (y, x)"), ("dtype", "pixel types")):
        groups: dict[Any, list[str]] = {}
        for path, header in zip(files, headers, strict=True):
            groups.setdefault(getattr(header, told), []).append(path.name)
        if len(groups) > 1:
            found = "; ".join(f"{value} in {len(names)} files, such as {names[0]}" for value, names in groups.items())
            raise PathError(f"{folder} mixes images of different {what}: {found}. Needed: one for all. Sort or convert them first.")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Digits compare as numbers, and before letters."""
    parts = re.findall("[0-9]+|[^0-9]+", name.casefold())
    return [(not part[0].isdigit(), int(part) if part[0] in "0123456789" else 0, part) for part in parts]


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")
