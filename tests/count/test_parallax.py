"""A planted defocus, astigmatism and turn come back from moved images, and noise is told from a specimen."""

import numpy as np
import pytest
from numpy.typing import NDArray

from emkit.count import (
    Calibration,
    CountedScan,
    Orientation,
    Parallax,
    align_bright_field,
    estimate_disk,
    estimate_parallax,
    reconstruct_parallax,
)
from emkit.count.phase import rotation
from emkit.errors import DataError, ParameterError
from emkit.model import offsets_of
from emkit.phantoms import PhasePhantom

COARSE = Calibration(step_nm=0.1, pixel_mrad=1.5, energy_kev=300)
FINE = Calibration(step_nm=10.0, pixel_mrad=1.0, energy_kev=300)  # no wave of the scan is cut off by the aperture


@pytest.mark.parametrize(
    ("defocus_nm", "orientation"),
    [(20.0, Orientation(35)), (-24.0, Orientation(-110, True))],
)
def test_the_planted_defocus_comes_back(defocus_nm: float, orientation: Orientation) -> None:
    phantom = PhasePhantom((48, 40), turn=orientation.matrix, defocus_nm=defocus_nm, phase_rad=0.15, electrons=3000)
    found = reconstruct_parallax(phantom.scan(), phantom.calibration, near=orientation)
    assert found.aberrations.defocus_nm == pytest.approx(defocus_nm, rel=0.06)
    assert found.aberrations.orientation.transposed is orientation.transposed
    assert abs((found.aberrations.orientation.rotation_deg - orientation.rotation_deg + 180) % 360 - 180) < 4
    assert found.aberrations.astigmatism_nm < 0.1 * abs(defocus_nm)
    inside = np.s_[5:-5, 5:-5]
    assert np.corrcoef(found.phase[inside].ravel(), phantom.phase[inside].ravel())[0, 1] > 0.6


def moved_images(matrix: NDArray[np.float64], electrons: float) -> CountedScan:
    """A disk of 41 pixels, each of which sees the same random image, moved by `matrix` (whole steps) times its distance."""
    random = np.random.default_rng(3)
    image = random.random((30, 34)) ** 2
    frames = np.zeros((30, 34, 9, 9))
    for y, x in np.ndindex(9, 9):
        if np.hypot(y - 4, x - 4) < 4:
            frames[:, :, y, x] = np.roll(image, np.rint(matrix @ [y - 4, x - 4]).astype(int), (0, 1))
    counts = random.poisson(frames * electrons).reshape(-1, 81)
    at = np.nonzero(counts)
    return CountedScan(offsets_of(counts.sum(1)), np.repeat(at[1], counts[at]).astype(np.uint32), (30, 34), (9, 9))


@pytest.mark.parametrize("matrix", [((1, 0), (0, 1)), ((2, 1), (-1, 2)), ((0, -2), (-2, 0)), ((2, 0), (0, 1)), ((1, 1), (0, -1))])
def test_the_map_of_moves_comes_back(matrix: tuple[tuple[int, int], tuple[int, int]]) -> None:
    planted = np.array(matrix, np.float64)
    scan = moved_images(planted, 3.0)
    found = estimate_parallax(scan, FINE, (4, 4), 4)
    assert np.abs(found.steps_per_px - planted).max() < 0.03 and found.snr > 10
    aligned = align_bright_field(scan, Parallax(planted, 0), (4, 4), 4)
    image = np.random.default_rng(3).random((30, 34)) ** 2
    assert np.corrcoef(aligned.ravel(), image.ravel())[0, 1] > 0.98 and abs(aligned.mean()) < 1e-9


def test_aberrations_are_read_from_the_map() -> None:
    stretch = rotation(20) @ np.diag([0.5, 0.3]) @ rotation(-20)
    for angle in (-80.0, 0.0, 60.0):
        for swap in (np.eye(2), np.eye(2)[::-1]):
            parallax = Parallax(rotation(angle) @ swap @ stretch, 9.0)
            found = parallax.aberrations(Calibration(0.2, 1.0))
            assert found.defocus_nm == pytest.approx(0.4 * 200) and found.astigmatism_nm == pytest.approx(0.1 * 200)
            assert found.orientation.rotation_deg == pytest.approx(angle) and found.orientation.transposed is bool(swap[0, 1])
            turned = parallax.aberrations(Calibration(0.2, 1.0), near=Orientation(angle + 179))
            assert turned.defocus_nm == pytest.approx(-80) and "-80.0 nm" in str(turned)


def test_noise_is_refused() -> None:
    counts = np.random.default_rng(1).poisson(1.0, (32 * 32, 81))
    at = np.nonzero(counts)
    scan = CountedScan(offsets_of(counts.sum(1)), np.repeat(at[1], counts[at]).astype(np.uint32), (32, 32), (9, 9))
    with pytest.raises(DataError, match="nothing in common"):
        estimate_parallax(scan, FINE, (4, 4), 4)
    empty = CountedScan(np.zeros(1025, np.int64), np.zeros(0, np.uint32), (32, 32), (9, 9))
    with pytest.raises(DataError, match="SNR 0.0"):
        estimate_parallax(empty, FINE, (4, 4), 4)
    with pytest.raises(ParameterError, match="radius of 2 px or more"):
        estimate_parallax(scan, FINE, (4, 4), 1)


def test_the_disk_is_found() -> None:
    phantom = PhasePhantom((8, 8), 48, COARSE, 18.0, 5.0)
    (y, x), radius = estimate_disk(phantom.scan())
    assert (y, x, radius) == pytest.approx((24, 24, 12), abs=0.3)
