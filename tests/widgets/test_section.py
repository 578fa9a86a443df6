"""What the section viewer sends. How it is drawn is seen in tests/browser/test_section.py."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from emkit_widgets.section import SHOWN_PX, SectionView, encode
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from emkit.errors import ParameterError

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
kinds = st.sampled_from([np.uint8, np.uint16, np.int16, np.float32])


def values(header: dict[str, Any], pixels: bytes) -> np.ndarray:
    """What the browser makes of a message."""
    if header["encoding"] == "jpeg":
        codes = np.asarray(Image.open(BytesIO(pixels)))
    else:
        codes = np.frombuffer(pixels, f"uint{header['bits']}").reshape(header["shape"])
    first, last = header["range"]
    return np.asarray(first + codes * ((last - first) / (2 ** header["bits"] - 1)))


@given(st.data())
def test_raw_is_exact_to_half_a_code(data: st.DataObject) -> None:
    kind = data.draw(kinds)
    section = data.draw(arrays(kind, shapes, elements=st.integers(0, 255) if kind is np.uint8 else st.integers(0, 30_000)))
    header, pixels = encode(section, jpeg=False)
    code = (header["range"][1] - header["range"][0]) / (2 ** header["bits"] - 1)
    np.testing.assert_allclose(values(header, pixels), section, atol=0 if section.dtype.kind == "u" else 0.51 * code + 1e-3)


def test_jpeg_is_close() -> None:
    y, x = np.indices((256, 256))
    section = (20_000 + 10_000 * np.sin(x / 20) * np.cos(y / 30)).astype(np.uint16)
    header, pixels = encode(section, jpeg=True)
    assert header["encoding"] == "jpeg" and len(pixels) < section.nbytes / 10
    np.testing.assert_allclose(values(header, pixels), section, atol=800)


def test_a_section_larger_than_a_screen_is_reduced_by_means() -> None:
    section = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((SHOWN_PX, SHOWN_PX), np.uint8))
    header, pixels = encode(section, jpeg=False)
    assert header["step"] == 4 and header["shape"] == [SHOWN_PX // 2, SHOWN_PX]
    np.testing.assert_array_equal(values(header, pixels), section[::4, ::4])


def test_nan_is_drawn_dark_and_says_nothing() -> None:
    section = np.array([[np.nan, 1.0], [2.0, 3.0]], np.float32)
    np.testing.assert_allclose(values(*encode(section, jpeg=False)), [[1, 1], [2, 3]], atol=1e-3)


def test_refusals_and_bounds() -> None:
    with pytest.raises(ParameterError, match="empty"):
        SectionView(np.zeros((0, 4, 4), np.uint8))
    with pytest.raises(ParameterError, match="2 names for 3 sections"):
        SectionView(np.zeros((3, 4, 4), np.uint8), names=["a", "b"])
    view = SectionView(np.zeros((3, 4, 4), np.uint8))
    view.compare(-5, 7, "overlay")
    assert (view.index, view.other, view.mode) == (0, 2, "overlay")
