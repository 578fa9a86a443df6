"""One section measured: the numbers are those of its pixels, whatever file it lies in."""

import csv
from pathlib import Path

import numpy as np
import pytest
from imagecodecs import png_encode
from tifffile import imwrite

from emkit import measure_section
from emkit.errors import EmkitError
from emkit.measure import measure_quality
from emkit.phantoms import SectionPhantom

PIXELS = SectionPhantom((200, 160), 1, seed=3).render_section(0)


@pytest.mark.parametrize("name", ["s.tif", "packed.tif", "s.png"])
def test_the_numbers_are_those_of_the_pixels(tmp_path: Path, name: str) -> None:
    if name.endswith(".png"):
        (tmp_path / name).write_bytes(png_encode(PIXELS))
    else:
        imwrite(tmp_path / name, PIXELS, compression="zlib" if name == "packed.tif" else None)
    found = measure_section(tmp_path / name, out=tmp_path / "s.csv")
    assert found == measure_quality(PIXELS) and found.height_px == 200
    with (tmp_path / "s.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["section"] == name and float(row["snr"]) == found.snr and "SNR" in str(found)


def test_what_is_no_section_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    imwrite(tmp_path / "nan.tif", np.full((8, 8), np.nan, np.float32))
    for name in ("cut.tif", "nan.tif", "missing.tif"):
        with pytest.raises(EmkitError, match=name):
            measure_section(tmp_path / name)
