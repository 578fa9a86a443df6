"""Landmarks choose the one map that all sections share: a planted one comes back, by as much freedom as they have."""

import numpy as np
import pytest

from emkit.align import Landmark, align_stack
from emkit.align.landmarks import pin
from emkit.errors import ParameterError
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine

SECTIONS = (Affine(), Affine.of([[0.9, 0.1], [-0.05, 1.05]], (3, -7)), Affine.rotation(20, (50, 50)))
PLACES = ((10.0, 12.0), (90.0, 20.0), (40.0, 95.0), (77.0, 66.0))
SHIFT, TURN = Affine.translation(12.5, -30), Affine.rotation(90, (30, 40)).compose(Affine.of(np.eye(2) * 1.5, (4, 4)))
SHEAR = Affine.of([[1.1, 0.2], [0.05, 0.9]], (3, 3))


def marks(space: Affine, count: int, places: tuple[tuple[float, float], ...] = PLACES) -> list[Landmark]:
    """Some, each in another section, where ``space`` takes canvas px to those on which `SECTIONS` stand."""
    found = []
    for k, place in enumerate(places[:count]):
        on_canvas = SECTIONS[k % 3].invert().apply(place)
        y, x = space.invert().apply(on_canvas).tolist()
        found.append(Landmark(k % 3, place, (y, x)))
    return found


@pytest.mark.parametrize(("space", "count"), [(SHIFT, 1), (TURN, 2), (SHEAR, 3), (SHEAR, 4)])
def test_a_planted_space_comes_back(space: Affine, count: int) -> None:
    pinned, off = pin(SECTIONS, marks(space, count))
    assert off.max() < 1e-9
    for before, after in zip(SECTIONS, pinned, strict=True):
        np.testing.assert_allclose(after.apply(PLACES), before.compose(space).apply(PLACES), atol=1e-8)


def test_points_on_a_line_do_not_shear() -> None:
    line = tuple((10.0 + 20 * k, 30.0) for k in range(4))
    pinned, off = pin((Affine(),), [Landmark(0, place, (place[0], place[1] + 5)) for place in line])
    np.testing.assert_allclose(pinned[0].apply([[0, 50]]), [[0, 45]], atol=1e-8)
    assert off.max() < 1e-8


def test_those_that_contradict_each_other_tell_by_how_much() -> None:
    _, off = pin((Affine(),), [Landmark(0, (0, 0), (0, 0)), Landmark(0, (0, 100), (0, 110)), Landmark(0, (0, 50), (8, 55))])
    assert 1 < off.max() < 8


def test_a_stack_lies_where_landmarks_say() -> None:
    phantom = SectionPhantom(shape=(192, 192), count=3, seed=4)
    stack = np.stack([phantom.render_section(z) for z in range(3)])
    free = align_stack(stack)
    wanted = [Landmark(1, (60.0, 70.0), (100.0, 90.0))]
    pinned = align_stack(stack, landmarks=wanted)
    np.testing.assert_allclose(pinned[1]([[100, 90]]), [[60, 70]], atol=1e-6)
    before, after = (maps[2](maps[0].invert()([[80, 80], [20, 150]])) for maps in (free, pinned))
    np.testing.assert_allclose(after, before, atol=1e-6)  # sections lie on each other as before
    with pytest.raises(ParameterError, match="landmarks: found section 7; needed: some of sections 0 to 2"):
        align_stack(stack, landmarks=[Landmark(7, (0, 0), (0, 0))])
