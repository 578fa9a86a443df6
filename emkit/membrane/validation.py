"""How good a network is on what was left out of its training. Axis order is (z, y, x)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emkit.measure.membranes import THRESHOLDS, PixelCounts, line_scores
from emkit.measure.partitions import mean_scores
from emkit.membrane.sampling import Field, Floats

QUICK = (0.03, 0.08, 0.2, 0.4)  # thresholds of V-Rand while training goes on
LEAST_SECTIONS = 5  # of which one can be left out
LEAVE_OUT = 20
SEEN, SEEN_PX = 4, 256  # strokes of a class that are validated on, and the side of what is predicted around each


def split(fields: Sequence[Field], dim: int, stride: tuple[int, int, int]) -> tuple[list[Field], Field]:
    """What to learn from, and a twentieth to validate on: sections, where there are some, else the last rows of each.

    It is taken from the end of the last piece. DataError is not raised here: what remains may be too small for a patch.
    """
    *others, last = fields
    depth, height = last.known.shape[:2]
    least = stride[0] if dim == 3 else 1
    if depth >= max(LEAST_SECTIONS, 8 * least):
        cut = depth - max(least, depth // 20 // least * least)
        return [*others, last.part(slice(0, cut))], last.part(slice(cut, depth))
    rows = max(stride[1], height // 8 // stride[1] * stride[1])
    return [*others, last.part(slice(None), slice(0, height - rows))], last.part(slice(None), slice(height - rows, height))


def split_strokes(field: Field) -> tuple[list[Field], Field]:
    """What to learn from, and windows around some strokes to validate on: a twentieth of each class is left out.

    What is painted of one class without a gap is a stroke. With fewer than twenty strokes of a class nothing is left out, and the
    windows are around the last of each class. Each window stands as a section of its own, (n, y, x).
    """
    from scipy import ndimage

    within_sections = np.zeros((3, 3, 3), bool)
    within_sections[1] = True
    shown, left = [], []
    for of_class in (field.known & (field.ids != 0), field.known & (field.ids == 0)):
        strokes, count = ndimage.label(of_class, within_sections)
        boxes = ndimage.find_objects(strokes)
        chosen = range(LEAVE_OUT - 1, count, LEAVE_OUT)
        left.append([(strokes == n + 1, boxes[n]) for n in chosen])
        shown.append([(strokes == n + 1, boxes[n]) for n in range(count)[-SEEN:]])
    used = left if all(left) else shown
    side = [min(SEEN_PX, size) for size in field.known.shape[1:]]
    parts = [_around(field, stroke, box, side) for one in used for stroke, box in one[:SEEN]]
    windows = Field(
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.maps for part in parts], 1),
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.known for part in parts]),
    )
    learned = field.known.copy()
    for stroke, _ in [pair for one in left for pair in one] if all(left) else []:
        learned &= ~stroke
    return [Field(field.image, field.maps, field.ids, learned)], windows


def _around(field: Field, stroke: NDArray[np.bool_], box: tuple[slice, ...], side: Sequence[int]) -> Field:
    """A window with the middle of a stroke in it, where nothing but that stroke is known."""
    spans = zip(box[1:], side, field.known.shape[1:], strict=True)
    y, x = (min(max((at.start + at.stop - n) // 2, 0), size - n) for at, n, size in spans)
    z, rows, columns = slice(box[0].start, box[0].start + 1), slice(y, y + side[0]), slice(x, x + side[1])
    at = (z, rows, columns)
    return Field(field.image[at], field.maps[:, *at], field.ids[at], (field.known & stroke)[at])


def scores(field: Field, found: Floats, dim: int, *, quick: bool) -> dict[str, float]:
    """IoU and F1 of the first target, cut at the best threshold, and V-Rand and V-Info of sections if it is membrane (2D)."""
    probability, true = found[0], field.maps[0] > 0.5
    counts = [PixelCounts.of(probability[field.known], true[field.known], threshold) for threshold in THRESHOLDS]
    best = max(counts, key=lambda one: one.iou)
    told = {"iou": best.iou, "f1": best.f1}
    if dim == 2 and field.known.all():
        chosen = QUICK if quick else THRESHOLDS
        sections = [line_scores(p, ids.astype(np.int64), chosen) for p, ids in zip(probability, field.ids, strict=True)]
        by_threshold = [mean_scores(found) for found in zip(*sections, strict=True)]
        told |= {name: max(one[name] for one in by_threshold if name in one) for name in ("v_rand", "v_info")}
    return told
