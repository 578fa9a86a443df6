"""Real outputs of each kind, made once; each test damages a copy of one."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tifffile import imwrite

import emkit

SHAPE = (3, 700, 560)  # four blocks of 512 px, in several levels
SIZE_NM = (45.0, 4.6, 4.6)
KINDS = ("volume", "sections", "precomputed", "aligned", "table")


@dataclass(frozen=True)
class Made:
    """The folder of the inputs, and that of the outputs, by their names."""

    raw: Path
    home: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("made")
    (raw := home / "raw").mkdir()
    pixels = np.random.default_rng(7).integers(1, 255, SHAPE, np.uint8)
    for z, section in enumerate(pixels):
        imwrite(raw / f"s{z}.tif", section, compression="zlib" if z == 1 else None)  # one must be decoded first
    emkit.convert(raw, out=home / "volume", voxel_size_nm=SIZE_NM)
    emkit.convert(home / "volume", out=home / "sections", to="sections")
    emkit.convert(home / "volume", out=home / "precomputed", to="precomputed")
    emkit.make_phantom(out=home / "phantom", sections=3, size_px=128)
    emkit.align_sections(home / "phantom", out=home / "aligned", voxel_size_nm=SIZE_NM)
    emkit.measure_alignment(home / "aligned", out=home / "table")
    return Made(raw, home)


@pytest.fixture
def copy_of(made: Made, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an output with its record, in a folder of its own."""

    def copy(kind: str) -> Path:
        (home := tmp_path / "elsewhere").mkdir(exist_ok=True)
        for name in (kind, f"{kind}.crate"):
            if (old := made.home / name).is_dir():
                shutil.copytree(old, home / name)
            elif old.is_file():
                shutil.copy2(old, home / name)
        return home / kind

    return copy
