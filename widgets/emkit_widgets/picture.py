"""Numbers as a grey picture."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def grey_png(values: NDArray[Any], black: float, white: float) -> bytes:
    """(y, x) numbers as a PNG of 8 bits, black at or below one value and white at or above another; NaN is black."""
    grey = np.clip((values.astype(np.float64) - black) * (255 / max(white - black, 1e-30)), 0, 255)
    Image.fromarray(np.nan_to_num(grey).astype(np.uint8)).save(file := BytesIO(), "PNG", compress_level=1)
    return file.getvalue()
