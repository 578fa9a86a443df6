"""What is estimated from frames, against phantoms whose truth is known."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from emkit.count import (
    Thresholds,
    annulus,
    build_gain,
    build_reference,
    centre_of_mass,
    correct_rows,
    count_frames,
    disk,
    estimate_centre,
    estimate_coincidence,
    estimate_thresholds,
    locate_electrons,
    radial_profile,
    virtual_image,
)
from emkit.errors import DataError, ParameterError
from emkit.phantoms import ScanPhantom

MATCH_PX = 1.5


@cache
def exposed(occupancy: float, count: int = 4) -> tuple[ScanPhantom, NDArray[np.uint16], tuple[NDArray[np.float64], ...]]:
    phantom = ScanPhantom((2, 3), (288, 288), seed=5, occupancy=occupancy, beam=0.0)
    frames, places = zip(*(phantom.frame(k) for k in range(count)), strict=True)
    return phantom, np.stack(frames), places


def matched(found: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """Distances of pairs, the nearest first, each place in one pair at most."""
    distance, other = cKDTree(true).query(found, k=min(6, len(true)), distance_upper_bound=MATCH_PX)
    pairs = sorted(
        (d, i, j) for i, (ds, js) in enumerate(zip(distance, other, strict=True)) for d, j in zip(ds, js, strict=True) if d < 9
    )
    left, right, kept = set[int](), set[int](), []
    for d, i, j in pairs:
        if i not in left and j not in right:
            left.add(i)
            right.add(j)
            kept.append(d)
    return np.array(kept)


def test_thresholds_of_noise() -> None:
    phantom, frames, _ = exposed(0.006)
    found = estimate_thresholds(frames)
    assert found.noise_mean == pytest.approx(phantom.offset_adu, abs=0.1)
    assert found.noise_sigma == pytest.approx(np.hypot(phantom.noise_adu, 0.36), abs=0.1)  # with that of pixels, rows and rounding
    assert found.background == pytest.approx(found.noise_mean + 4.5 * found.noise_sigma)
    assert not found.warning and count_frames(frames, found).events
    signed = estimate_thresholds(frames, phantom.dark)  # half of the pixels are below 0
    assert signed.noise_mean == pytest.approx(0, abs=0.3) and 6 < signed.background < 11


def test_a_limit_that_cuts_electrons_is_told() -> None:
    _, frames, _ = exposed(0.006)
    assert "cuts away" in estimate_thresholds(frames, xray_sigmas=5).warning


@pytest.mark.parametrize(
    ("frames", "said"), [(np.zeros((0, 4, 4), np.uint16), "found none"), (np.full((3, 4, 4), 7, np.uint16), "the camera was blank")]
)
def test_frames_without_thresholds(frames: NDArray[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        estimate_thresholds(frames)


@pytest.mark.parametrize("occupancy", [0.006, 0.025, 0.05])
def test_lost_electrons_are_estimated(occupancy: float) -> None:
    _, frames, places = exposed(occupancy)
    scan = count_frames(frames, Thresholds(28.3, 2000))
    lost = 1 - scan.events / sum(map(len, places))
    assert estimate_coincidence(scan).lost == pytest.approx(lost, abs=0.015)


def test_electrons_that_share_a_peak_are_told_apart() -> None:
    _, frames, places = exposed(0.006, 6)
    peaks = count_frames(frames, Thresholds(28.3, 2000))
    found = locate_electrons(frames, Thresholds(28.3, 2000))
    assert found.charge.width_px == pytest.approx(0.4, abs=0.05)
    offsets, true = found.scan.offsets, sum(map(len, places))
    pairs = [matched(found.places[a:b], at) for a, b, at in zip(offsets[:-1], offsets[1:], places, strict=True)]
    right = sum(map(len, pairs))
    assert right / true >= 0.98 > peaks.events / true and right / len(found.places) >= 0.995
    assert np.sqrt(np.mean(np.concatenate(pairs) ** 2)) <= 0.1
    assert (np.diff(found.scan.indices.astype(int))[np.setdiff1d(np.arange(len(found.places) - 1), offsets - 1)] >= 0).all()


def test_a_reference_leaves_out_what_is_rare_and_names_bad_pixels() -> None:
    random, dark = np.random.default_rng(1), np.full((20, 30), 50.0)
    frames = np.rint(dark + 2 * random.standard_normal((60, 20, 30))).astype(np.uint16)
    frames[7, 3, 3] = 4000  # an X-ray
    frames[:, 5, 5], frames[:, 6, 6] = 900, 50  # hot, dead
    found = build_reference(frames)
    assert found.mean[3, 3] == pytest.approx(50, abs=1.5) and found.frames == 60
    assert np.argwhere(found.bad).tolist() == [[5, 5], [6, 6]]
    lit = np.rint(dark + 200 * np.linspace(0.5, 1.5, 30) + random.standard_normal((60, 20, 30))).astype(np.uint16)
    assert np.abs(build_gain(lit, found.mean)[0] - np.linspace(0.5, 1.5, 30)).max() < 0.05
    with pytest.raises(DataError, match="two at least"):
        build_reference(frames[:1])


@pytest.mark.parametrize("by", ["mean", "median"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint64"])
def test_rows_come_to_one_level(by: Any, dtype: str) -> None:
    frames = np.tile(np.array([[10] * 4 + [30] * 4, [20] * 4 + [0] * 4], dtype), (2, 3, 1, 1))
    found = correct_rows(frames, 20.0, by)
    assert found.dtype == dtype and found.shape == frames.shape
    assert (found == np.array([[20] * 4 + [20] * 4, [20] * 4 + [0] * 4])).all()
    most = np.iinfo(dtype).max
    assert correct_rows(np.array([[[1, 1, 1, most, 0, 0, 0, 0]]], dtype), 9e9, "median")[0, 0, 3] >= 0.99 * most  # no wrap
    assert correct_rows(np.full((1, 1, 1), 4, dtype), 3.0, by).tolist() == [[[3]]]  # a frame of one pixel


def test_drifting_rows_cost_no_electrons() -> None:
    phantom, frames, _ = exposed(0.006)
    drift = np.random.default_rng(3).uniform(0.7, 1.3, (4, 288, 2)).repeat(144, axis=2)
    drifted = np.rint(frames * drift).astype(np.uint16)
    level = estimate_thresholds(frames).noise_mean
    fair = count_frames(frames, Thresholds(8.5, 2000), phantom.dark).events
    assert count_frames(drifted, Thresholds(8.5, 2000), phantom.dark).events > 1.1 * fair
    mended = count_frames(correct_rows(drifted, level, "median"), Thresholds(8.5, 2000), phantom.dark)
    assert mended.events == pytest.approx(fair, rel=0.01)
    with pytest.raises(ParameterError, match="level_adu: found 0"):
        correct_rows(frames, 0.0)


def test_virtual_detectors_see_what_a_mask_sees() -> None:
    phantom = ScanPhantom((4, 6), (64, 80), occupancy=0.05)
    scan = count_frames(np.stack([phantom.frame(k)[0] for k in range(24)]), Thresholds(28.3, 2000), scan_shape=(4, 6))
    dense, mask = scan.dense(), annulus((64, 80), (31.5, 39.5), 5, 20)
    assert (virtual_image(scan, mask) == dense[:, :, mask].sum(2)).all()
    y, x = np.mgrid[:64, :80]
    com = centre_of_mass(scan)
    assert np.allclose(com[..., 0], (dense * y).sum((2, 3)) / dense.sum((2, 3)))
    assert np.allclose(com[..., 1], (dense * x).sum((2, 3)) / dense.sum((2, 3)))
    assert (radial_profile(scan, (32, 40)).sum(2) == scan.sum("frame")).all()
    assert np.hypot(*(np.array(estimate_centre(scan)) - (31.5, 39.5))) < 6
    assert disk((64, 80), (32, 40), 1).sum() == 5
    with pytest.raises(ParameterError, match="inner < outer"):
        annulus((64, 80), (32, 40), 5, 5)
