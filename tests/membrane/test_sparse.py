"""Of strokes a twentieth of each class is left out, and is seen in windows; of few strokes none is."""

import numpy as np

from emkit.membrane.sampling import Field
from emkit.membrane.validation import LEAVE_OUT, SEEN, split_strokes


def field(strokes: int) -> Field:
    """So many strokes of each class, five pixels long, in two sections."""
    labels = np.zeros((2, 400, 500), np.uint8)
    for k in range(strokes):
        labels[k % 2, 8 * (k // 2), 10:15], labels[k % 2, 8 * (k // 2), 300:305] = 1, 2
    image = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    return Field(image, (labels == 2)[None].astype(np.float16), (labels == 1).astype(np.int32), labels != 0)


def test_a_twentieth_of_each_class_is_left_out() -> None:
    whole = field(2 * LEAVE_OUT)
    (learned,), windows = split_strokes(whole)
    assert learned.known.sum() == whole.known.sum() - 2 * 2 * 5
    assert windows.image.shape == (4, 256, 256) and windows.known.sum() == 4 * 5
    assert sorted((windows.maps[0] * windows.known).sum((1, 2))) == [0, 0, 5, 5]


def test_few_strokes_are_all_learned_from() -> None:
    (learned,), windows = split_strokes(whole := field(6))
    np.testing.assert_array_equal(learned.known, whole.known)
    assert windows.image.shape == (2 * SEEN, 256, 256) and windows.known.sum() == 2 * SEEN * 5
