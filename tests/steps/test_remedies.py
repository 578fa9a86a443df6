"""Remedies of align_sections: each does what it says, and only what depends on it is done again."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

import emkit
from emkit.align import AlignmentReport, read_alignment
from emkit.align.remedies import Remedies
from emkit.errors import ParameterError
from emkit.run.drive import execute
from emkit.run.folder import RunFolder, runs_home
from emkit.run.step import bind
from emkit.transforms import Affine

NM = (45.0, 4.6, 4.6)
COUNT, SIZE = 6, 256


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remedies") / "raw"
    emkit.make_phantom(out=folder, sections=COUNT, size_px=SIZE, seed=8)
    return folder


def again(source: Path, out: Path, **asked: object) -> tuple[AlignmentReport, dict[str, int]]:
    """The step run onto an output that may be there; the report, and how many tasks of each stage were done anew."""
    before = set(runs_home().iterdir()) if runs_home().exists() else set()
    report = execute(bind(emkit.align_sections, source, out=out, voxel_size_nm=NM, **asked), overwrite=True)
    (run,) = set(runs_home().iterdir()) - before
    done = {tick.what: tick.done - (tick.before or 0) for tick in RunFolder(run).stages()[0]}
    return report, done


def test_only_what_depends_on_a_remedy_is_done_again(phantom: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.ome.zarr"
    _, first = again(phantom, out)
    assert first["match"] == COUNT - 1 and first["look"] == COUNT
    report, windowed = again(phantom, out, remedies=("2:window=48",))
    assert windowed["match"] == 2 and "look" not in windowed  # the two pairs of section 2
    whole, _ = again(phantom, tmp_path / "b.ome.zarr", remedies=("2:window=48",))
    assert report == whole  # as if it had been done from the start
    assert (out / "tasks.jsonl").read_bytes() == (tmp_path / "b.ome.zarr/tasks.jsonl").read_bytes()
    _, skipped = again(phantom, out, exclude=(2,))
    assert skipped["match"] == 3  # 1-2 and 2-3 in the usual way again, and 1-3


def test_swapped_files_are_put_right(phantom: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(phantom, mixed)
    for z, other in ((2, 4), (4, 2)):
        shutil.copy(phantom / f"section_{z:02d}.tif", mixed / f"section_{other:02d}.tif")
    report, _ = again(mixed, tmp_path / "a.ome.zarr", remedies=("2:swap=4",))
    assert [section.number for section in report.sections] == [0, 1, 4, 3, 2, 5] and not report.flagged
    straight, _ = again(phantom, tmp_path / "b.ome.zarr")
    assert [section.affine for section in report.sections] == [section.affine for section in straight.sections]


def test_a_section_face_down_is_turned_over(phantom: Path, tmp_path: Path) -> None:
    over = tmp_path / "over"
    shutil.copytree(phantom, over)
    pixels = tifffile.imread(phantom / "section_03.tif")
    tifffile.imwrite(over / "section_03.tif", np.ascontiguousarray(pixels[:, ::-1]))
    report, _ = again(over, tmp_path / "a.ome.zarr", remedies=("3:flip",))
    straight, _ = again(phantom, tmp_path / "b.ome.zarr")
    assert not report.flagged and np.linalg.det(Affine(report.sections[3].affine).linear) < 0
    flip = Affine.of(np.diag([1.0, -1.0]), (0, SIZE - 1))
    points = np.array([[40.0, 40], [200, 60], [128, 220]])
    turned = flip.apply(Affine(report.sections[3].affine).apply(points))
    assert np.abs(turned - Affine(straight.sections[3].affine).apply(points)).max() < 1.5


def test_points_hold_where_nothing_else_does(tmp_path: Path) -> None:
    source = tmp_path / "raw"
    emkit.make_phantom(out=source, sections=4, size_px=SIZE, seed=8, bad=(3,))
    word = "2-3:points=20/30@25/27+200/40@205/37+90/180@95/177"
    report, _ = again(source, tmp_path / "a.ome.zarr", remedies=(word,))
    assert not report.flagged and report.sections[3].linked
    placed = next(pair for pair in report.pairs if pair.moving == 3)
    np.testing.assert_allclose(Affine(placed.affine).apply([[100, 100]]), [[105, 97]], atol=1e-3)
    assert "remedies" in (tmp_path / "a.ome.zarr/recipe.toml").read_text()
    assert read_alignment(tmp_path / "a.ome.zarr") == report


@pytest.mark.parametrize(
    ("word", "needed"),
    [
        ("window=64", "SECTION:KIND=VALUE"),
        ("2:magic=1", "one of window, whitening, clobber, search, flip, swap, points"),
        ("9:flip", "one of sections 0 to 5"),
        ("2:swap=9", "one of sections 0 to 5"),
        ("2:window=wide", "the side of the patches in px"),
        ("2:whitening=1.5", "an exponent from 0 to 1"),
        ("2:clobber=0", "a radius in px above 0"),
        ("2:points=1/2@1/2", "three or more pairs"),
        ("1-2:points=1/2@1/2+3/4@3/4", "three or more pairs, not on one line"),
        ("1-2:points=0/0@1/1+10/10@11/11+20/20@21/21", "not on one line"),
    ],
)
def test_words_that_cannot_be_followed_are_refused_by_name(word: str, needed: str) -> None:
    with pytest.raises(ParameterError, match=needed.replace(".", r"\.")) as refused:
        Remedies.of([word], COUNT)
    assert word in str(refused.value)


def test_a_window_that_does_not_fit_is_refused_before_work(phantom: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"window: found 200 px; needed for sections of \(256, 256\) px: 128, 96, 64, 48, 32"):
        emkit.align_sections(phantom, out=tmp_path / "a.ome.zarr", voxel_size_nm=NM, remedies=("2:window=200",))
