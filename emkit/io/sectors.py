"""Raw frames of the 4D Camera: files of blocks, header first, pixels on demand. Frames are (ky, kx), uint16, little endian.

| version | block |
|---|---|
| 1 | 1024 u32 (images in the block, rows, columns, version, time, five reserved, the images' numbers from 1), the images |
| 2 | u32, the number of the first of 1600 images of 576 x 576, the images |
| 3 | 16 bytes (u32 scan, u32 frame, u16 scan width, scan height, x, y), 576 x 576 |
| 4 | the same header, a sector 576 rows x 144 columns |
| 5 | the same header, a sector 144 rows x 576 columns |

The sector of versions 4 and 5 is the `moduleN` of the file's name; the four of one frame come in different files, in any order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError, ParameterError, PathError

Version = Literal[1, 2, 3, 4, 5]
FRAME = (576, 576)
SECTORS = 4
HEADER = np.dtype([("scan", "<u4"), ("frame", "<u4"), ("width", "<u2"), ("height", "<u2"), ("x", "<u2"), ("y", "<u2")])
SHAPES: dict[int, tuple[int, int]] = {3: FRAME, 4: (576, 144), 5: (144, 576)}
IMAGES_V2 = 1600


@dataclass(frozen=True)
class RawScan:
    """Where every part of every frame lies: `file_of[frame, sector]`, -1 where it is missing; `byte_of`: where its pixels begin.

    `found[frame]` has a bit for each sector that is there. Frames that are not whole are kept, and told.
    """

    files: tuple[Path, ...]
    version: Version
    scan_shape: tuple[int, int]
    file_of: NDArray[np.int32]
    byte_of: NDArray[np.int64]
    part: tuple[int, int]
    frame_shape: tuple[int, int]
    duplicates: int
    beyond: int
    short: tuple[str, ...]

    @property
    def sectors(self) -> int:
        return int(self.file_of.shape[1])

    @property
    def found(self) -> NDArray[np.uint8]:
        """The sector mask of each frame."""
        return np.asarray(((self.file_of >= 0) << np.arange(self.sectors)).sum(1), np.uint8)

    @property
    def complete(self) -> NDArray[np.bool_]:
        return np.asarray((self.file_of >= 0).all(1))

    def report(self) -> str:
        """What is there and what is not, with counts and positions."""
        whole, none = int(self.complete.sum()), int((self.file_of < 0).all(1).sum())
        partial = len(self.file_of) - whole - none
        told = [f"{whole} of {len(self.file_of)} frames are whole, {partial} partial, {none} missing"]
        if absent := [str(k) for k in np.flatnonzero((self.file_of < 0).all(0)) if none < len(self.file_of)]:
            told.append(f"no frame has sector {', '.join(absent)}: look for the files with module{absent[0]} in their names")
        if partial or none:
            frames = np.flatnonzero(~self.complete)
            told.append("not whole: " + ", ".join(self._named(k) for k in frames[:5]) + (", …" if len(frames) > 5 else ""))
        if self.duplicates:
            told.append(f"{self.duplicates} parts came twice; the first of each was taken")
        if self.beyond:
            told.append(f"{self.beyond} parts belong to frames beyond the scan's last")
        return "; ".join([*told, *(f"{text}" for text in self.short)])

    def _named(self, frame: int) -> str:
        sy, sx = divmod(frame, self.scan_shape[1])
        lacking = [str(k) for k in range(self.sectors) if self.file_of[frame, k] < 0]
        return f"frame {frame} (sy={sy}, sx={sx})" + (f" lacks sector {', '.join(lacking)}" if self.sectors > 1 else "")

    def subset(self, chosen: Sequence[int]) -> "RawScan":
        """These frames alone, in one line, and the files that they are in: what a task needs to know."""
        file_of = self.file_of[np.asarray(chosen, np.int64)]
        needed = np.unique(file_of[file_of >= 0])
        place = np.where(file_of < 0, -1, np.searchsorted(needed, file_of)).astype(np.int32)
        files, byte_of = tuple(self.files[k] for k in needed), self.byte_of[np.asarray(chosen, np.int64)]
        return replace(self, files=files, scan_shape=(1, len(chosen)), file_of=place, byte_of=byte_of)

    def read(self, chosen: Sequence[int]) -> NDArray[np.uint16]:
        """These frames, (n, H, W); what is missing reads as 0. Read, not mapped: mapped files count as memory of the process."""
        frames = np.zeros((len(chosen), *self.frame_shape), np.uint16)
        files = self.file_of[np.asarray(chosen, np.int64)]
        for which in np.unique(files[files >= 0]):
            with self.files[which].open("rb", buffering=0) as file:
                for n, sector in np.argwhere(files == which):
                    file.seek(int(self.byte_of[chosen[n], sector]))
                    pixels = np.fromfile(file, "<u2", self.part[0] * self.part[1])
                    if pixels.size < self.part[0] * self.part[1]:
                        raise DataError(f"{self.files[which]} became shorter while it was read. Is it still being written?")
                    frames[n][self._window(sector)] = pixels.reshape(self.part)
        return frames

    def _window(self, sector: int) -> tuple[slice, slice]:
        height, width = self.part
        if self.version == 4:
            return slice(None), slice(sector * width, (sector + 1) * width)
        return (slice(sector * height, (sector + 1) * height), slice(None)) if self.version == 5 else (slice(None), slice(None))


def open_sectors(folder: Path, version: Version | None = None, scan_shape: tuple[int, int] | None = None) -> RawScan:
    """Find every frame of a scan in the files of a folder; headers only.

    The version is told by the files if it is not given and the scan's shape by the
    headers of versions 3 to 5. Raises PathError where there are no such files, DataError where they contradict each other.
    """
    files = _files_of(folder)
    version = version or _version_of(files)
    blocks = [_blocks(k, file, version) for k, file in enumerate(files)]
    records = np.concatenate([found for found, _, _ in blocks])
    if not len(records):
        raise DataError(f"{folder}: its {len(files)} files hold no whole frame. {' '.join(text for _, text, _ in blocks if text)}")
    own = _told_shape(folder, records) if version >= 3 else None
    shape = scan_shape or own
    if shape is None:
        raise ParameterError(
            f"scan_shape is missing: version {version} does not tell it. Found {len(records)} frames: give (lines, positions)."
        )
    if own and scan_shape and scan_shape[0] * scan_shape[1] != own[0] * own[1]:
        raise ParameterError(
            f"scan_shape: found {scan_shape} = {scan_shape[0] * scan_shape[1]} positions, "
            f"but the headers say {own} = {own[0] * own[1]}."
        )
    sectors = SECTORS if version >= 4 else 1
    part = blocks[0][2]
    frame_shape = FRAME if version >= 4 else part
    count = shape[0] * shape[1]
    file_of, byte_of = np.full((count, sectors), -1, np.int32), np.zeros((count, sectors), np.int64)
    inside = records[records["frame"] < count]
    slots = inside["frame"].astype(np.int64) * sectors + inside["sector"]
    _, first = np.unique(slots, return_index=True)
    file_of.ravel()[slots[first]], byte_of.ravel()[slots[first]] = inside["file"][first], inside["byte"][first]
    short = tuple(text for _, text, _ in blocks if text)
    return RawScan(
        files, version, shape, file_of, byte_of, part, frame_shape, len(inside) - len(first), len(records) - len(inside), short
    )


@dataclass(frozen=True)
class SectorsHeader:
    """What names, sizes and first blocks of raw files tell. `parts` are there, sectors (versions 4, 5) or frames, were each one
    there once; `needed` make a whole scan, None where the files do not tell its shape (versions 1, 2)."""

    files: tuple[Path, ...]
    version: Version
    scan_shape: tuple[int, int] | None
    frame_shape: tuple[int, int]
    parts: int
    needed: int | None


def sectors_header(folder: Path) -> SectorsHeader:
    """In the time of one look into each file, where `open_sectors` looks at each block. Raises as that does."""
    files = _files_of(folder)
    version = _version_of(files)
    if version < 3:
        blocks = [_blocks(k, file, version) for k, file in enumerate(files)]
        return SectorsHeader(files, version, None, blocks[0][2], sum(len(found) for found, _, _ in blocks), None)
    heads = [np.fromfile(file, HEADER, 1) for file in files]
    if not len(first := np.concatenate(heads)):
        raise DataError(f"{folder}: its {len(files)} files hold no whole frame.")
    shape, sectors = _told_shape(folder, first), SECTORS if version >= 4 else 1
    block = HEADER.itemsize + SHAPES[version][0] * SHAPES[version][1] * 2
    parts = sum(file.stat().st_size // block for file in files)
    return SectorsHeader(files, version, shape, FRAME, parts, shape[0] * shape[1] * sectors)


RECORD = np.dtype(
    [("file", "i4"), ("byte", "i8"), ("frame", "i8"), ("sector", "i4"), ("scan", "i8"), ("width", "i4"), ("height", "i4")]
)


def _files_of(folder: Path) -> tuple[Path, ...]:
    files = tuple(sorted(path for path in folder.iterdir() if path.suffix in (".data", ".dat", ".bin") and path.is_file()))
    if not files:
        raise PathError(f"{folder} holds no raw frames; needed: files NAME.data (with moduleN in the name, of sectors).")
    return files


def _blocks(index: int, file: Path, version: Version) -> tuple[NDArray[Any], str, tuple[int, int]]:
    """The frames or sectors of one file, a word on what is cut off at its end, and the shape of a part."""
    size = file.stat().st_size
    if version == 1:
        return _blocks_v1(index, file, size)
    if version == 2:
        return _blocks_v2(index, file, size)
    part = SHAPES[version]
    block = HEADER.itemsize + part[0] * part[1] * 2
    count, rest = divmod(size, block)
    kind = np.dtype([("head", HEADER), ("pixels", f"V{block - HEADER.itemsize}")])
    records = np.zeros(count, RECORD)
    records["file"], records["byte"] = index, np.arange(count) * block + HEADER.itemsize
    records["sector"] = _module(file) if version >= 4 else 0
    if count:
        for name in ("frame", "scan", "width", "height"):
            records[name] = np.memmap(file, kind, "r", shape=(count,))["head"][name]
    return records, f"{file.name} ends within a block: {rest} bytes of {block} are cut off" if rest else "", part


def _blocks_v1(index: int, file: Path, size: int) -> tuple[NDArray[Any], str, tuple[int, int]]:
    found, at, part = [], 0, FRAME
    head_bytes = 1024 * 4
    while at + head_bytes <= size:
        head = np.fromfile(file, "<u4", 1024, offset=at)
        images, part = int(head[0]), (int(head[1]), int(head[2]))
        pixels = part[0] * part[1] * 2
        if not 0 < images <= 1014 or not 0 < pixels <= 2**26:
            raise DataError(
                f"{file} is no file of version 1: at byte {at} its header tells of {images} images of {part[0]} x {part[1]} px."
            )
        whole = min(images, (size - at - head_bytes) // pixels)
        found += [(index, at + head_bytes + k * pixels, int(head[10 + k]) - 1, 0, 0, 0, 0) for k in range(whole)]
        at += head_bytes + images * pixels
    text = f"{file.name} ends within a block: {at - size} bytes are missing" if at > size else ""
    return np.array(found, RECORD), text, part


def _blocks_v2(index: int, file: Path, size: int) -> tuple[NDArray[Any], str, tuple[int, int]]:
    found, pixels = [], FRAME[0] * FRAME[1] * 2
    block = 4 + IMAGES_V2 * pixels
    for at in range(0, size - 3, block):
        number = int(np.fromfile(file, "<u4", 1, offset=at)[0])
        whole = min(IMAGES_V2, (size - at - 4) // pixels)
        found += [(index, at + 4 + k * pixels, number + k, 0, 0, 0, 0) for k in range(whole)]
    rest = (size % block - 4) % pixels if size % block else 0
    return np.array(found, RECORD), f"{file.name} ends within a frame: {rest} bytes of {pixels} are cut off" if rest else "", FRAME


def _told_shape(folder: Path, records: NDArray[Any]) -> tuple[int, int]:
    told = np.unique(np.stack([records["height"], records["width"]], -1), axis=0)
    if len(told) > 1 or len(scans := np.unique(records["scan"])) > 1:
        several = (
            f"scans {', '.join(map(str, np.unique(records['scan'])[:4]))}" if len(told) == 1 else f"shapes {told[:4].tolist()}"
        )
        raise DataError(f"{folder} holds more than one scan: its headers tell of {several}. Give each scan a folder of its own.")
    if not told[0].all() or not len(scans):
        raise DataError(f"{folder}: its headers tell of a scan of {told[0].tolist()}; needed lines and positions of 1 or more.")
    return int(told[0][0]), int(told[0][1])


def _module(file: Path) -> int:
    found = re.search(r"module(\d+)", file.name)
    if not found or int(found[1]) >= SECTORS:
        raise PathError(f"{file}: its name does not tell which sector it holds; needed: module0 to module{SECTORS - 1} in it.")
    return int(found[1])


def _version_of(files: tuple[Path, ...]) -> Version:
    """By the names and the headers: whole frames (3) or sectors (5, as all files of sectors that are written today)."""
    if all(re.search(r"module\d+", file.name) for file in files):
        return 5
    head = np.fromfile(files[0], "<u4", 4)
    if len(head) == 4 and tuple(head[1:4]) == (*FRAME, 1):
        return 1
    block = HEADER.itemsize + FRAME[0] * FRAME[1] * 2
    return 3 if files[0].stat().st_size % block < HEADER.itemsize and files[0].stat().st_size >= block else 2


def write_sectors(
    folder: Path, frames: dict[int, NDArray[np.uint16]], scan_shape: tuple[int, int], name: str, *, scan: int = 1
) -> list[Path]:
    """Write frames of 576 x 576 by their numbers as four files of version 5, one a sector: `NAME_module0.data` and so on."""
    made = []
    for sector in range(SECTORS):
        block = np.zeros(len(frames), np.dtype([("head", HEADER), ("pixels", "<u2", SHAPES[5])]))
        for k, (number, frame) in enumerate(frames.items()):
            y, x = divmod(number, scan_shape[1])
            block[k]["head"] = (scan, number, scan_shape[1], scan_shape[0], x, y)
            block[k]["pixels"] = frame[sector * 144 : (sector + 1) * 144]
        made.append(folder / f"{name}_module{sector}.data")
        made[-1].write_bytes(block.view(np.uint8).data)
    return made
