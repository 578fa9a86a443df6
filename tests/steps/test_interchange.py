"""An alignment leaves for another program, and comes back as the same volume."""

from pathlib import Path

import numpy as np
import pytest

import emkit
from emkit.align import read_alignment
from emkit.errors import DataError, ParameterError
from tests.steps.test_aligning import VOXEL_NM, voxels


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    emkit.make_phantom(out=(folder := tmp_path_factory.mktemp("made") / "raw"), sections=4, size_px=128, seed=3)
    return folder


@pytest.fixture(scope="module")
def aligned(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("aligned") / "a.ome.zarr"
    emkit.align_sections(raw, out=out, voxel_size_nm=VOXEL_NM, exclude=(2,))
    return out


def test_there_and_back_by_alignem(raw: Path, aligned: Path, tmp_path: Path) -> None:
    told = emkit.export_alignment(aligned, raw, out=(file := tmp_path / "p.swiftir"))
    assert told is not None and str(told) == "4 sections for AlignEM-SWiFT, 1 of them left out of the matching"
    report = emkit.import_alignment(file, raw, out=(back := tmp_path / "back.ome.zarr"))
    before = read_alignment(aligned)
    assert report is not None and report == read_alignment(back) and report.voxel_size_nm == VOXEL_NM
    assert [(s.file, s.excluded) for s in report.sections] == [(s.file, s.excluded) for s in before.sections]
    assert np.allclose([s.affine for s in report.sections], [s.affine for s in before.sections], atol=1e-9)
    assert {(p.fixed, p.moving): p.snr for p in report.pairs} == {(p.fixed, p.moving): p.snr for p in before.pairs}
    assert np.array_equal(voxels(back), voxels(aligned))


@pytest.mark.parametrize("name", ["p.jser", "p.xml", "p.txt", "p.zarr", "p.mir", "p.maps"])
def test_there_and_back(name: str, raw: Path, aligned: Path, tmp_path: Path) -> None:
    emkit.export_alignment(aligned, raw, out=(file := tmp_path / name))
    sizes = {"voxel_size_nm": VOXEL_NM} if name in ("p.txt", "p.mir", "p.maps") else {}  # they do not tell it
    inside = {"p.zarr": "zarr.json", "p.maps": "images.lst"}
    report = emkit.import_alignment(file / inside[name] if name in inside else file, raw, out=tmp_path / "back.ome.zarr", **sizes)
    assert report is not None and report.voxel_size_nm == pytest.approx(VOXEL_NM)
    exact = 1e-4 if name == "p.maps" else 1e-9  # float32
    assert np.allclose([s.affine for s in report.sections], [s.affine for s in read_alignment(aligned).sections], atol=exact)
    assert report.pairs == ()


def test_what_does_not_fit_is_refused_before_work(raw: Path, aligned: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    emkit.make_phantom(out=other, sections=3, size_px=64)
    with pytest.raises(ParameterError, match=r"source: .* shows section_03.tif, which .*other does not hold"):
        emkit.export_alignment(aligned, other, out=tmp_path / "p.swiftir")
    with pytest.raises(ParameterError, match=r"out: found .what, which tells no program"):
        emkit.export_alignment(aligned, raw, out=tmp_path / "p.what")
    emkit.export_alignment(aligned, raw, out=(file := tmp_path / "p.swiftir"))
    with pytest.raises(DataError, match="holds 4 sections, the alignment 3"):
        emkit.import_alignment(file, other, out=tmp_path / "b")
    emkit.export_alignment(aligned, raw, out=(listed := tmp_path / "p.txt"))
    with pytest.raises(ParameterError, match="voxel_size_nm is missing: .*p.txt does not tell it"):
        emkit.import_alignment(listed, raw, out=tmp_path / "b")
    with pytest.raises(ParameterError, match="project: found .*, but a file for transforms holds an alignment alone"):
        emkit.export_alignment(aligned, raw, out=tmp_path / "q.txt", project=listed)
