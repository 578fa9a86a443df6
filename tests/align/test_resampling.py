"""The kernel that sees images through maps is scipy's cubic spline, to a small part of a grey level."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emkit.align import resampling
from emkit.align.resampling import Spline
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine, CoordinateMap, Elastic

SECTION = SectionPhantom(shape=(150, 190), count=1, seed=1).render_section(0)
FIELD = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(9, 10, 2)), (1.3, 1.3, 0)) * 10


def by_definition(mapping: CoordinateMap, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    places = mapping(np.moveaxis(np.indices(shape), 0, -1).astype(float) + start)
    seen: np.ndarray = ndimage.map_coordinates(SECTION.astype(float), np.moveaxis(places, -1, 0), order=3)
    inside = ((places > 0.01) & (places < np.array(SECTION.shape) - 1.01)).all(axis=-1)
    outside = ((places < -0.01) | (places > np.array(SECTION.shape) - 0.99)).any(axis=-1)
    return np.where(inside | outside, seen, np.nan)  # at the very edge a last digit decides


@given(st.floats(-180, 180), st.floats(0.7, 1.4), st.floats(-40, 40), st.integers(1, 90), st.integers(1, 150))
@settings(max_examples=25)
def test_an_affine_is_exact(degrees: float, scale: float, shift: float, tall: int, wide: int) -> None:
    mapping = Affine.rotation(degrees, (70, 90)).compose(Affine.of(np.eye(2) * scale, (shift, -shift)))
    expected = by_definition(mapping, (7, -3), (tall, wide))
    difference = np.abs(Spline.of(SECTION).seen_through(mapping, (7, -3), (tall, wide)) - expected)
    assert not difference.size or np.nan_to_num(difference).max() < 2e-3


def test_an_elastic_map_is_within_half_a_grey_level() -> None:
    mapping = Elastic(Affine.rotation(2, (70, 90)), FIELD, 30.0)
    difference = np.abs(
        Spline.of(SECTION).seen_through(mapping, (0, 0), SECTION.shape) - by_definition(mapping, (0, 0), SECTION.shape)
    )
    assert np.nanmax(difference) < 0.5


def test_without_a_compiler_scipy_gives_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mapping = Elastic(Affine.rotation(2, (70, 90)), FIELD, 30.0)
    fast = Spline.of(SECTION).seen_through(mapping, (-4, 9), (120, 170))
    monkeypatch.setattr(resampling, "LIBRARY", tmp_path / "none.so")
    slow = Spline.of(SECTION).seen_through(mapping, (-4, 9), (120, 170))
    np.testing.assert_allclose(fast, slow, atol=2e-3)


def test_an_elastic_map_is_on_a_grid_what_it_is_at_points() -> None:
    mapping = replace(Elastic(Affine.rotation(2, (70, 90)), FIELD, 30.0), affine=Affine.rotation(-5, (3, 8)))
    rows, columns = np.linspace(-50, 300, 23), np.linspace(-80, 400, 31)
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    np.testing.assert_allclose(mapping.on_grid(rows, columns), mapping(points), atol=1e-9)
