"""Pixels through an affine: exact for whole shifts, without seams for any, bounded in memory."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emkit.align.rendering import Interpolation, render_window
from emkit.align.resampling import Spline
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine, Elastic

SECTION = SectionPhantom(shape=(150, 190), count=1, seed=1).render_section(0)
TURNED = Affine.rotation(4, (70, 90)).compose(Affine.translation(3.3, -8.6))


@given(st.integers(-30, 30), st.integers(-30, 30), st.sampled_from(["cubic", "linear"]))
@settings(max_examples=10)
def test_a_shift_by_whole_pixels_copies_them(y: int, x: int, interpolation: Interpolation) -> None:
    seen = render_window(SECTION, Affine.translation(y, x), (0, 0), SECTION.shape, interpolation)
    padded = np.pad(SECTION, 30)
    np.testing.assert_array_equal(seen, padded[30 + y : 180 + y, 30 + x : 220 + x])


@given(st.integers(17, 90), st.integers(17, 90))
@settings(max_examples=10)
def test_windows_of_any_size_fit_together_to_the_same_picture(tall: int, wide: int) -> None:
    whole = render_window(SECTION, TURNED, (0, 0), SECTION.shape)
    joined = np.zeros_like(whole)
    for y, x in product(range(0, 150, tall), range(0, 190, wide)):
        shape = (min(tall, 150 - y), min(wide, 190 - x))
        joined[y : y + shape[0], x : x + shape[1]] = render_window(SECTION, TURNED, (y, x), shape)
    # a value halfway between two grey levels is rounded by its last digit, which depends on where the window began
    different = joined != whole
    assert different.mean() < 1e-3
    np.testing.assert_allclose(joined[different].astype(int), whole[different], atol=1)


def test_the_picture_is_that_of_the_whole_spline() -> None:
    obvious = ndimage.affine_transform(SECTION.astype(float), TURNED.linear, TURNED.shift, order=3)
    seen = render_window(SECTION, TURNED, (0, 0), SECTION.shape).astype(float)
    assert np.abs(seen - np.clip(obvious, 0, 255)).max() <= 0.51


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_the_type_of_pixel_stays_and_no_value_wraps_around(dtype: str) -> None:
    high = np.iinfo(dtype).max if dtype != "float32" else 1
    edge = np.zeros((80, 80), dtype)
    edge[:, 40:] = high  # a spline overshoots at such an edge
    seen = render_window(edge, Affine.translation(0.5, 0.4), (0, 0), (80, 80))
    assert seen.dtype == edge.dtype
    if dtype != "float32":
        assert (seen[10:70, 44:70] > high * 0.9).all()
        assert (seen[10:70, 5:36] < high * 0.1).all()


def test_outside_the_section_is_0_and_a_window_that_sees_nothing_reads_nothing() -> None:
    assert not render_window(SECTION, Affine.translation(5000, 0), (0, 0), (64, 64)).any()
    assert not render_window(SECTION, Affine(), (0, 190), (64, 64)).any()
    seen = render_window(SECTION, Affine.translation(-20, 0), (0, 0), SECTION.shape)
    assert not seen[:20].any()
    assert seen[20:].any()


def test_a_window_costs_memory_by_its_own_size_not_by_that_of_the_section() -> None:
    large = np.zeros((3000, 3000), np.uint8)
    tracemalloc.start()
    try:
        render_window(large, TURNED, (1000, 1000), (64, 64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "int16"])
def test_an_elastic_map_gives_the_rounded_spline_in_any_type(dtype: str) -> None:
    bent = Elastic(TURNED, np.random.default_rng(0).normal(size=(9, 10, 2)), 25.0)
    section = SECTION.astype(dtype)
    seen = render_window(section, bent, (3, 5), (130, 150))
    limits = np.iinfo(section.dtype)
    exact = np.clip(Spline.of(SECTION).seen_through(bent, (3, 5), (130, 150)), limits.min, limits.max)
    assert seen.dtype == section.dtype
    assert np.abs(seen - exact).max() <= 0.501


def test_nearest_gives_values_of_the_section_only() -> None:
    labels = (SECTION > 120).astype(np.uint64) * 2**40 + 3
    seen = render_window(labels, TURNED, (0, 0), SECTION.shape, "nearest")
    assert set(np.unique(seen)) == {0, 3, 2**40 + 3}
    bright = render_window(SECTION, TURNED, (0, 0), SECTION.shape)
    sure = (seen > 0) & (np.abs(bright.astype(int) - 120) > 40)
    assert ((seen > 3) == (bright > 120))[sure].mean() > 0.99


def test_a_shrunken_picture_is_that_of_the_shrunken_section() -> None:
    whole = render_window(SECTION, TURNED, (0, 0), (148, 188)).astype(float).reshape(37, 4, 47, 4).mean(axis=(1, 3))
    parts = [render_window(SECTION, TURNED, start, (37 - start[0], 20), shrunk=4) for start in ((0, 0), (0, 20))]
    inner = np.hstack(parts)[6:-6, 6:-6].astype(float)
    assert np.corrcoef(inner.ravel(), whole[6:-6, 6:34].ravel())[0, 1] > 0.97
