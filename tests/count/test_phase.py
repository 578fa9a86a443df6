"""Phases that were planted come back: their gradient, the turn, the handedness and the sign of the detector."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.fft import idctn

from emkit.count import Calibration, Orientation, differential_phase_contrast, estimate_orientation, integrate
from emkit.count.virtual import centre_of_mass
from emkit.errors import ParameterError
from emkit.phantoms import PhasePhantom

Floats = NDArray[np.float64]
COARSE = Calibration(step_nm=0.1, pixel_mrad=2.0, energy_kev=300)


@cache
def focused(orientation: Orientation) -> PhasePhantom:
    """Blobs much wider than the probe: what is measured is the phase itself."""
    return PhasePhantom(
        (32, 28), 32, COARSE, defocus_nm=0, turn=orientation.matrix, phase_rad=2.0, blob_nm=0.25, cover=0.02, electrons=2000
    )


def gradient(phase: Floats) -> Floats:
    return np.stack([np.gradient(phase, axis=axis) for axis in (0, 1)], -1)


coefficients = st.tuples(st.integers(2, 7), st.integers(2, 7)).flatmap(
    lambda shape: arrays(float, shape, elements=st.floats(-9, 9))
)


@given(coefficients)
def test_a_surface_is_integrated_from_its_slopes(coefficients: Floats) -> None:
    surface = idctn(coefficients, norm="ortho")
    surface -= surface.mean()
    slope = np.empty((*surface.shape, 2))
    for axis, size in enumerate(surface.shape):  # of the cosines that the surface is the sum of
        wave = np.pi * np.arange(size) / size
        sines = -wave[:, None] * np.sin(wave[:, None] * (np.arange(size) + 0.5)) * np.sqrt(2 / size)
        along = np.moveaxis(idctn(coefficients, axes=[1 - axis], norm="ortho"), axis, -1)
        slope[..., axis] = np.moveaxis(along @ sines, -1, axis)
    assert np.allclose(integrate(slope), surface, atol=1e-9)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (5, 1)])
def test_curl_is_left_out(m: int, n: int) -> None:
    y, x = np.pi * m * (np.arange(9) + 0.5)[:, None] / 9, np.pi * n * (np.arange(12) + 0.5) / 12
    eddies = np.stack([np.sin(y) * np.cos(x) * n / 12, -np.cos(y) * np.sin(x) * m / 9], -1)
    assert np.abs(integrate(eddies)).max() < 1e-9


def test_integration_is_linear() -> None:
    one, other = np.random.default_rng(1).standard_normal((2, 9, 12, 2))
    assert np.allclose(integrate(2 * one - 3 * other), 2 * integrate(one) - 3 * integrate(other))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rotation_deg", [-170.0, -90.0, -20.0, 0.0, 45.0, 91.0, 180.0])
def test_the_orientation_is_found_with_handedness_and_sign(rotation_deg: float, transposed: bool) -> None:
    truth = Orientation(rotation_deg, transposed)
    slopes = gradient(focused(Orientation()).phase)
    found = estimate_orientation(slopes @ np.linalg.inv(truth.matrix).T)
    assert found.transposed is transposed
    assert abs((found.rotation_deg - rotation_deg + 180) % 360 - 180) < 1
    assert found.curl < 0.03 < 0.3 < found.curl_otherwise < 0.7 and found.convergence > 0.3


def test_the_phase_of_a_specimen_comes_back_from_its_electrons() -> None:
    truth = Orientation(130, transposed=True)
    phantom = focused(truth)
    found = differential_phase_contrast(phantom.scan())
    assert found.orientation.transposed and found.orientation.rotation_deg == pytest.approx(130, abs=3)
    measured, phase = found.phase_rad(phantom.calibration), phantom.phase - phantom.phase.mean()
    assert np.corrcoef(measured.ravel(), phase.ravel())[0, 1] > 0.98
    assert (measured * phase).sum() / (phase**2).sum() == pytest.approx(1, abs=0.05)
    given_it = differential_phase_contrast(phantom.scan(), orientation=truth)
    assert given_it.orientation == truth and np.allclose(given_it.phase, found.phase, atol=0.1 * np.ptp(found.phase))


def test_the_deflection_is_the_gradient_over_the_probe_whatever_its_focus() -> None:
    narrow, wide = (PhasePhantom((24, 24), 32, COARSE, defocus_nm=nm, blob_nm=0.2, cover=0.02) for nm in (0.0, 6.0))
    sums = []
    for phantom in (narrow, wide):
        y, x = np.indices((32, 32))
        frames = phantom.expected()
        assert frames.sum((2, 3)) == pytest.approx(1, abs=0.01)
        sums.append(np.stack([(frames * y).sum((2, 3)), (frames * x).sum((2, 3))], -1) - 16)
    per_px = COARSE.pixel_mrad / 1000 / COARSE.wavelength_nm * COARSE.step_nm * 2 * np.pi
    inside = np.s_[3:-3, 3:-3]
    assert np.abs(sums[0] * per_px - gradient(narrow.phase))[inside].max() < 0.1 * np.abs(gradient(narrow.phase)).max()
    assert 0.5 < sums[1].std() / sums[0].std() < 1 and np.corrcoef(sums[0].ravel(), sums[1].ravel())[0, 1] > 0.9


def test_what_the_data_do_not_tell() -> None:
    y = np.arange(32)[:, None] + np.zeros(24)
    lines = gradient(np.sin(y / 3) + np.sin(y / 5))  # along one direction only
    assert estimate_orientation(lines).curl == pytest.approx(estimate_orientation(lines[..., ::-1]).curl, abs=1e-6)
    assert estimate_orientation(lines).curl_otherwise < 0.01
    waves = gradient(np.sin(2 * np.pi * (y + 0.5) / 16) * np.sin(2 * np.pi * (np.arange(24) + 0.5) / 12))
    assert estimate_orientation(waves).convergence < 0.05  # bright and dark alike
    noise = estimate_orientation(np.random.default_rng(1).standard_normal((64, 64, 2)))
    assert noise.curl > 0.45 and noise.convergence < 0.1
    assert estimate_orientation(np.ones((1, 9, 2))).rotation_deg == 0
    ramp = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0), indexing="ij"), -1)
    assert np.isfinite(estimate_orientation(ramp).rotation_deg) and np.isnan(Orientation().curl)


def test_positions_without_electrons_count_as_not_deflected() -> None:
    scan = focused(Orientation()).scan()
    dark = scan.select(np.repeat(scan.positions != 5, scan.counts))
    assert np.isnan(centre_of_mass(dark)[0, 5]).all()
    assert (differential_phase_contrast(dark, orientation=Orientation()).shift[0, 5] == 0).all()


@pytest.mark.parametrize("wrong", [{"step_nm": 0.0}, {"pixel_mrad": -1.0}, {"energy_kev": float("nan")}])
def test_a_calibration_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match="needed a number above 0"):
        Calibration(**{"step_nm": 0.1, "pixel_mrad": 1.0} | wrong)
    with pytest.raises(ParameterError, match="Take less defocus"):
        PhasePhantom(defocus_nm=500)
