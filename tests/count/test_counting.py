"""Events are where they were planted, and every kernel says what the definition says."""

import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from emkit.count import CountedScan, Thresholds, count_frames, device
from emkit.count.definition import Ties, corrected, events
from emkit.count.device import by_torch
from emkit.count.jit import by_numba
from emkit.count.kernel import LIBRARY, bounds, by_compiler
from emkit.errors import DataError, EmkitError, ParameterError, ResourceError

TYPES = ("uint8", "uint16", "int16", "uint32", "int32", "int64", "uint64")
shapes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 70))


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None, Thresholds]:
    """Frames with few levels, so that ties and X-rays are common, and references of all kinds."""
    dtype = draw(st.sampled_from(TYPES))
    shape, top = draw(shapes), draw(st.sampled_from((2, 5, 100)))
    frames = draw(arrays.arrays(dtype, shape, elements=st.integers(0, top)))
    dark = draw(st.none() | arrays.arrays("int32", shape[1:], elements=st.integers(0, 3)) |
                arrays.arrays("float32", shape[1:], elements=st.sampled_from((0.0, 0.25, 1.5))))  # fmt: skip
    gain = draw(st.none() | st.none() | arrays.arrays("float32", shape[1:], elements=st.sampled_from((0.5, 1.0, 1.25))))
    background = draw(st.sampled_from((0.0, 0.5, 1.0, 2.2)))
    return frames, dark, gain, Thresholds(background, background + draw(st.sampled_from((0.5, 2.0, 60.0, inf))))


@given(cases(), st.sampled_from(("keep", "drop")))
def test_it_is_as_defined(case: tuple[NDArray[Any], Any, Any, Thresholds], ties: Ties) -> None:
    frames, dark, gain, thresholds = case
    scan = count_frames(frames, thresholds, dark, gain, ties=ties)
    whole = dark is not None and gain is None and (dark == np.floor(dark)).all()
    for k, frame in enumerate(frames):
        v = corrected(frame, dark.astype(np.int64) if whole else dark, gain)
        assert scan.indices[scan.offsets[k] : scan.offsets[k + 1]].tolist() == events(v, thresholds, ties).tolist()


@given(cases(), st.sampled_from(("keep", "drop")))
def test_the_kernels_are_twins(case: tuple[NDArray[Any], Any, Any, Thresholds], ties: Ties) -> None:
    frames, dark, _, thresholds = case
    kind = np.dtype(np.float32 if dark is not None and dark.dtype.kind == "f" else "uint16" if frames.itemsize < 4 else "int64")
    given = np.ascontiguousarray(frames, kind), None if dark is None else np.ascontiguousarray(dark, kind)
    low, high = bounds(thresholds, kind)
    twins = [
        by_compiler(*given, low, high, ties),
        by_compiler(*given, low, high, ties, fastest=False),
        by_numba(*given, low, high, ties),
        by_torch(*given, low, high, ties, device="cpu"),
    ]
    for found, ends in twins[1:]:
        assert found.tolist() == twins[0][0].tolist() and ends.tolist() == twins[0][1].tolist()


