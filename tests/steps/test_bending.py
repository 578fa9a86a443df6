"""The elastic part of align_sections: planted bends come back, in windows of any size, and the volume says how it bends."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import emkit
from emkit.align import read_alignment, read_map, windows
from emkit.align.fields import read_elastic
from emkit.align.refining import SPACING_PX
from emkit.align.resampling import Spline
from emkit.errors import DamagedError
from emkit.io.sections import open_stack
from emkit.io.spool import Spool
from emkit.phantoms import SectionPhantom
from emkit.steps.bending import WORK, Bending, bend_sections
from emkit.transforms import Affine, CoordinateMap, Elastic

SIZE, COUNT = 200, 3
INNER = np.stack(np.meshgrid(np.linspace(40, 160, 7), np.linspace(40, 160, 7), indexing="ij"), axis=-1).reshape(-1, 2)


def planted(z: int) -> Elastic:
    """How the specimen lies in section z: bent by some px, over some 100 px."""
    draw = np.random.default_rng(z)
    field = ndimage.gaussian_filter(draw.normal(size=(9, 9, 2)), (1.2, 1.2, 0))
    return Elastic(Affine.translation(*draw.uniform(-2, 2, 2)), field * 2 / field.std(), 40.0)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bent") / "raw"
    folder.mkdir()
    specimen = Spline.of(SectionPhantom(shape=(SIZE + 40, SIZE + 40), count=1, seed=3).render_section(0))
    for z in range(COUNT):
        shown = Affine.translation(20, 20).compose(planted(z))
        tifffile.imwrite(folder / f"{z}.tif", specimen.seen_through(shown, (0, 0), (SIZE, SIZE)).clip(1, 255).astype(np.uint8))
    return folder


def apart_px(map_of: Callable[[int], CoordinateMap]) -> float:
    """How far the specimen jumps between sections, the median over points of the worst."""
    shown = np.stack([planted(z)(map_of(z)(INNER)) for z in range(COUNT)])
    return float(np.median(np.hypot(*np.moveaxis(np.diff(shown, axis=0), -1, 0)), axis=1).max())


def by_hand(asked: Generator[Any, Any, None]) -> list[str]:
    """The stages of a part of a step, each done here."""
    names, answer = [], None
    try:
        while True:
            stage = asked.send(answer)
            names.append(stage.name)
            answer = {key: stage.work(*arguments) for key, arguments in stage.tasks.items()}
    except StopIteration:
        return names


def test_windows_of_any_size_bring_bent_sections_back(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = Spool(open_stack(raw), folder=tmp_path / "none")
    found = []
    for folder, core, window_px in (("whole", 64, 2048), ("parts", 4, 100)):
        monkeypatch.setattr(windows, "WINDOW_PX", window_px)
        monkeypatch.setattr(windows, "BLIND_PX", 48)
        bending = Bending(sections, (0, 1, 2), ((0, 1), (0, 2), (1, 2)), (SIZE, SIZE), tmp_path / folder, core=core)
        names = by_hand(bend_sections(bending, [Affine()] * COUNT))
        assert names[:2] == ["compare 1", "bend 1"] and names[-1] == "fields"
        maps = [read_elastic(tmp_path / folder, z, Affine(), SPACING_PX) for z in range(COUNT)]
        assert apart_px(lambda z, maps=maps: maps[z]) < 0.15  # type: ignore[misc]
        found.append(np.stack([one(INNER) for one in maps]))
    assert len(list((tmp_path / "parts" / WORK / "0").glob("window_*"))) == 4
    assert np.median(np.abs(found[0] - found[1])) < 0.1
    assert apart_px(lambda z: Affine()) > 2


def test_the_step_writes_how_each_section_bends_and_shows_it_so(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.ome.zarr"
    report = emkit.align_sections(raw, out=out, voxel_size_nm=(45, 4.6, 4.6), model="elastic", fixed_section=2)
    assert report == read_alignment(out) and "bend by splines" in str(report)
    assert [section.field for section in report.sections] == [f"fields/{z}.npy" for z in range(COUNT)]
    assert apart_px(lambda z: read_map(out, report, z)) < 0.15
    assert not (out / WORK).exists()
    mapping, volume = read_map(out, report, 1), np.asarray(emkit.open_volume(out))
    seen = Spline.of(tifffile.imread(raw / "1.tif")).seen_through(mapping, (0, 0), (SIZE, SIZE))
    assert np.abs(volume[1].astype(float) - seen.clip(0, 255)).max() <= 0.51
    np.testing.assert_array_equal(volume[2], tifffile.imread(raw / "2.tif"))  # it stays as it was
    (out / "fields" / "1.npy").write_bytes(b"no array")
    with pytest.raises(DamagedError, match="not the field of section 1"):
        read_map(out, report, 1)


def test_a_section_that_nothing_matches_bends_as_its_neighbours_do(raw: Path, tmp_path: Path) -> None:
    sections = Spool(open_stack(raw), folder=tmp_path / "none")
    by_hand(bend_sections(Bending(sections, (0, 2), ((0, 2),), (SIZE, SIZE), tmp_path), [Affine()] * COUNT))
    fields = [np.load(tmp_path / "fields" / f"{z}.npy") for z in range(COUNT)]
    np.testing.assert_allclose(fields[1], (fields[0] + fields[2]) / 2, atol=1e-6)
    assert np.abs(fields[0]).max() > 0.5
    by_hand(bend_sections(Bending(sections, (), (), (SIZE, SIZE), tmp_path / "none"), [Affine()] * COUNT))
    assert not np.load(tmp_path / "none" / "fields" / "0.npy").any()


@pytest.mark.parametrize("contrast", ["normalised", "clahe"])
def test_sections_are_matched_as_they_are_prepared_and_rendered_as_they_were_imaged(
    raw: Path, tmp_path: Path, contrast: str
) -> None:
    (dirty := tmp_path / "dirty").mkdir()
    for z in range(COUNT):
        section = tifffile.imread(raw / f"{z}.tif")
        section[20:60, 120:150] = 255  # dirt on the detector: it stays where the specimen moves
        tifffile.imwrite(dirty / f"{z}.tif", section, compression="zlib")
    asked: dict[str, Any] = dict(contrast=contrast, artefact_grey=(1, 254), model="elastic")
    report = emkit.align_sections(dirty, out=tmp_path / "a.ome.zarr", voxel_size_nm=(45, 4.6, 4.6), downscale=2, **asked)
    assert report.spacing_px == 2 * SPACING_PX
    assert apart_px(lambda z: read_map(tmp_path / "a.ome.zarr", report, z)) < 0.5
    assert (np.asarray(emkit.open_volume(tmp_path / "a.ome.zarr"))[1] == 255).any()
    assert sorted(path.name for path in (tmp_path / "a.ome.zarr").iterdir() if path.is_dir()) == ["0", "1", "2", "fields"]
