"""Draws what a training does to its images, a panel for each function, from a phantom: `docs/draw_augmentation.py [FOLDER]`."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw

from emkit.membrane import augmentation, geometry
from emkit.membrane.augmentation import Patch
from emkit.membrane.sampling import BEND_PX, SCALE, SLIP_PX, changed
from emkit.phantoms import SectionPhantom

SIDE, DEPTH, ROOM = 168, 8, 60  # px of a panel; sections of one that is seen from the side; px around a panel that can turn in
COLUMNS, GAP, CAPTION = 5, 8, 20
STRONG, TURNED = 10, 3  # seeds: of changes near their strongest, and of an angle that is seen

Placed = Callable[[geometry.Placement, Generator], geometry.Placement]


def stack() -> Patch:
    """Sections of one specimen, (z, y, x), with mean 0 and standard deviation 1."""
    phantom = SectionPhantom((SIDE + 2 * ROOM,) * 2, DEPTH, seed=2, jitter=0)
    sections = np.stack([phantom.render_section(z) for z in range(DEPTH)]).astype(np.float32)
    return (sections - sections.mean()) / sections.std()


def mapped(volume: Patch, matrix: np.ndarray, then: Placed | None = None) -> Patch:
    """The middle of the first section under a linear map, then moved further."""
    centre = [(n - 1) / 2 for n in volume.shape[1:]]
    placement = geometry.place(centre, (SIDE, SIDE), matrix)
    return (then(placement, rng()) if then else placement).take(volume[:1])[0]


def rng(seed: int = STRONG) -> Generator:
    return default_rng(seed)


def from_the_side(volume: Patch) -> Patch:
    """Sections one below the other as bands, along one row of each."""
    return np.repeat(volume[:, volume.shape[1] // 2], SIDE // DEPTH, axis=0)


def panels() -> dict[str, Patch]:
    volume = stack()
    inner = volume[:, ROOM:-ROOM, ROOM:-ROOM]
    section = inner[0]
    slip = geometry.slipped(geometry.place([(n - 1) / 2 for n in volume.shape], inner.shape), rng(), SLIP_PX)
    matrix = geometry.turned(rng(TURNED), 2) @ geometry.scaled(rng(), 2, SCALE) @ geometry.flipped(rng(), 2)
    together = mapped(volume, matrix, lambda placement, source: geometry.bent(placement, source, BEND_PX))
    return {
        "as imaged": section,
        "gray": augmentation.gray(section, rng()),
        "gamma": augmentation.gamma(section, rng()),
        "noise": augmentation.noise(section, rng()),
        "defocus": augmentation.defocus(section, rng()),
        "motion_blur": augmentation.motion_blur(section, rng()),
        "cut_out": augmentation.cut_out(section, rng()),
        "turned": mapped(volume, geometry.turned(rng(TURNED), 2)),
        "flipped": mapped(volume, np.diag([-1.0, 1.0])),
        "scaled": mapped(volume, geometry.scaled(rng(), 2, SCALE)),
        "bent": mapped(volume, np.eye(2), lambda placement, source: geometry.bent(placement, source, BEND_PX)),
        "all together": changed(together, rng()),
        "a volume from the side": from_the_side(inner),
        "missing_section": from_the_side(augmentation.missing_section(inner, rng())),
        "slipped": from_the_side(slip.take(volume[None])[0]),
    }


def draw() -> Image.Image:
    shown = panels()
    rows = -(-len(shown) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * (SIDE + GAP) - GAP, rows * (SIDE + CAPTION + GAP) - GAP), 255)
    pen = ImageDraw.Draw(sheet)
    for k, (name, patch) in enumerate(shown.items()):
        x, y = k % COLUMNS * (SIDE + GAP), k // COLUMNS * (SIDE + CAPTION + GAP)
        sheet.paste(Image.fromarray(np.clip(128 + 45 * patch, 0, 255).astype(np.uint8)), (x, y))
        pen.text((x, y + SIDE + 2), name, fill=30, font_size=14)
    return sheet


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("_static")
    draw().quantize(24).save(folder / "augmentation.png", optimize=True)
