"""Draws the pictures of the curated notebooks beside itself, from phantoms: `python notebooks/pictures/draw.py`."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import emkit

HERE = Path(__file__).parent
PANEL = (400, 318)  # (y, x) px; two of them and a gap of 4 are 400 × 640


def overlay(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """The middle of two sections (y, x), the first in red, the second in cyan: grey where they agree. (400, 318, 3) uint8."""
    y, x = ((n - shown) // 2 for n, shown in zip(fixed.shape, PANEL, strict=True))
    fixed, moving = (section[y : y + PANEL[0], x : x + PANEL[1]] for section in (fixed, moving))
    return np.stack([fixed, moving, moving], axis=-1)


def draw_align_sections() -> Image.Image:
    """Two neighbours over each other, before and after."""
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder, "raw"), Path(folder, "aligned.ome.zarr")
        emkit.make_phantom(out=raw, sections=12)
        emkit.align_sections(raw, out=out, voxel_size_nm=(45, 4.6, 4.6))
        before = [np.asarray(Image.open(path)) for path in sorted(raw.glob("*.tif"))[4:6]]
        after = emkit.open_volume(out)[4:6].to_numpy()
    gap = np.full((PANEL[0], 4, 3), 255, np.uint8)
    return Image.fromarray(np.concatenate([overlay(*before), gap, overlay(*after)], axis=1))


def draw_make_phantom() -> Image.Image:
    """Four sections of one specimen, each displaced."""
    with tempfile.TemporaryDirectory() as folder:
        emkit.make_phantom(out=Path(folder, "raw"), sections=4)
        sections = [Image.open(path).crop((0, 0, 318, 198)) for path in sorted(Path(folder, "raw").glob("*.tif"))]
    picture = Image.new("L", (640, 400), 255)
    for section, corner in zip(sections, [(0, 0), (322, 0), (0, 202), (322, 202)], strict=True):
        picture.paste(section, corner)
    return picture


if __name__ == "__main__":
    for name, picture in {"align_sections": draw_align_sections(), "make_phantom": draw_make_phantom()}.items():
        picture.quantize(48).save(HERE / f"{name}.png", optimize=True)
