"""align_sections on landmarks: the volume lies where they say, and what they cannot mean is refused before work."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import emkit
from emkit.errors import DataError, ParameterError
from emkit.transforms import Affine

NM = (45.0, 4.6, 4.6)
HEAD = "name,section,y,x,target_y,target_x\n"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pinned") / "raw"
    emkit.make_phantom(out=folder, sections=3, size_px=192, seed=8, jitter=0.5)
    return folder


def test_the_volume_lies_where_landmarks_say(phantom: Path, tmp_path: Path) -> None:
    (table := tmp_path / "marks.csv").write_text(HEAD + "corner,0,20,30,25,60\ncell,1,150,40,150,75\naxon,2,90,160,85,170\n")
    swapped = tmp_path / "swapped"
    shutil.copytree(phantom, swapped)
    for z, other in ((0, 1), (1, 0)):  # they are counted by their files, also where these are put right
        shutil.copy(phantom / f"section_{z:02d}.tif", swapped / f"section_{other:02d}.tif")
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(table.read_text().replace("corner,0", "corner,9").replace("cell,1", "cell,0").replace("corner,9", "corner,1"))
    for source, marks, remedies in ((phantom, table, ()), (swapped, mixed, ("0:swap=1",))):
        report = emkit.align_sections(
            source, out=tmp_path / f"{source.name}.ome.zarr", voxel_size_nm=NM, landmarks=marks, remedies=remedies
        )
        for z, target, place in ((0, (25, 60), (20, 30)), (1, (150, 75), (150, 40)), (2, (85, 170), (90, 160))):
            np.testing.assert_allclose(Affine(report.sections[z].affine).apply(target), place, atol=1e-3)
        assert "Laid on 3 landmarks, off by 0.00 px in the median" in str(report)


@pytest.mark.parametrize(
    ("text", "asked", "needed"),
    [
        ("section,y,x\n0,1,2\n", {}, "has no column target_y, target_x; needed: section, y, x, target_y, target_x"),
        (HEAD, {}, "holds no landmark; needed: a line with section, y, x, target_y, target_x"),
        (HEAD + "a,3,1,2,3,4\n", {}, "line 2: found section = 3; needed: finite numbers, section of 0 to 2"),
        (HEAD + "a,0,1,2,3,4\nb,1,one,2,3,4\n", {}, r"line 3: found .*'one'.*; needed: 5 numbers"),
        (HEAD + "a,1,1,2,3,4\n", {"exclude": (1,)}, "line 2: section 1 is excluded"),
        (HEAD + "a,1,1,2,3,4\n", {"fixed_section": 0}, "landmarks: found also fixed_section 0; needed: one of the two"),
        (HEAD + "a,1,1,2,3,4\n", {"canvas": "all"}, "landmarks: found also canvas all"),
    ],
)
def test_landmarks_that_cannot_be_followed_are_refused(
    phantom: Path, tmp_path: Path, text: str, asked: dict[str, object], needed: str
) -> None:
    (table := tmp_path / "marks.csv").write_text(text)
    with pytest.raises((DataError, ParameterError), match=needed):
        emkit.align_sections(phantom, out=tmp_path / "a.ome.zarr", voxel_size_nm=NM, landmarks=table, **asked)
    assert not (tmp_path / "a.ome.zarr").exists()
