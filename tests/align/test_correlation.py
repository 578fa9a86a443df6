"""The match signal: the fast twin is the definition, the peak is where the shift is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from emkit.align.correlation import correlate, correlate_slowly, find_peaks, match_signal, normalise, shrink, taper
from emkit.errors import ParameterError
from emkit.phantoms import SectionPhantom

PHANTOM = SectionPhantom(shape=(256, 256), count=2, seed=7, jitter=0)


@pytest.fixture(scope="module")
def section() -> np.ndarray:
    return normalise(PHANTOM.render_section(0))


@given(st.integers(4, 40), st.integers(4, 40), st.integers(0, 999))
def test_the_fast_correlation_is_the_slow_one(height: int, width: int, seed: int) -> None:
    fixed, moving = np.random.default_rng(seed).standard_normal((2, 2, height, width)).astype(np.float32)
    fast = correlate(fixed, moving)
    slow = np.stack([correlate_slowly(a, b) for a, b in zip(fixed, moving, strict=True)])
    np.testing.assert_allclose(fast, slow, atol=1e-4 * np.abs(slow).max())


@given(st.integers(-20, 20), st.integers(-20, 20))
def test_a_shift_by_whole_pixels_is_found(y: int, x: int) -> None:
    section = normalise(PHANTOM.render_section(0))
    window = taper((128, 128), 0.5)
    fixed = section[64:192, 64:192] * window
    moving = section[64 - y : 192 - y, 64 - x : 192 - x] * window  # moving(p + d) == fixed(p) with d = (y, x)
    shift, snr = find_peaks(correlate(fixed[None], moving[None]))
    np.testing.assert_allclose(shift[0], (y, x), atol=0.3)  # the tapers differ by the shift, and pull a little
    assert snr[0] > 8


def test_a_shift_by_parts_of_a_pixel_is_found(section: np.ndarray) -> None:
    window = taper(section.shape, 0.3)
    for shift in ((0.25, -0.5), (3.4, 0.7), (-1.6, 2.3)):
        moving = ndimage.shift(section, shift, order=3)
        found, _ = find_peaks(correlate((section * window)[None], (moving * window)[None]))
        np.testing.assert_allclose(found[0], shift, atol=0.1)


def test_a_peak_beyond_reach_is_not_seen() -> None:
    signal = np.zeros((1, 32, 32), np.float32)
    signal[0, 16 + 10, 16] = 2  # the highest
    signal[0, 16 + 3, 16 - 2] = 1
    np.testing.assert_allclose(find_peaks(signal)[0], [[10, 0]])
    np.testing.assert_allclose(find_peaks(signal, reach=5)[0], [[3, -2]])


def test_a_flat_signal_has_no_snr() -> None:
    assert find_peaks(np.zeros((1, 8, 8), np.float32))[1].tolist() == [0]


def test_normalised_sections_have_no_light_and_no_scale_of_their_own() -> None:
    raw = np.maximum(PHANTOM.render_section(0), 1).astype(np.float32)  # 0 would be no data
    section = normalise(raw)
    uneven = raw * np.linspace(0.7, 1.4, 256, dtype=np.float32) + 90
    np.testing.assert_allclose(normalise(uneven), section, atol=0.35)
    assert abs(section.mean()) < 0.05
    assert 0.5 < section.std() < 1.2
    np.testing.assert_allclose(normalise((raw * 200).astype(np.uint16)), section, atol=0.02)


@pytest.mark.parametrize("value", [0, 1, 7, 255])
def test_a_constant_image_normalises_to_zeros(value: int) -> None:
    assert not normalise(np.full((64, 80), value, np.uint8)).any()
    assert not normalise(np.full((64, 80), value * 257, np.uint16)).any()


def test_pixels_without_data_stay_out_of_their_neighbours() -> None:
    raw = PHANTOM.render_section(0)
    raw[raw == 0] = 1
    cut = raw.copy()
    cut[:, :100] = 0
    flat = normalise(cut)
    assert not flat[:, :100].any()
    assert np.abs(flat[:, 100:130]).mean() < 1.5 * np.abs(normalise(raw)[:, 100:130]).mean()  # no bright seam


def test_shrinking_takes_means_of_blocks() -> None:
    image = np.arange(35, dtype=np.float32).reshape(5, 7)
    np.testing.assert_allclose(shrink(image, 2), [[4, 6, 8], [18, 20, 22]])
    assert shrink(image, 1) is image


def test_the_match_signal_is_brightest_where_the_sections_agree() -> None:
    fixed, moving = (PHANTOM.render_section(z) for z in range(2))
    signal = match_signal(fixed, moving)
    assert signal.shape == (256, 256)
    assert np.hypot(*(np.array(np.unravel_index(signal.argmax(), signal.shape)) - 128)) <= 3
    assert signal.max() > 7
    rolled = match_signal(fixed, np.roll(moving, (12, -20), (0, 1)))
    np.testing.assert_allclose(np.array(np.unravel_index(rolled.argmax(), rolled.shape)) - 128, (12, -20), atol=3)
    assert match_signal(fixed, moving, at_most_px=100).shape == (85, 85)


def test_the_match_signal_of_a_constant_section_is_flat_and_shapes_must_agree() -> None:
    fixed = PHANTOM.render_section(0)
    assert not match_signal(fixed, np.full_like(fixed, 9)).any()
    with pytest.raises(ParameterError, match=r"\(256, 256\) and \(256, 200\)"):
        match_signal(fixed, fixed[:, :200])