@given(st.data())
def test_planted_electrons_are_found(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 100))
    places = data.draw(st.sets(st.tuples(st.integers(0, (height - 1) // 2), st.integers(0, (width - 1) // 2)), max_size=60))
    frame = np.random.default_rng(len(places)).integers(0, 20, (1, height, width)).astype(np.uint16)
    planted = sorted(2 * y * width + 2 * x for y, x in places)  # no two are neighbours
    frame.ravel()[planted] = data.draw(st.lists(st.integers(30, 900), min_size=len(planted), max_size=len(planted)))
    assert count_frames(frame, Thresholds(28.5, 1000)).indices.tolist() == planted


@pytest.mark.parametrize(
    ("pixels", "keep", "drop"),
    [
        ([[7]], [0], [0]),
        ([[7, 7]], [0], []),
        ([[0, 7, 0], [7, 0, 7]], [1], []),  # one plateau, though its ends do not touch
        ([[7, 0, 7], [0, 7, 0]], [0], []),
        ([[7, 7, 9]], [2], [2]),  # a plateau with a greater neighbour is none
        ([[5, 2000, 5]], [0, 2], [0, 2]),  # the shoulders of an X-ray
        ([[7, 0, 0], [0, 0, 0], [0, 0, 7]], [0, 8], [0, 8]),
        ([[1, 1], [1, 1]], [], []),  # not above the background
    ],
)
def test_ties_and_xrays(pixels: list[list[int]], keep: list[int], drop: list[int]) -> None:
    frame = np.array([pixels], np.uint16)
    for ties, wanted in (("keep", keep), ("drop", drop)):
        assert count_frames(frame, Thresholds(1, 1000), ties=ties).indices.tolist() == wanted  # type: ignore[arg-type]


def test_a_plateau_as_large_as_a_frame_is_one_event() -> None:
    assert count_frames(np.full((2, 576, 576), 7, np.uint16), Thresholds(1, 100)).indices.tolist() == [0, 0]


def test_thresholds_are_exact_also_between_numbers_of_32_bit() -> None:
    dark = np.full((1, 3), 0.1, np.float32)  # v is float32: 16777216 - 0.1 is 16777216 there
    scan = count_frames(np.array([[[3, 0, 5]]], np.uint16), Thresholds(float(np.float32(2.9)) + 1e-12, 100), dark)
    assert scan.indices.tolist() == [2]


@pytest.mark.parametrize(("each", "shape"), [(1, (2, 3)), (2, (2, 3)), (4, (1, 6))])
def test_frames_of_one_position_are_kept_apart(each: int, shape: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 50, (6 * each, 8, 9)).astype(np.uint16)
    row = count_frames(frames, Thresholds(20, 100), scan_shape=shape)
    grid = count_frames(frames.reshape(*shape, each, 8, 9), Thresholds(20, 100))
    assert row.scan_shape == grid.scan_shape == shape and len(row) == 6 * each
    assert row.positions.tolist() == grid.positions.tolist() == np.repeat(np.arange(6), each).tolist()
    assert row.indices.tolist() == grid.indices.tolist()
    assert (row.sum("frame") == row.dense().sum((2, 3))).all()


def test_a_gpu_takes_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(0).integers(0, 5, (7, 20, 31)).astype(np.uint16)
    whole = by_torch(frames, None, 2, 5, "keep", device="cpu")
    monkeypatch.setattr(device, "PIXELS", 1500)
    parts = by_torch(frames, None, 2, 5, "keep", device="cpu")
    assert whole[0].tolist() == parts[0].tolist() and whole[1].tolist() == parts[1].tolist()
    plateau = np.full((1, 40, 40), 7, np.uint16)
    plateau.flags.writeable = False
    assert by_torch(plateau, None, 1, 9, "keep", device="cpu")[0].tolist() == [0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize(("name", "said"), [("cuda", "sees 0 GPUs here"), ("abacus", 'needed "cpu", "cuda"')])
def test_a_gpu_that_is_not_there(name: str, said: str) -> None:
    with pytest.raises(ResourceError, match=said):
        count_frames(np.zeros((1, 4, 4), np.uint16), Thresholds(1, 2), device=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
@given(cases(), st.sampled_from(("keep", "drop")))
def test_a_gpu_finds_the_same(case: tuple[NDArray[Any], Any, Any, Thresholds], ties: Ties) -> None:
    frames, dark, gain, thresholds = case
    here, there = (count_frames(frames, thresholds, dark, gain, ties=ties, device=where) for where in ("cpu", "cuda"))
    assert here.indices.tolist() == there.indices.tolist() and here.offsets.tolist() == there.offsets.tolist()


def test_an_input_that_is_not_contiguous() -> None:
    frames = np.random.default_rng(0).integers(0, 50, (4, 16, 40)).astype(np.uint16)
    cut = frames[::2, :, 3:35]
    assert count_frames(cut, Thresholds(20, 60)).indices.tolist() == count_frames(cut.copy(), Thresholds(20, 60)).indices.tolist()


FRAMES = np.zeros((6, 4, 5), np.uint16)


@pytest.mark.parametrize(
    ("given", "refusal", "said"),
    [
        (
            {"scan_shape": (2, 4)},
            ParameterError,
            r"found 6 frames, but 2 x 4 positions need 8: 2 are missing from position \(sy=1, sx=2\) on",
        ),
        ({"scan_shape": (2, 4)}, ParameterError, r"give scan_shape=\(1, 4\)"),
        ({"scan_shape": (1, 4)}, ParameterError, "2 are too many"),
        ({"frames": FRAMES.astype(np.float32)}, DataError, "found float32, needed whole numbers"),
        ({"frames": FRAMES[0]}, ParameterError, r"found the shape \(4, 5\)"),
        ({"dark": np.zeros((5, 4))}, ParameterError, r"dark: found the shape \(5, 4\), but frames are \(4, 5\)"),
        ({"dark": np.full((4, 5), -1)}, DataError, r"dark: 20 pixels are not usable, the first at \(ky=0, kx=0\) with -1"),
        ({"dark": np.full((4, 5), np.nan)}, DataError, "20 pixels are not usable"),
        ({"gain": np.zeros((4, 5))}, DataError, "gain: 20 pixels.*finite numbers above 0"),
        ({"ties": "maybe"}, ParameterError, "ties: found 'maybe'"),
    ],
)
def test_bad_input(given: dict[str, Any], refusal: type[EmkitError], said: str) -> None:
    with pytest.raises(refusal, match=said):
        count_frames(**{"frames": FRAMES, "thresholds": Thresholds(1, 2), **given})


@pytest.mark.parametrize(("background", "xray"), [(5, 5), (9, 2), (float("nan"), 3), (1, float("nan")), (-1, 3), (inf, inf)])
def test_thresholds_that_are_none(background: float, xray: float) -> None:
    with pytest.raises(ParameterError, match="0 <= background < xray"):
        Thresholds(background, xray)


def test_no_frames_are_a_scan_of_none() -> None:
    scan = count_frames(np.zeros((0, 4, 5), np.uint16), Thresholds(1, 2))
    assert isinstance(scan, CountedScan) and scan.events == 0 and len(scan) == 0


def test_the_kernel_is_built_where_a_compiler_is() -> None:
    assert LIBRARY.is_file(), "installing emkit builds it where cc is; scripts/setup does"


def test_without_a_compiler_numba_does_it(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; import emkit.count.kernel as kernel; kernel.LIBRARY = Path('none'); import numpy as np\n"
        "from emkit.count import *; frame = np.array([[[0, 9, 0, 0, 7]]], np.uint16)\n"
        "print(count_frames(frame, Thresholds(1, 100)).indices.tolist())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[1, 4]"
