"""Tools paint exactly the pixels that their definitions name."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emkit.membrane.painting import brushed, flooded, side_of

coordinate = st.integers(-10, 40)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=4), st.floats(0.5, 6))
def test_a_brush_covers_what_is_near_its_line(points: list[tuple[int, int]], radius: float) -> None:
    mask, (top, left) = brushed(points, radius, (30, 30))
    found = np.zeros((30, 30), bool)
    found[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    y, x = np.indices((30, 30))
    least = np.full((30, 30), np.inf)  # from the line itself, which the pixels of the drawn one are half a pixel off at most
    for (a, b), (c, d) in zip(points, points[1:] or points, strict=False):
        along = ((y - a) * (c - a) + (x - b) * (d - b)) / max((c - a) ** 2 + (d - b) ** 2, 1)
        along = along.clip(0, 1)
        least = np.minimum(least, np.hypot(y - a - along * (c - a), x - b - along * (d - b)))
    assert found[least < radius - 0.75].all() and not found[least > radius + 0.75].any()


def test_a_flood_ends_at_membranes() -> None:
    probability = np.zeros((20, 20), np.uint8)
    probability[:, 10] = 200
    free = side_of(probability, 1, 128)
    left = flooded(free, (5, 5))
    assert left[:, :10].all() and not left[:, 10:].any()
    assert not flooded(free, (5, 10)).any()
    assert flooded(side_of(probability, 2, 128), (5, 10)).sum() == 20
