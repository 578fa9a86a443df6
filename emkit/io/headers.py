"""What the header of a section image tells, and what it betrays: no image, cut short, colours, several pages.

TIFF through tifffile; of a PNG the first chunk (IHDR: width, height, bits, colour type) and the lengths of all chunks
(https://www.w3.org/TR/png-3/). No pixel is decoded.
"""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

from emkit.errors import PathError

DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_COLOURS = {2: "RGB", 3: "a palette", 4: "grey and alpha", 6: "RGB and alpha"}
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Header:
    """Shape (y, x) and numpy dtype of one image."""

    shape: tuple[int, int]
    dtype: str


def read_header(path: Path) -> Header:
    """The header of a TIFF or PNG; PathError if it is not one whole grey image."""
    try:
        return _png(path) if path.suffix.lower() == ".png" else _tiff(path)
    except OSError as wrong:
        raise PathError(f"{path} cannot be read: {wrong.strerror or wrong}. Needed: an image file that you may read.") from None


def _tiff(path: Path) -> Header:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would log of a damaged file is raised here
    with path.open("rb") as file:
        if (start := file.read(4)) not in TIFF_STARTS:
            raise _no_image(path, f"it begins with {start!r}, not as a TIFF" if start else "it is empty")
    try:
        with tifffile.TiffFile(path) as tiff:
            pages, page = len(tiff.pages), tiff.pages.first
            end = max((start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
            shape, dtype, palette = page.shape, page.dtype, page.photometric == tifffile.PHOTOMETRIC.PALETTE
    except (tifffile.TiffFileError, ValueError, IndexError, KeyError, struct.error) as wrong:
        raise PathError(
            f"{path} is cut short or damaged: of its {path.stat().st_size} bytes the tags cannot be read ({wrong}). "
            "Needed: a whole TIFF. Copy it again from its source."
        ) from None
    if pages > 1:
        raise PathError(f"{path} holds {pages} images; needed: one per file. Split it, or give a folder of single images.")
    _check_whole(path, end, path.stat().st_size)
    if palette or len(shape) != 2:
        raise _colours(path, "it has a palette" if palette else f"its shape is {shape}")
    if dtype is None or dtype.name not in DTYPES:
        raise PathError(f"{path} has pixels of type {dtype}; needed: {', '.join(DTYPES)}. Convert it first.")
    return Header((shape[0], shape[1]), dtype.name)


def _png(path: Path) -> Header:
    size, end, kind = path.stat().st_size, 8, b""
    with path.open("rb") as file:
        if file.read(8) != PNG_START:
            raise _no_image(path, "it does not begin as a PNG" if size else "it is empty")
        x, y, bits, colour = struct.unpack(">8xIIBB", file.read(18).ljust(18, b"\0"))
        while kind != b"IEND":  # chunk by chunk: length, kind, data, checksum
            file.seek(end)
            length, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
            end += 12 + length
            _check_whole(path, end, size)
    if colour in PNG_COLOURS:
        raise _colours(path, f"it has {PNG_COLOURS[colour]}")
    return Header((y, x), "uint16" if bits == 16 else "uint8")


def _check_whole(path: Path, end: int, size: int) -> None:
    if size < end:
        raise PathError(f"{path} is cut short: it has {size} bytes, its header needs {end}. Copy it again from its source.")


def _no_image(path: Path, why: str) -> PathError:
    return PathError(f"{path} is no image: {why}. Needed: a TIFF or PNG file. Remove it from the folder, or copy it again.")


def _colours(path: Path, how: str) -> PathError:
    return PathError(f"{path} has colours or channels ({how}); needed: grey values, one per pixel. Convert it to grey first.")
