"""What alignment costs as work grows: seconds and memory by the number of sections and by their size, and how exact it is.

    python -m benchmarks.alignment_sizes [--counts 10 30 100 300] [--side 1024] [--sides 2048 4096 14000] [--montage 14000 21000]

Where the number of sections grows, the specimen is forgotten as real ones are (`Forgetful`) and each section is turned, scaled,
sheared and shifted; what of that is left is measured between neighbours, over 10 and 100 sections, and against one affine for the
whole stack. Where sections grow, a few show one texture, shifted, with noise of each its own. The montage is one section from two
tiles that overlap by an eighth, solved and rendered. Each run is a process of its own, as `emkit run` starts it; memory is what the
run itself measured: by how much its driver and workers grew. Core-seconds are those that its processes computed, which a busy
machine does not change much; seconds are those of the clock.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

import emkit
from emkit.align.report import AlignmentReport, read_alignment
from emkit.io.sections import write_section
from emkit.params import Call
from emkit.provenance import recipe_text
from emkit.run.step import bind
from emkit.transforms import Affine

NM = (45.0, 4.6, 4.6)
FEW = 4  # sections where their size grows
COHERENCE = (  # cycles a px; what adjacent 50 nm sections of nerve cord share of waves (tests/judges/alignment_harness.py)
    (0, 0.0156, 0.0469, 0.0781, 0.109, 0.141, 0.172, 0.203, 0.234, 0.28, 0.5),
    (0.92, 0.82, 0.585, 0.40, 0.27, 0.143, 0.065, 0.028, 0.015, 0.005, 0.0),
)
GRAIN, WANDER = 2.5, 12  # px: of the texture, and by how much sections are shifted


def texture(shape: tuple[int, int]) -> NDArray[np.float32]:
    """(y, x) grey about 128, made of a patch that is repeated with a turn: any size costs little."""
    patch = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32), GRAIN, mode="wrap")
    patch *= 40 / patch.std()
    down, across = (range(-(-n // 1024)) for n in shape)
    rows = [np.concatenate([np.rot90(patch, r + 2 * c) for c in across], axis=1) for r in down]
    return 128 + np.concatenate(rows)[: shape[0], : shape[1]]


def noisy(grey: NDArray[np.float32], seed: int) -> NDArray[np.uint8]:
    draw = np.random.default_rng(seed)
    noisy: NDArray[np.uint8] = (grey + draw.normal(0, 10, grey.shape).astype(np.float32)).clip(1, 255).astype(np.uint8)
    return noisy


def ran(call: Call, home: Path) -> dict[str, Any]:
    """What the run planned and used."""
    (recipe := home / "recipe.toml").write_text(recipe_text(call))
    runs = home / "runs"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "emkit.cli", "run", str(recipe)], check=True, env={**os.environ, "EMKIT_RUNS_DIR": str(runs)}
    )
    (folder,) = runs.iterdir()
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"core_seconds": computed} | {key: facts[key] for key in ("plan", "used")}


class Forgetful:
    """Sections of a specimen without an end, each with its truth: section px → specimen px.

    From one to the next waves are kept by `COHERENCE`, as adjacent sections of nerve cord share them, and made up by new ones. The
    specimen is periodic, a quarter larger than a section.
    """

    def __init__(self, side: int, seed: int = 0) -> None:
        self.side, self.period = side, side * 5 // 4
        self.draw = np.random.default_rng(seed)
        waves = np.hypot(np.fft.fftfreq(self.period)[:, None], np.fft.rfftfreq(self.period))
        self.kept = np.interp(waves, *COHERENCE)
        self.spectrum = (0.02 + waves) ** -1.2
        self.spectrum[0, 0] = 0
        self.waves = self._new()

    def _new(self) -> NDArray[np.complex64]:
        fresh: NDArray[np.complex64] = fft.rfft2(self.draw.normal(size=(self.period,) * 2).astype(np.float32))
        return fresh

    def section(self) -> tuple[NDArray[np.uint8], Affine]:
        """The next one."""
        grey = fft.irfft2(self.waves * self.spectrum, s=(self.period,) * 2).astype(np.float32)
        self.waves = self.kept * self.waves + np.sqrt(1 - self.kept**2) * self._new()
        shear = np.array([[1, self.draw.uniform(-0.02, 0.02)], [0, 1]])
        linear = Affine.rotation(self.draw.uniform(-3, 3)).linear @ shear @ np.diag(1 + self.draw.uniform(-0.03, 0.03, 2))
        middle = np.full(2, (self.side - 1) / 2)
        truth = Affine.of(linear, middle - linear @ middle + self.draw.uniform(-0.1, 0.1, 2) * self.side)
        size = (self.side, self.side)
        seen = ndimage.affine_transform(grey, truth.linear, truth.shift, output_shape=size, mode="grid-wrap")
        noisy = 128 + 40 / grey.std() * seen + self.draw.normal(0, 6, size)
        return noisy.clip(1, 255).astype(np.uint8), truth


def off_px(report: AlignmentReport, truths: list[Affine], side: int) -> dict[str, float]:
    """px of the specimen by which points of the volume go astray: median of neighbours, root mean square over so many sections,
    and of the section that lies worst, against one affine for all."""
    points = np.stack(np.meshgrid(*[np.linspace(side / 8, side * 7 / 8, 9)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    shown = np.stack([true.apply(Affine(one.affine).apply(points)) for true, one in zip(truths, report.sections, strict=True)])
    told = {"neighbour": float(np.median(np.hypot(*np.moveaxis(shown[1:] - shown[:-1], -1, 0))))}
    for apart in (1, 10, 100, len(shown) - 1):
        if apart < len(shown):
            told[f"over {apart}"] = float(np.sqrt(((shown[apart:] - shown[:-apart]) ** 2).sum(-1).mean()))
    basis = np.column_stack([points, np.ones(len(points))])
    common = np.linalg.lstsq(basis, shown.mean(axis=0), rcond=None)[0]
    lying = np.hypot(*np.moveaxis(shown - basis @ common, -1, 0))
    return told | {"drift": float(np.median(lying)), "worst section": float(np.median(lying, axis=1).max())}


def long_stack(count: int, side: int, model: str) -> dict[str, Any]:
    with TemporaryDirectory() as home:
        (raw := Path(home, "raw")).mkdir()
        specimen, truths = Forgetful(side), []
        for z in range(count):
            pixels, truth = specimen.section()
            write_section(raw / f"{z:04d}.tif", pixels, NM)
            truths.append(truth)
        row = aligned(raw, Path(home), count, side, model)
        report = read_alignment(Path(home, "out.ome.zarr"))
        flagged, unlinked = len(report.flagged), sum(not one.linked for one in report.sections)
        return {**row, "off_px": off_px(report, truths, side), "flagged": flagged, "unlinked": unlinked}


def few(count: int, side: int, model: str) -> dict[str, Any]:
    with TemporaryDirectory() as home:
        (raw := Path(home, "raw")).mkdir()
        specimen = texture((side + WANDER, side + WANDER))
        truths = []
        for z, (y, x) in enumerate(np.random.default_rng(1).integers(0, WANDER, (count, 2)).tolist()):
            write_section(raw / f"{z:04d}.tif", noisy(specimen[y : y + side, x : x + side], z), NM)
            truths.append(Affine.translation(y, x))
        row = aligned(raw, Path(home), count, side, model)
        return {**row, "off_px": off_px(read_alignment(Path(home, "out.ome.zarr")), truths, side)}


def aligned(raw: Path, home: Path, count: int, side: int, model: str) -> dict[str, Any]:
    told: dict[str, Any] = dict(out=home / "out.ome.zarr", voxel_size_nm=NM, model=model)
    facts = ran(bind(emkit.align_sections, raw, **told), home)
    return {"work": f"align {model}", "sections": count, "shape": [side, side], "parts": count, **facts}


def montage(height: int, width: int) -> dict[str, Any]:
    with TemporaryDirectory() as home:
        (raw := Path(home, "raw")).mkdir()
        wide = width * 9 // 16
        specimen = texture((height, width))
        for column in range(2):
            left = column * (width - wide)
            write_section(raw / f"r0_c{column}.tif", noisy(specimen[:, left : left + wide], column), NM)
        overlap = 1 - (width - wide) / wide
        told: dict[str, Any] = dict(out=Path(home, "out"), voxel_size_nm=NM, pattern="r{row}_c{column}.tif", overlap=overlap)
        facts = ran(bind(emkit.montage_sections, raw, **told), Path(home))
        return {"work": "montage of two tiles", "sections": 1, "shape": [height, width], "parts": 1, **facts}


def line(row: dict[str, Any]) -> str:
    used, planned = row["used"], row["plan"]
    size, each = " x ".join(map(str, row["shape"])), row["core_seconds"] / row["parts"]
    off = "  ".join(f"{name} {value:.3f}" for name, value in row.get("off_px", {}).items())
    off += f"  {row['flagged']} pairs flagged, {row['unlinked']} sections not linked" if "flagged" in row else ""
    return (
        f"{row['work']:20} {row['sections']:5} of {size:14} {row['core_seconds']:8.1f} core-s, {each:7.2f} each, "
        f"{used['seconds']:7.1f} s by the clock, {used['memory_bytes'] / 1e6:6.0f} MB (planned {planned['memory_bytes'] / 1e6:.0f})"
        + (f"\n{'':20} off by px: {off}" if off else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="*", default=[10, 30, 100, 300])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--sides", type=int, nargs="*", default=[2048, 4096, 14_000])
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--models", nargs="+", default=["affine"])
    parser.add_argument("--montage", type=int, nargs="*", default=[14_000, 21_000])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    stacks = [partial(few, asked.few, side, model) for model in asked.models for side in asked.sides]
    stacks += [partial(long_stack, count, asked.side, model) for model in asked.models for count in asked.counts]
    rows = []
    for measured in ([partial(montage, *asked.montage)] if asked.montage else []) + stacks:
        rows.append(measured())
        print(line(rows[-1]), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
