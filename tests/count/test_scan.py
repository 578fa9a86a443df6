"""A counted scan answers as the dense array would."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.count import CountedScan
from emkit.errors import ParameterError


@st.composite
def scans(draw: st.DrawFn) -> CountedScan:
    """Any number of frames a position, some with none, some pixels with several electrons."""
    scan_shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    frame_shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 7)))
    positions = np.sort(np.array(draw(st.lists(st.integers(0, scan_shape[0] * scan_shape[1] - 1), max_size=12)), np.int64))
    pixels = frame_shape[0] * frame_shape[1]
    frames = [sorted(draw(st.lists(st.integers(0, pixels - 1), max_size=9))) for _ in positions]
    offsets = np.concatenate([[0], np.cumsum([len(frame) for frame in frames])]).astype(np.int64)
    indices = np.array([index for frame in frames for index in frame], np.uint32)
    return CountedScan(offsets, indices, scan_shape, frame_shape, positions)


@given(scans())
def test_numbers(scan: CountedScan) -> None:
    dense = scan.dense()
    assert dense.shape == scan.shape and dense.sum() == scan.events
    for over, axes in (("scan", (0, 1)), ("frame", (2, 3))):
        assert (scan.sum(over) == dense.sum(axes)).all()  # type: ignore[arg-type]
        assert (scan.max(over) == dense.max(axes)).all()  # type: ignore[arg-type]
    assert (scan.merged().dense() == dense).all() and len(scan.merged()) == dense.shape[0] * dense.shape[1]


KEYS = st.one_of(st.slices(5), st.integers(0, 0))
FRAME_KEYS = st.builds(slice, st.none() | st.integers(0, 6), st.none() | st.integers(0, 7))


@given(scans(), st.tuples(KEYS, KEYS), st.tuples(FRAME_KEYS, FRAME_KEYS))
def test_slices(scan: CountedScan, places: tuple[Any, Any], frame: tuple[Any, Any]) -> None:
    found, dense = scan[(*places, *frame)], scan.dense()[(*places, *frame)]
    if isinstance(found, CountedScan):
        ranges = tuple(slice(k, k + 1) if isinstance(k, int) else k for k in places)
        dense = scan.dense()[(*ranges, *frame)]
        assert found.shape == dense.shape
        found = found.dense()
    assert (found == dense).all()


@given(scans(), st.integers(1, 3))
def test_bins(scan: CountedScan, factor: int) -> None:
    (sy, sx), (ky, kx) = (tuple(n // factor for n in shape) for shape in (scan.scan_shape, scan.frame_shape))
    dense = scan.dense()
    frame = dense[:, :, : ky * factor, : kx * factor].reshape(*scan.scan_shape, ky, factor, kx, factor).sum((3, 5))
    assert (scan.bin_frame(factor).dense() == frame).all()
    places = dense[: sy * factor, : sx * factor].reshape(sy, factor, sx, factor, *scan.frame_shape).sum((1, 3))
    assert (scan.bin_scan(factor).dense() == places).all()


@given(scans(), st.integers(0, 4))
def test_flyback(scan: CountedScan, columns: int) -> None:
    if columns < scan.scan_shape[1]:
        assert (scan.without_flyback(columns).dense() == scan.dense()[:, : scan.scan_shape[1] - columns]).all()
    else:
        with pytest.raises(ParameterError, match="a line has"):
            scan.without_flyback(columns)


def test_a_mask_chooses_positions() -> None:
    scan = CountedScan(np.array([0, 1, 2, 2, 4]), np.array([0, 1, 2, 3], np.uint32), (2, 2), (2, 2))
    mask = np.array([[False, True], [False, True]])
    chosen = scan[mask]
    assert isinstance(chosen, CountedScan) and chosen.scan_shape == (1, 2)
    assert (chosen.dense()[0] == scan.dense()[mask]).all()
    with pytest.raises(IndexError, match="scan's shape"):
        scan[np.array([True])]


def test_what_cannot_be() -> None:
    with pytest.raises(ParameterError, match="4 positions, but there are 1 frames"):
        CountedScan(np.array([0, 1]), np.array([0], np.uint32), (2, 2), (2, 2))
    scan = CountedScan(np.zeros(5, np.int64), np.zeros(0, np.uint32), (2, 2), (2, 2))
    with pytest.raises(IndexError, match="without a step"):
        scan[:, :, ::2]
    with pytest.raises(ParameterError, match="needed 4 positions"):
        scan.reshape((3, 1))
    assert scan.reshape((4, 1)).scan_shape == (4, 1) and scan.occupancy == 0
