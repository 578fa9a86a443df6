"""What sections of an aligned volume bend by: a file each, numpy's .npy, in the folder ``fields`` of the volume.

A field is (rows, columns, 2) float32, px: the coefficients of a cubic B-spline u, the first at (-spacing, -spacing) and one every
``spacing_px``. The section pixel that output pixel p shows is ``affine(p + u(p))`` (`emkit.transforms.Elastic`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emkit.errors import DamagedError
from emkit.transforms import Affine, Elastic

FOLDER = "fields"


def field_name(z: int) -> str:
    """Where the field of a section lies in its volume."""
    return f"{FOLDER}/{z}.npy"


def read_elastic(volume: Path, z: int, affine: Affine, spacing_px: float) -> Elastic:
    """The map of a section, output px → section px. DamagedError if its field is not whole."""
    file = Path(volume) / field_name(z)
    try:
        field = np.load(file)
    except (OSError, ValueError, EOFError) as wrong:
        raise DamagedError(f"{file} is not the field of section {z}: {wrong}. Repair the volume, or align again.") from None
    if field.ndim != 3 or field.shape[2] != 2 or min(field.shape[:2]) < 4 or not np.isfinite(field).all():
        raise DamagedError(f"{file} holds the shape {field.shape}; needed: finite (rows, columns, 2), 4 each way at least.")
    return Elastic(affine, field.astype(float), spacing_px)
