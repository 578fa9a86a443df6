"""The field of PyReconstruct: points (x, y), lengths from the lower left corner of an image, y upwards.

A transform takes points of a section to points of the aligned field, six numbers ``a b tx c d ty`` with x' = a x + b y + tx and
y' = c x + d y + ty; px in lists of transforms, µm in projects. So a section of ``height`` px has px (y, x) at the point
(x + 1/2, height - 1/2 - y) px. The aligned field begins at the lower left corner of a common space that is as high as its
sections. Source: PyReconstruct 1.20, `datatypes/transform.py` and `backend/view/image_layer.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from emkit.io.alignments.placed import of_xy_rows, xy_rows
from emkit.transforms import Affine


def field(height: int, unit: float = 1.0) -> Affine:
    """Px (y, x) of an image of ``height`` px → point (y, x) of its field, in lengths of which a px has ``unit``."""
    return Affine(((-unit, 0.0, (height - 0.5) * unit), (0.0, unit, 0.5 * unit)))


def to_six(affine: Affine, height: int, common: int, unit: float = 1.0, common_unit: float = 1.0) -> list[float]:
    """``affine`` (px of the common space → px of the section) as a transform, of a section and a space of these heights, px."""
    first, second = xy_rows(field(common, common_unit).compose(affine.invert()).compose(field(height, unit).invert()))
    return [*first, *second]


def of_six(six: Sequence[float], height: int, common: int, unit: float = 1.0, common_unit: float = 1.0) -> Affine:
    """The way back: px of the common space → px of the section."""
    transform = of_xy_rows([six[:3], six[3:]])
    return field(height, unit).invert().compose(transform.invert()).compose(field(common, common_unit))
