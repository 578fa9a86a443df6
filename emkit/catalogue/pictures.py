"""A small picture of what was scanned: the bright-field image of a counted scan, the same of raw frames, a section of a volume."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.catalogue.things import Thing
from emkit.count import disk, estimate_centre, virtual_image
from emkit.errors import EmkitError
from emkit.io.counted import counted_header, iter_counted, read_counted
from emkit.io.omezarr import read_levels, read_region
from emkit.io.sectors import open_sectors
from emkit.stream.parts import SUFFIX, read_counts, read_plan

SIDE_PX = 128
MOST_EVENTS = 200_000_000  # of more no picture is made: it would take gigabytes and tens of seconds
MOST_FRAMES = 256  # of raw frames so many are read: some 170 MB
BATCH = 32


def picture(root: Path, thing: Thing) -> bytes:
    """A PNG in grey of at most SIDE_PX pixels a side; empty where there is nothing to show."""
    from imagecodecs import png_encode

    try:
        image = {"counted": _counted, "raw": _raw, "volume": _volume, "stream": _stream}[thing.kind](root / thing.path)
    except EmkitError:  # damaged or cut short: the row tells
        image = None
    return bytes(png_encode(_grey(image))) if image is not None and image.size else b""


def _counted(path: Path) -> NDArray[np.float64] | None:
    if (header := counted_header(path)).events > MOST_EVENTS:
        return None
    middle = header.scan_shape[0] // 2
    beam = estimate_centre(read_counted(path, (middle, middle + 1)))
    mask = disk(header.frame_shape, beam, min(header.frame_shape) / 4)
    return np.concatenate([virtual_image(part, mask) for part in iter_counted(path)])


def _raw(path: Path) -> NDArray[np.float64]:
    """The mean of the middle of some frames: what the noise adds is the same everywhere."""
    raw = open_sectors(path)
    step = max(1, int(np.ceil(np.sqrt(len(raw.file_of) / MOST_FRAMES))))
    chosen = np.arange(len(raw.file_of)).reshape(raw.scan_shape)[::step, ::step]
    middle = disk(raw.frame_shape, ((raw.frame_shape[0] - 1) / 2, (raw.frame_shape[1] - 1) / 2), min(raw.frame_shape) / 4)
    flat = chosen.ravel()
    means = [raw.read(list(flat[k : k + BATCH]))[:, middle].mean(1) for k in range(0, len(flat), BATCH)]
    image = np.concatenate(means).astype(np.float64)
    there = (raw.file_of[flat] >= 0).any(1)
    return np.where(there, image, image[there].min(initial=image.max())).reshape(chosen.shape)


def _volume(path: Path) -> NDArray[np.float64]:
    level = len(read_levels(path)) - 1
    z, y, x = read_levels(path)[level].shape
    return np.asarray(read_region(path, level, Block((z // 2, z // 2 + 1), (0, y), (0, x)))[0], np.float64)


def _stream(path: Path) -> NDArray[np.float64]:
    """All electrons at each position so far."""
    plan = read_plan(path).plan
    image = np.zeros(plan.frames)
    for file in sorted(path.glob(f"*{SUFFIX}")):
        for first, _, electrons in read_counts(file):
            image[first : first + len(electrons)] = electrons[: plan.frames - first]
    return image.reshape(plan.scan_shape)


def _grey(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Reduced by means of blocks, and stretched so that one in a hundred pixels is black, and one white."""
    step = -(-max(image.shape) // SIDE_PX)
    height, width = (n // step * step for n in image.shape)
    small = image[:height, :width].reshape(height // step, step, width // step, step).mean((1, 3))
    low, high = np.percentile(small, (1, 99))
    return np.asarray((np.clip((small - low) / max(high - low, 1e-12), 0, 1) * 255).round(), np.uint8)
