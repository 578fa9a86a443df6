"""The programs themselves open what we write: PyReconstruct without a screen, and the model of AlignEM-SWiFT."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from emkit import convert
from emkit.io.alignments.alignem import write_alignem
from emkit.io.alignments.field import field, to_six
from emkit.io.alignments.placed import PlacedSection, PlacedStack, xy_rows
from emkit.io.alignments.pyreconstruct import read_jser, write_jser
from emkit.io.alignments.transform_list import write_list
from emkit.transforms import Affine
from tests.peers import python_with

PYRECONSTRUCT, ALIGNEM = ("PyReconstruct==1.20.0",), ("alignem==0.6.0",)
SHAPE, VOXEL_NM = (1100, 1100), (50.0, 4.0, 4.0)
TURNS = [Affine(), Affine.rotation(5, (500, 600)), Affine(((1.02, 0.03, -40), (-0.01, 0.97, 25.5)))]


def told(shape: tuple[int, int]) -> PlacedStack:
    sections = (PlacedSection(f"s{z}.tif", affine, shape, snr=(9.0,)) for z, affine in enumerate(TURNS))
    return PlacedStack(tuple(sections), VOXEL_NM)


def opened(files: dict[str, Path], folder: Path) -> dict[str, Any]:
    script = Path(__file__).with_name("pyreconstruct_reader.py")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}  # it keeps settings at home
    command = [python_with(*PYRECONSTRUCT), script, files["jser"], files["zarr"], files["txt"], files["swiftir"], folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return seen


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (raw := tmp_path / "raw").mkdir()
    for z in range(len(TURNS)):
        tifffile.imwrite(raw / f"s{z}.tif", np.random.default_rng(z).integers(0, 255, SHAPE, dtype=np.uint8))
    made = {ending: tmp_path / f"my_{ending}.{ending}" for ending in ("jser", "zarr", "txt", "swiftir")}
    convert(raw, out=made["zarr"], to="pyreconstruct", voxel_size_nm=VOXEL_NM)
    write_jser(made["jser"], told(SHAPE), made["zarr"], "emkit")
    write_list(made["txt"], told(SHAPE))
    write_alignem(made["swiftir"], told(SHAPE), raw)
    return made


@pytest.mark.campaign
def test_pyreconstruct_opens_projects_images_lists_and_projects_of_alignem(files: dict[str, Path], tmp_path: Path) -> None:
    (folder := tmp_path / "seen").mkdir()
    seen = opened(files, folder)
    assert seen["alignment"] == "emkit"
    mag, height = VOXEL_NM[2] / 1000, SHAPE[0]
    for z, (section, affine) in enumerate(zip(seen["sections"], TURNS, strict=True)):
        assert (section["src"], section["found"], section["shape"], section["scales"]) == (f"s{z}.tif", True, [*SHAPE], [1, 2])
        assert np.array_equal(np.load(folder / f"{z}.npy"), tifffile.imread(tmp_path / f"raw/s{z}.tif"))
        own = field(height, mag)  # the point that the section shows, from px to px by our map alone
        there = own(affine.invert()(own.invert()([2.0, 1.0])))
        assert section["point"] == pytest.approx([there[1], there[0]], abs=1e-9 * mag)
        exact = to_six(affine, height, height, mag, mag)
        assert section["six"]["list"] == pytest.approx(exact, abs=1e-9 * mag)
        assert section["six"]["alignem"] == pytest.approx(exact, abs=0.1 * mag)  # it takes px for points
    saved = read_jser(folder / "saved.jser", SHAPE)
    corners = np.array([[0, 0], [1099, 1099]])
    assert all(np.allclose(s.affine(corners), affine(corners), atol=1e-9) for s, affine in zip(saved.sections, TURNS, strict=True))


@pytest.mark.campaign
def test_pyreconstruct_opens_a_real_project_with_an_alignment_of_ours(
    data_dir: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """All its traces, in the aligned field that the alignment makes."""
    real, out = data_dir / "pyreconstruct/class_series.jser", tmp_path / "real.jser"
    before = read_jser(real, SHAPE)
    write_jser(out, before, Path("/images"), "emkit", real)
    code = (
        "import os, sys; os.environ['QT_QPA_PLATFORM'] = 'offscreen'\n"
        "from PySide6.QtWidgets import QApplication; application = QApplication([])\n"
        "from PyReconstruct.modules.datatypes import Series; series = Series.openJser(sys.argv[1])\n"
        "found = [(s.src, s.tforms['emkit'].equals(s.tforms['default']), len(s.tracesAsList()))"
        " for n, s in series.enumerateSections(show_progress=False)]\n"
        "series.close(); print(series.alignment, len(found), all(same for _, same, _ in found), sum(n for *_, n in found))"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        [python_with(*PYRECONSTRUCT), "-c", code, out], env=environment, capture_output=True, text=True, check=True
    )
    contours = [trace for s in json.loads(real.read_text()).values() for c in s.get("contours", {}).values() for trace in c]
    whole = sum(len(trace["x"]) > 1 for trace in contours)  # those of a single point it drops itself
    assert done.stdout.split() == ["emkit", "198", "True", str(whole)]


@pytest.mark.campaign
def test_the_model_of_alignem_composes_what_we_wrote(tmp_path: Path) -> None:
    """Sections that are not square, one left out: the others come out of their matches where we say that they lie."""
    sections = [replace(one, excluded=z == 1) for z, one in enumerate(told((300, 500)).sections)]
    write_alignem(file := tmp_path / "p.swiftir", PlacedStack(tuple(sections), VOXEL_NM), tmp_path)
    script = Path(__file__).with_name("alignem_reader.py")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([python_with(*ALIGNEM), script, file], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["names"], seen["size"], seen["aligned"]) == (["s0.tif", "s1.tif", "s2.tif"], [500, 300], True)
    assert (seen["snr"], seen["skipped"]) == ([9.0, 9.0, 9.0], [1])
    for z in (0, 2):
        assert np.allclose(seen["composed"][z], xy_rows(TURNS[z].invert()), atol=1e-9)
        assert np.allclose(seen["written"][z], xy_rows(TURNS[z].invert()), atol=1e-9)
