"""Laws of what is made from events: linear in them, none lost, the same as from the dense array; and its names and units."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.count import (
    Calibration,
    CountedScan,
    centre_of_mass,
    estimate_centre,
    radial_profile,
    ring_pixels,
    sum_of_whole,
    to_xarray,
    virtual_image,
)
from emkit.errors import ParameterError
from tests.count.test_scan import scans


@given(scans(), st.integers(0, 99))
def test_an_image_is_linear_in_its_mask(scan: CountedScan, seed: int) -> None:
    one, other = np.random.default_rng(seed).standard_normal((2, *scan.frame_shape))
    both = virtual_image(scan, 2 * one - other)
    assert np.allclose(both, 2 * virtual_image(scan, one) - virtual_image(scan, other))
    assert np.allclose(both, (scan.dense() * (2 * one - other)).sum((2, 3)))


@given(scans(), st.tuples(st.floats(-3, 9), st.floats(-3, 9)))
def test_every_electron_is_in_one_ring(scan: CountedScan, centre: tuple[float, float]) -> None:
    profile = radial_profile(scan, centre)
    assert (profile.sum(2) == scan.sum("frame")).all()
    distance = np.hypot(*(np.indices(scan.frame_shape) - np.array(centre)[:, None, None])).astype(int)
    for r in range(profile.shape[2]):
        assert (profile[..., r] == scan.dense()[:, :, distance == r].sum(2)).all()
    pixels = ring_pixels(scan.frame_shape, centre, profile.shape[2] + 9)
    assert pixels.sum() == distance.size and len(pixels) == profile.shape[2] + 9


@given(scans())
def test_each_position_may_have_its_own_centre(scan: CountedScan) -> None:
    same = radial_profile(scan, np.full((*scan.scan_shape, 2), 1.0))
    assert (same[..., : same.shape[2]].sum(2) == scan.sum("frame")).all()
    whole = radial_profile(scan, (1.0, 1.0))
    shared = min(same.shape[2], whole.shape[2])
    assert (same[..., :shared] == whole[..., :shared]).all() and not same[..., shared:].any() and not whole[..., shared:].any()
    own = radial_profile(scan, centre_of_mass(scan))  # NaN where there are no electrons
    assert (own.sum(2) == scan.sum("frame")).all()


def test_a_centre_of_another_shape_is_refused() -> None:
    scan = CountedScan(np.array([0, 1]), np.array([0], np.uint32), (1, 1), (2, 2))
    with pytest.raises(ParameterError, match=r"found the shape \(3,\)"):
        radial_profile(scan, np.zeros(3))


@given(scans(), st.integers(1, 3))
def test_whole_bins_keep_every_electron(scan: CountedScan, factor: int) -> None:
    inside = scan[: scan.scan_shape[0] // factor * factor, : scan.scan_shape[1] // factor * factor]
    assert isinstance(inside, CountedScan) and scan.bin_scan(factor).events == inside.events
    height, width = (n // factor * factor for n in scan.frame_shape)
    assert scan.bin_frame(factor).events == scan.crop(slice(0, height), slice(0, width)).events


@given(scans())
def test_a_labelled_array_is_the_scan(scan: CountedScan) -> None:
    found = to_xarray(scan)
    assert found.dims == ("sy", "sx", "ky", "kx") and found.name == "electrons" and (found.values == scan.dense()).all()
    assert found.sy.units == "step" and found.kx.values.tolist() == list(range(scan.frame_shape[1]))


def test_labels_are_in_units() -> None:
    calibration = Calibration(step_nm=0.5, pixel_mrad=2.0)
    scan = CountedScan(np.zeros(7, np.int64), np.zeros(0, np.uint32), (2, 3), (4, 5))
    found = to_xarray(scan, calibration=calibration, centre=(1, 2))
    assert found.sx.values.tolist() == [0, 0.5, 1] and found.sx.units == "nm"
    assert found.ky.values.tolist() == [-2, 0, 2, 4] and found.kx.values.tolist() == [-4, -2, 0, 2, 4] and found.ky.units == "mrad"
    rings = to_xarray(radial_profile(scan, (1, 2)), ("sy", "sx", "r"), calibration=calibration)
    assert rings.r.units == "px" and rings.sum("r").dims == ("sy", "sx")
    phase = to_xarray(np.zeros((2, 3)), name="phase")
    assert phase.name == "phase" and phase.attrs == {}
    with pytest.raises(ParameterError, match="needed 3 names"):
        to_xarray(np.zeros((1, 2, 3)))


def test_the_middle_of_the_beam_is_that_of_whole_frames() -> None:
    random = np.random.default_rng(3)
    at = np.clip(np.rint(random.normal((24, 30), 4, (40, 200, 2))), 0, (47, 59)).astype(np.int64) @ (60, 1)
    at[10:] = np.where(at[10:] < 24 * 60, at[10:], 0)  # most frames lack their lower half
    complete = np.arange(40) < 10
    scan = CountedScan(np.arange(0, 8001, 200), np.sort(at).ravel().astype(np.uint32), (5, 8), (48, 60), complete=complete)
    assert np.hypot(*(np.array(estimate_centre(scan)) - (24, 30))) < 1
    assert sum_of_whole(scan).sum() == 10 * 200
    assert estimate_centre(replace(scan, complete=np.zeros(40, bool))) == (23.5, 29.5)  # the frame's: nothing tells better
