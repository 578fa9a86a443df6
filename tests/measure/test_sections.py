"""The quality of a section: planted noise and saturation are told, and the laws of the definitions hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from emkit.measure import measure_quality, sections
from emkit.phantoms import SectionPhantom

SHAPE = (300, 260)
PHANTOM = SectionPhantom(SHAPE, 1, seed=4).render_section(0).astype(np.float32)
CLEAN = ndimage.gaussian_filter(PHANTOM, 1.5)


def noisy(sigma: float, image: NDArray[np.float32] = CLEAN) -> NDArray[np.float32]:
    made: NDArray[np.float32] = (image + np.random.default_rng(2).normal(0, sigma, image.shape)).astype(np.float32)
    return made


@pytest.mark.parametrize("sigma", [4.0, 9.0, 20.0])
def test_planted_noise_and_snr_are_told(sigma: float) -> None:
    found = measure_quality(noisy(sigma))
    assert found.noise == pytest.approx(sigma, rel=0.1)
    assert found.snr == pytest.approx(CLEAN.std() / sigma, rel=0.12)


def test_planted_saturation_and_contrast_are_told() -> None:
    image = np.full((100, 100), 100, np.uint8)
    image[:3], image[97:], image[40:60] = 0, 255, 200
    found = measure_quality(image)
    assert (found.saturated, found.contrast) == (0.06, 1.0)
    assert measure_quality(image.astype(np.float64)).saturated == 0.0
    assert measure_quality(np.clip(image, 50, 210)).contrast == pytest.approx((210 - 50) / 255)


def test_an_image_without_anything() -> None:
    found = measure_quality(np.full((64, 64), 7, np.uint16))
    assert (found.snr, found.sharpness, found.contrast, found.mean) == (None, 0.0, 0.0, 7.0)
    assert "no noise" in str(found)


def test_blur_is_told_in_spite_of_noise() -> None:
    sharp = [measure_quality(noisy(9.0, ndimage.gaussian_filter(PHANTOM, width))).sharpness for width in (0.0, 1.0, 2.0, 4.0)]
    assert sharp == sorted(sharp, reverse=True) and sharp[0] > 1.5 * sharp[-1]
    assert measure_quality(noisy(12.0)).sharpness == pytest.approx(measure_quality(CLEAN).sharpness, rel=0.1)


@given(gain=st.floats(0.5, 3), offset=st.floats(-50, 5000), turns=st.integers(0, 3), mirrored=st.booleans())
def test_laws(gain: float, offset: float, turns: int, mirrored: bool) -> None:
    image = noisy(9.0)
    before = measure_quality(image)
    changed = np.rot90(image * np.float32(gain) + np.float32(offset), turns)
    after = measure_quality(changed[::-1] if mirrored else changed)
    assert after.snr == pytest.approx(before.snr, rel=1e-2) and after.sharpness == pytest.approx(before.sharpness, rel=1e-2)
    assert after.contrast == pytest.approx(before.contrast, rel=1e-2)


@pytest.mark.parametrize("rows", [7, 64, 299, 300, 4096])
def test_the_bands_do_not_show(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure_quality(noisy(9.0))
    monkeypatch.setattr(sections, "BAND_ROWS", rows)
    banded = measure_quality(noisy(9.0))
    for name in ("noise", "snr", "sharpness"):
        assert getattr(banded, name) == pytest.approx(getattr(whole, name), rel=1e-4)
