"""Tiles cut from a known section through a known lens fit together to hundredths of a px; what cannot fit is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from emkit.align import solve_montage
from emkit.align.lens import Lens
from emkit.align.overlaps import flow
from emkit.errors import ParameterError
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine, CoordinateMap

SIDE, STEP = 240, 200
SHAPE = (SIDE, SIDE)
BARREL = Lens(SHAPE, ((0, 0), (0, 0), (0, 0), (0.5, 0), (0, 0.5), (0.5, 0), (0, 0.5)))  # 0.5 · |u|² u: 1.4 px in the corners
Floats = NDArray[np.float64]


class Cut:
    """Tiles of a phantom, and the truth: ``maps[i]`` takes px of tile i to px of the phantom."""

    def __init__(self, rows: int, columns: int, seed: int = 1, step: int = STEP) -> None:
        draw = np.random.default_rng(seed)
        size = (40 + SIDE + step * (rows - 1), 40 + SIDE + step * (columns - 1))
        section = SectionPhantom(shape=size, count=1, seed=seed, jitter=0).render_section(0).astype(np.float32)
        self.nominal = np.array([[y * step, x * step] for y in range(rows) for x in range(columns)], float)
        self.maps: list[CoordinateMap] = []
        self.tiles: list[NDArray[np.uint8]] = []
        pixels = np.moveaxis(np.indices(SHAPE), 0, -1).astype(float)
        for origin in self.nominal:
            turn = Affine.rotation(draw.uniform(-0.03, 0.03), (SIDE / 2, SIDE / 2))
            self.maps.append(Affine.translation(*(origin + 20 + draw.uniform(-8, 8, 2))).compose(turn).compose(BARREL))
            seen = ndimage.map_coordinates(section, np.moveaxis(self.maps[-1](pixels), -1, 0), order=3, mode="mirror")
            light = draw.uniform(0.8, 1.1) * seen + draw.uniform(-10, 10) + draw.normal(0, 4, SHAPE)
            self.tiles.append(np.clip(light, 0, 255).astype(np.uint8))

    def seams(self, found: list[CoordinateMap]) -> Floats:
        """By how far the same tissue lies apart in the world, along all overlaps."""
        grid = np.stack(np.meshgrid(*[np.arange(4, SIDE - 4, 8.0)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
        apart = []
        for i, first in enumerate(self.maps):
            for j, second in enumerate(self.maps[i + 1 :], i + 1):
                if (np.abs(self.nominal[i] - self.nominal[j]) > STEP).any():
                    continue
                there = second.invert()(first(grid).clip(second([[2, 2]]), second([[SIDE - 3, SIDE - 3]])))
                same = np.hypot(*(second(there) - first(grid)).T) < 1e-3
                apart.append(np.hypot(*(found[i](grid[same]) - found[j](there[same])).T))
        return np.concatenate(apart)


@pytest.fixture(scope="module")
def four() -> Cut:
    return Cut(2, 2)


def test_tiles_fit_to_hundredths_of_a_pixel_and_the_lens_comes_back(four: Cut) -> None:
    montage = solve_montage(four.tiles, four.nominal)
    seams = four.seams(list(montage))
    assert np.median(seams) < 0.08
    assert seams.max() < 0.4
    assert montage.islands == ((0, 1, 2, 3),)
    assert not montage.failed
    assert not montage.swapped
    # of the lens the third degree is told apart from the tiles' own affines
    assert np.allclose(np.array(montage.lens.coefficients)[3:], np.array(BARREL.coefficients)[3:], atol=0.25)


def test_positions_given_as_x_y_are_recognised() -> None:
    cut = Cut(1, 3)
    montage = solve_montage(cut.tiles, cut.nominal[:, ::-1])
    assert montage.swapped
    assert "given as (x, y)" in str(montage)
    assert np.median(cut.seams(list(montage))) < 0.1


def test_islands_are_named_and_lie_where_the_stage_put_them(four: Cut) -> None:
    nominal = np.concatenate([four.nominal[:2], four.nominal[2:] + (300, 50)])
    montage = solve_montage(four.tiles, nominal)
    assert montage.islands == ((0, 1), (2, 3))
    assert "Tiles 2, 3 hold to no others: placed by stage position" in str(montage)
    for island in montage.islands:
        lying = np.mean([montage.affines[i].apply((0, 0)) for i in island], axis=0)
        assert np.allclose(lying, nominal[list(island)].mean(axis=0), atol=1)


def test_a_tile_of_something_else_fails_by_name(four: Cut) -> None:
    stranger = SectionPhantom(shape=SHAPE, count=1, seed=77, jitter=0).render_section(0)
    montage = solve_montage([*four.tiles[:3], stranger], four.nominal)
    assert montage.islands == ((0, 1, 2), (3,))
    assert {(i, j) for i, j, _ in montage.failed} == {(0, 3), (1, 3), (2, 3)}
    assert np.allclose(montage.affines[3].apply((0, 0)), four.nominal[3])


def test_one_tile_and_tiles_without_overlap_stay_where_they_are(four: Cut) -> None:
    assert solve_montage(four.tiles[:1], [[5, 7]])[0]([0, 0]).tolist() == [5, 7]
    apart = solve_montage(four.tiles[:2], [[0, 0], [0, 400]])
    assert apart.islands == ((0,), (1,))
    assert apart[1]([1, 2]).tolist() == [1, 402]


@pytest.mark.parametrize(
    ("shapes", "nominal", "needed"),
    [
        ([(64, 64), (64, 80)], [[0, 0], [0, 50]], r"found the shapes \(64, 64\), \(64, 80\)"),
        ([(64, 64)], [[0, 0], [0, 50]], r"found the shape \(2, 2\) for 1 tiles"),
        ([(64, 64), (64, 64)], [[0, 0], [0, np.nan]], "tile 1 has no finite position"),
    ],
)
def test_what_is_no_tile_grid_is_refused(shapes: list[tuple[int, int]], nominal: list[list[float]], needed: str) -> None:
    with pytest.raises(ParameterError, match=needed):
        solve_montage([np.zeros(shape, np.uint8) for shape in shapes], nominal)


@given(st.lists(st.floats(-2, 2), min_size=14, max_size=14), st.tuples(st.floats(0, 239), st.floats(0, 239)))
def test_a_lens_and_its_inverse_cancel(coefficients: list[float], point: tuple[float, float]) -> None:
    lens = Lens(SHAPE, tuple(zip(coefficients[::2], coefficients[1::2], strict=True)))
    assert np.allclose(lens.invert()(lens(point)), point, atol=1e-5)
    assert np.allclose(lens.invert().compose(lens).apply([point]), [point], atol=1e-5)
    assert lens.invert().invert() == lens


@given(st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)), st.floats(0.5, 2), st.floats(-30, 30))
def test_flow_finds_a_planted_shift_under_other_light(shift: tuple[float, float], gain: float, offset: float) -> None:
    field = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((64, 64)), 3) * 100
    moved = ndimage.shift(field, shift, order=5)  # moved(p + shift) = field(p)
    inner = (slice(8, 56), slice(8, 56))
    found, sigma = flow(field[None][:, *inner].astype(np.float32), (gain * moved + offset)[None][:, *inner].astype(np.float32))
    assert np.allclose(found[0], shift, atol=0.02)
    assert sigma[0] < 0.1


JUDGE = Path(__file__).parents[1] / "judges" / "alignment_harness.py"


@pytest.mark.campaign
def test_the_judge_finds_no_seam(data_dir: Path) -> None:
    command = [
        sys.executable,
        str(JUDGE),
        "montage",
        "--entry",
        f"{Path(__file__).with_name('entry.py')}:montage",
        "--n",
        "1",
        "--seed",
        "44",
    ]
    ran = subprocess.run(command, env={**os.environ, "EMKIT_ALIGN_DATA": str(data_dir / "vnc")}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["seam"]["median"] <= 0.03
    assert result["bad_seams"] == 0
