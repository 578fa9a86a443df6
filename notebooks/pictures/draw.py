"""Draws the pictures of the curated notebooks beside itself, from phantoms: `python notebooks/pictures/draw.py`."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tifffile import imread

import emkit
from emkit import count
from emkit.model import DEFECT_NAMES, Defect
from emkit.phantoms import ScanPhantom, SectionPhantom

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


def draw_montage_align_judge() -> Image.Image:
    """Six of the nine defects, each with its name."""
    names: dict[int, Defect] = {1: "fold", 3: "tear", 5: "charging", 7: "contrast", 9: "defocus", 11: "displaced"}
    phantom = SectionPhantom((256, 256), 12, seed=4, jitter=0.2, defects=names)
    picture = Image.new("L", (640, 400), 255)
    pen = ImageDraw.Draw(picture)
    for k, (z, name) in enumerate(names.items()):
        y, x = divmod(k, 3)
        picture.paste(Image.fromarray(phantom.render_section(z)).crop((22, 0, 234, 178)), (x * 214, y * 202))
        pen.text((x * 214 + 6, y * 202 + 181), DEFECT_NAMES[name], fill=30, font_size=14)
    return picture


def draw_make_phantom() -> Image.Image:
    """Four sections of one specimen, each displaced."""
    with tempfile.TemporaryDirectory() as folder:
        emkit.make_phantom(out=Path(folder, "raw"), sections=4)
        sections = [Image.open(path).crop((0, 0, 318, 198)) for path in sorted(Path(folder, "raw").glob("*.tif"))]
    picture = Image.new("L", (640, 400), 255)
    for section, corner in zip(sections, [(0, 0), (322, 0), (0, 202), (322, 202)], strict=True):
        picture.paste(section, corner)
    return picture


def draw_count_a_scan() -> Image.Image:
    """A part of a frame with its electrons marked, and the bright-field image of the scan."""
    height, width = 40, 32
    phantom = ScanPhantom((height, width), occupancy=0.002, seed=3)
    lines = [np.stack([phantom.frame(sy * width + sx)[0] for sx in range(width)]) for sy in range(height)]
    thresholds = count.estimate_thresholds(lines[0])
    parts = [count.count_frames(frames, thresholds) for frames in lines]
    centre, radius = (287.5, 287.5), 144
    bright = np.concatenate([count.virtual_image(part, count.disk(part.frame_shape, centre, radius)) for part in parts])
    y, x = 170, 200
    frame = lines[20][16][y : y + height, x : x + width]
    found = parts[20][0, 16].nonzero()
    panels = [grey(frame, 15, 75).resize(PANEL[::-1], 0), grey(bright, bright.min(), bright.max()).resize(PANEL[::-1], 0)]
    pen = ImageDraw.Draw(panels[0])
    for ky, kx in zip(found[0] - y, found[1] - x, strict=True):
        at = (kx + 0.5) * PANEL[1] / width, (ky + 0.5) * PANEL[0] / height
        pen.ellipse([at[0] - 14, at[1] - 14, at[0] + 14, at[1] + 14], outline="#4fc3f7", width=3)
    picture = Image.new("RGB", (640, 400), "white")
    for panel, left in zip(panels, (0, 322), strict=True):
        picture.paste(panel, (left, 0))
    return picture


def draw_stream_a_scan() -> Image.Image:
    """The bright-field image of a stream that is half there, and whole; two of its frames lack a sector."""
    height, width = 60, 48
    phantom = ScanPhantom((height, width), (96, 96), occupancy=0.05)
    frames = np.stack([phantom.frame(k)[0] for k in range(height * width)])
    counted = count.count_frames(frames, count.Thresholds(28, 344), scan_shape=(height, width))
    bright = count.virtual_image(counted, count.disk((96, 96), (47.5, 47.5), 24))
    shown = np.array(grey(bright, *np.percentile(bright, (1, 99))))
    shown[9, 30] = shown[41, 12] = (245, 124, 0)
    half = shown.copy()
    half.reshape(-1, 3)[33 * width + 20 :] = 225
    picture = Image.new("RGB", (640, 400), "white")
    for panel, left in ((half, 0), (shown, 322)):
        picture.paste(Image.fromarray(panel).resize(PANEL[::-1], 0), (left, 0))
    return picture


def grey(values: np.ndarray, black: float, white: float) -> Image.Image:
    return Image.fromarray((np.clip((values.astype(float) - black) / (white - black), 0, 1) * 255).astype(np.uint8)).convert("RGB")


def draw_parallax() -> Image.Image:
    """The phase as it is found, and as it was planted."""
    with tempfile.TemporaryDirectory() as folder:
        phantom, out = Path(folder, "phantom"), Path(folder, "phase.tif")
        emkit.make_phase_phantom(out=phantom, scan_shape=(80, 64), seed=2)
        emkit.reconstruct_phase(phantom / "counted", out=out, step_nm=0.1, pixel_mrad=1.0)
        phases = [imread(path).astype(float) for path in (out, phantom / "phase.tif")]
    found, planted = (Image.fromarray(_grey(phase)).resize((318, 400), Image.Resampling.NEAREST) for phase in phases)
    return Image.fromarray(np.concatenate([np.asarray(found), np.full((400, 4), 255, np.uint8), np.asarray(planted)], axis=1))


def draw_segment_a_volume() -> Image.Image:
    """A section of a phantom, and the cells that are to be found in it."""
    phantom = SectionPhantom((400, 318), 1, seed=1, jitter=0)
    bare = np.repeat(phantom.render_section(0)[..., None], 3, axis=-1)
    cells = phantom.label_section(0)
    hues = np.random.default_rng(0).uniform(60, 255, (int(cells.max()) + 1, 3))
    coloured = (0.5 * bare + 0.5 * hues[cells]).astype(np.uint8)
    return Image.fromarray(np.concatenate([bare, np.full((PANEL[0], 4, 3), 255, np.uint8), coloured], axis=1))


def _grey(values: np.ndarray) -> np.ndarray:
    least, most = np.percentile(values, (1, 99))
    return (np.clip((values - least) / (most - least), 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    pictures = {
        "align_sections": draw_align_sections,
        "montage_align_judge": draw_montage_align_judge,
        "segment_a_volume": draw_segment_a_volume,
        "make_phantom": draw_make_phantom,
        "count_a_scan": draw_count_a_scan,
        "stream_a_scan": draw_stream_a_scan,
        "parallax": draw_parallax,
    }
    for name, draw in pictures.items():
        draw().quantize(48).save(HERE / f"{name}.png", optimize=True)
