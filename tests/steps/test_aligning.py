"""align_sections from folder to volume: the planted truth comes back, whatever is wrong with single sections."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

import emkit
from emkit.align import AlignmentReport, read_alignment
from emkit.align.placement import corners
from emkit.errors import DataError, EmkitError, ParameterError, PathError
from emkit.io.omezarr import read_levels
from emkit.phantoms import SectionPhantom
from emkit.provenance import METADATA, SEAL
from emkit.transforms import Affine

VOXEL_NM = (45.0, 4.6, 4.6)
SIZE = 320
INNER = corners((SIZE - 80, SIZE - 80)) + 40


def make(folder: Path, sections: int = 6, bad: tuple[int, ...] = ()) -> Path:
    emkit.make_phantom(out=folder, sections=sections, size_px=SIZE, bad=bad, seed=8)
    return folder


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("source") / "phantom")


@pytest.fixture(scope="module")
def aligned(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "phantom.ome.zarr"
    emkit.align_sections(phantom, out=out, voxel_size_nm=VOXEL_NM)
    return out


def shown(report: AlignmentReport, source: Path) -> np.ndarray:
    """(z, 4, 2): the points of the specimen that each section of the volume shows at four points of the canvas."""
    told = np.array([section["affine"] for section in json.loads((source / "truth.json").read_text())["sections"]])
    truth = [Affine.of(rows[:, :2], rows[:, 2]) for rows in told]
    return np.stack([true.invert().apply(Affine(s.affine).apply(INNER)) for s, true in zip(report.sections, truth, strict=True)])


def step_px(report: AlignmentReport, source: Path, of: list[int]) -> float:
    """How far the specimen jumps between successive ones of these sections: the worst step, the mean of four points."""
    return float(np.hypot(*np.moveaxis(np.diff(shown(report, source)[of], axis=0), -1, 0)).mean(axis=1).max())


def voxels(volume: Path) -> np.ndarray:
    return np.asarray(emkit.open_volume(volume))


def files(volume: Path) -> dict[str, bytes]:
    kept = [path for path in sorted(volume.rglob("*")) if path.is_file() and path.name not in (METADATA, SEAL)]
    return {str(path.relative_to(volume)): path.read_bytes() for path in kept if path.name != "recipe.toml"}


def test_the_truth_comes_back_but_for_one_common_map(phantom: Path, aligned: Path) -> None:
    report = read_alignment(aligned)
    assert report.flagged == ()
    assert all(section.linked for section in report.sections)
    assert step_px(report, phantom, list(range(6))) < 1.5  # the neurites themselves go some px, each its own way
    raw = np.stack([Affine(section.affine).invert().apply(INNER) for section in report.sections])
    assert np.hypot(*np.moveaxis(np.diff(raw, axis=0), -1, 0)).mean(axis=1).min() > 3  # what had to be undone


def test_the_volume_holds_every_section_in_its_levels_with_its_report(aligned: Path, phantom: Path) -> None:
    levels = read_levels(aligned)
    assert len(levels) >= 2
    assert (levels[0].shape, levels[0].dtype, levels[0].voxel_size_nm) == ((6, SIZE, SIZE), "uint8", VOXEL_NM)
    report = read_alignment(aligned)
    assert [section.file for section in report.sections] == [f"section_{z:02d}.tif" for z in range(6)]
    assert [(pair.fixed, pair.moving) for pair in report.pairs] == [(z, z + 1) for z in range(5)]
    assert str(phantom) not in (aligned / "alignment.json").read_text()


def test_pixels_are_those_of_the_section_through_its_affine(aligned: Path, phantom: Path) -> None:
    affine = Affine(read_alignment(aligned).sections[2].affine)
    section = tifffile.imread(phantom / "section_02.tif")
    volume = voxels(aligned)
    for point in ((100, 90), (150, 200), (60, 128)):
        y, x = affine.apply([point])[0]
        about = section[int(y) : int(y) + 2, int(x) : int(x) + 2].astype(float)
        assert about.min() - 25 <= volume[(2, *point)] <= about.max() + 25


def test_the_report_that_is_returned_is_the_one_that_is_written(phantom: Path, aligned: Path, tmp_path: Path) -> None:
    report = emkit.align_sections(phantom, out=tmp_path / "again.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert report == read_alignment(aligned)


def test_one_worker_writes_the_same_bytes_as_many(phantom: Path, aligned: Path, tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        emkit.align_sections(phantom, out=tmp_path / "phantom.ome.zarr", voxel_size_nm=VOXEL_NM)
    finally:
        os.sched_setaffinity(0, cores)
    assert files(tmp_path / "phantom.ome.zarr") == files(aligned)


@pytest.mark.parametrize("bad", [(3,), (3, 4)])  # the two match each other, and still nothing else
def test_failed_sections_are_bridged_and_reported(tmp_path: Path, bad: tuple[int, ...]) -> None:
    source = make(tmp_path / "broken", sections=7, bad=bad)
    report = emkit.align_sections(source, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert {(2, 3), (bad[-1], bad[-1] + 1)} <= {(pair.fixed, pair.moving) for pair in report.flagged}
    assert (2, bad[-1] + 1) in {(pair.fixed, pair.moving) for pair in report.pairs if not pair.flagged}
    assert [section.linked for section in report.sections] == [z not in bad for z in range(7)]
    assert step_px(report, source, [z for z in range(7) if z not in bad]) < 3 * len(bad)  # neurites wander between
    assert voxels(tmp_path / "out.ome.zarr")[3].any()  # it is still there, where its neighbours say


def test_an_excluded_section_is_not_compared_with_any(phantom: Path, tmp_path: Path) -> None:
    report = emkit.align_sections(phantom, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM, exclude=(2,))
    assert [(pair.fixed, pair.moving) for pair in report.pairs] == [(0, 1), (1, 3), (3, 4), (4, 5)]
    assert [section.excluded for section in report.sections] == [z == 2 for z in range(6)]
    assert report.sections[2].linked is False
    around = np.array([report.sections[z].affine for z in (1, 2, 3)])
    np.testing.assert_allclose(around[1], (around[0] + around[2]) / 2, atol=1e-9)
    assert voxels(tmp_path / "out.ome.zarr").shape == (6, SIZE, SIZE)


@pytest.mark.parametrize("value", [0, 128])
def test_a_constant_section_is_flagged_and_no_crash(tmp_path: Path, value: int) -> None:
    source = make(tmp_path / "flat", sections=4)
    tifffile.imwrite(source / "section_01.tif", np.full((SIZE, SIZE), value, np.uint8))
    report = emkit.align_sections(source, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert {reason for pair in report.flagged for reason in pair.reasons} == {"section 1 is constant"}
    assert [section.linked for section in report.sections] == [True, False, True, True]


def test_a_stack_of_wide_16_bit_sections_keeps_its_type_and_shape(tmp_path: Path) -> None:
    folder = tmp_path / "- Schnitte µ 1"
    folder.mkdir()
    phantom = SectionPhantom((130, 300), 3, seed=3)
    for z in range(3):
        tifffile.imwrite(folder / f"{z}.tif", phantom.render_section(z).astype(np.uint16) * 200)
    emkit.align_sections(folder, out=tmp_path / "- out µ.ome.zarr", voxel_size_nm=VOXEL_NM, exclude=(0, 1, 2))
    volume = voxels(tmp_path / "- out µ.ome.zarr")
    assert volume.shape == (3, 130, 300)
    assert volume.dtype == np.uint16
    np.testing.assert_array_equal(volume[1], tifffile.imread(folder / "1.tif"))  # none in use: all stay where they are


def test_one_section_is_a_stack_too(tmp_path: Path) -> None:
    source = make(tmp_path / "one", sections=1)
    report = emkit.align_sections(source, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert report.pairs == ()
    np.testing.assert_array_equal(voxels(tmp_path / "out.ome.zarr")[0], tifffile.imread(source / "section_00.tif"))


def test_a_canvas_for_all_shows_every_corner(phantom: Path, tmp_path: Path) -> None:
    report = emkit.align_sections(phantom, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM, canvas="all")
    _, height, width = voxels(tmp_path / "out.ome.zarr").shape
    assert SIZE < min(height, width) < SIZE * 1.3
    at = np.concatenate([Affine(section.affine).invert().apply(corners((SIZE, SIZE))) for section in report.sections])
    assert (at > -1e-6).all()
    assert (at < np.array([height, width]) - 1 + 1e-6).all()


def test_a_missing_section_makes_its_neighbours_distant(tmp_path: Path) -> None:
    source = make(tmp_path / "gap", sections=5)
    (source / "section_02.tif").unlink()
    with pytest.raises(PathError, match="--allow-gaps"):
        emkit.align_sections(source, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)
    report = emkit.align_sections(source, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM, allow_gaps=True)
    assert [section.file for section in report.sections] == [f"section_0{z}.tif" for z in (0, 1, 3, 4)]
    thresholds = [pair.snr_threshold for pair in report.pairs if pair.moving == pair.fixed + 1]
    assert thresholds[1] < thresholds[0] == thresholds[2]
    assert not report.flagged


def test_a_threshold_of_ones_own_decides(phantom: Path, tmp_path: Path) -> None:
    report = emkit.align_sections(phantom, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM, snr_threshold=50)
    assert report.snr_threshold == 50
    assert {(z, z + 1) for z in range(5)} <= {(pair.fixed, pair.moving) for pair in report.flagged}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"exclude": (6,)}, "holds sections 0 to 5"),
        ({"voxel_size_nm": (45, 0, 4.6)}, "voxel_size_nm"),
        ({"voxel_size_nm": (45, 4.6)}, "voxel_size_nm"),
        ({"max_shift_px": 0}, "max_shift_px"),
        ({"canvas": "huge"}, "canvas"),
        ({"exclude": (-1,)}, "exclude"),
    ],
)
def test_wrong_values_are_refused_before_work(phantom: Path, tmp_path: Path, wrong: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"voxel_size_nm": VOXEL_NM, **wrong}
    with pytest.raises(ParameterError, match=said):
        emkit.align_sections(phantom, out=tmp_path / "out.ome.zarr", **given)
    assert list(tmp_path.iterdir()) == []


def test_sections_too_small_to_align_are_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    for z in range(2):
        tifffile.imwrite(tmp_path / "small" / f"{z}.tif", np.zeros((40, 90), np.uint8))
    with pytest.raises(ParameterError, match="needed: 64 px"):
        emkit.align_sections(tmp_path / "small", out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)


def test_a_section_cut_short_ends_the_run_with_its_name(tmp_path: Path) -> None:
    source = make(tmp_path / "cut", sections=3)
    whole = (source / "section_01.tif").read_bytes()
    (source / "section_01.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EmkitError, match=r"section_01\.tif") as refused:
        emkit.align_sections(source, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert isinstance(refused.value, DataError | PathError)
    assert not (tmp_path / "out.ome.zarr").exists()


def test_the_plan_covers_what_is_used(phantom: Path, aligned: Path, tmp_path: Path) -> None:
    planned = emkit.plan(emkit.align_sections, phantom, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert planned.disk_bytes >= sum(path.stat().st_size for path in (aligned / "0").rglob("*") if path.is_file())
    assert 0 < planned.seconds < 60
    assert list(tmp_path.iterdir()) == []


def test_real_sections_displaced_on_purpose_come_back(data_dir: Path, tmp_path: Path) -> None:
    source, displaced = data_dir / "vnc" / "stack1" / "raw", tmp_path / "displaced sections"
    displaced.mkdir()
    draw = np.random.default_rng(1)
    names = sorted(path.name for path in source.glob("*.tif"))
    for name in names:
        image = np.roll(tifffile.imread(source / name), tuple(draw.integers(-40, 40, 2)), (0, 1))
        tifffile.imwrite(displaced / name, image)
    report = emkit.align_sections(displaced, out=tmp_path / "out.ome.zarr", voxel_size_nm=VOXEL_NM)
    levels = read_levels(tmp_path / "out.ome.zarr")
    assert levels[0].shape == (20, 1024, 1024)
    assert levels[0].voxel_size_nm == VOXEL_NM
    assert len(levels) >= 2
    assert not report.flagged
    after = emkit.measure_alignment(tmp_path / "out.ome.zarr", level=1)
    before = [pair.displacement_px for pair in report.pairs if pair.displacement_px is not None]
    assert np.median(before) > 20
    assert all(pair.displacement_px is not None and pair.displacement_px < 1 for pair in after)
