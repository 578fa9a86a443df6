"""The laws of affines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import ParameterError
from emkit.transforms import Affine, Elastic

ANGLES, SCALES, SHIFTS = st.floats(-180, 180), st.floats(0.2, 5), st.floats(-1e4, 1e4)
POINTS = np.array([[0.0, 0.0], [0.0, 900.0], [700.0, 0.0], [-3.5, 12.25]])


@st.composite
def affines(draw: st.DrawFn) -> Affine:
    linear = Affine.rotation(draw(ANGLES)).linear @ np.diag([draw(SCALES), draw(SCALES)]) @ Affine.rotation(draw(ANGLES)).linear
    return Affine.of(linear, [draw(SHIFTS), draw(SHIFTS)])


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-6)


@given(affines(), affines())
def test_composition_is_one_map_after_the_other(f: Affine, g: Affine) -> None:
    close(f.compose(g).apply(POINTS), f.apply(g.apply(POINTS)))


@given(affines(), affines(), affines())
def test_composition_is_associative(f: Affine, g: Affine, h: Affine) -> None:
    close(f.compose(g).compose(h).apply(POINTS), f.compose(g.compose(h)).apply(POINTS))


@given(affines())
def test_the_inverse_undoes_the_map_on_either_side(f: Affine) -> None:
    close(f.invert().apply(f.apply(POINTS)), POINTS)
    close(f.apply(f.invert().apply(POINTS)), POINTS)


@given(affines(), st.integers(1, 16))
def test_a_shrunken_map_says_the_same_of_shrunken_images(f: Affine, factor: int) -> None:
    middle = (factor - 1) / 2  # of the first block, in full pixels
    close(f.shrunk(factor).apply(POINTS) * factor + middle, f.apply(POINTS * factor + middle))
    close(f.shrunk(factor).enlarged(factor).apply(POINTS), f.apply(POINTS))


def test_points_are_y_x_and_a_turn_takes_y_towards_x() -> None:
    close(Affine.translation(2, -1).apply([[10, 20]]), np.array([[12, 19]]))
    close(Affine.rotation(90).apply([[1, 0]]), np.array([[0, 1]]))
    close(Affine.rotation(37, (5, 6)).apply([[5, 6]]), np.array([[5, 6]]))


def test_equal_affines_are_equal_and_any_shape_of_points_is_kept() -> None:
    assert Affine.of(np.eye(2), (1, 2)) == Affine.translation(1, 2)
    assert len({Affine(), Affine.translation(0, 0)}) == 1
    assert Affine().apply(np.zeros((3, 4, 2))).shape == (3, 4, 2)


@pytest.mark.parametrize("linear", [np.zeros((2, 2)), [[1, 2], [2, 4]], [[1e-9, 0], [0, 0]]])
def test_a_flat_affine_has_no_inverse(linear: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="flattens the plane"):
        Affine.of(linear, (0, 0)).invert()


def test_a_map_between_very_different_pixel_sizes_has_one() -> None:
    tiny = Affine.of(np.eye(2) * 1e-9, (0, 0))
    close(tiny.invert().apply(tiny.apply(POINTS)), POINTS)


@st.composite
def elastics(draw: st.DrawFn) -> Elastic:
    """Smooth displacements that change by less than half a px a px."""
    field = np.random.default_rng(draw(st.integers(0, 2**31))).uniform(-1, 1, (6, 7, 2))
    return Elastic(draw(affines()), field * draw(st.floats(0, 20)), 150.0)


@given(elastics(), affines(), elastics())
def test_maps_of_any_kind_compose_in_any_order(f: Elastic, g: Affine, h: Elastic) -> None:
    close(f.compose(g)(POINTS), f(g(POINTS)))
    close(g.compose(h)(POINTS), g(h(POINTS)))
    close(f.compose(g.compose(h))(POINTS), f.compose(g).compose(h)(POINTS))


@given(elastics(), affines())
def test_any_map_is_undone_by_its_inverse(f: Elastic, g: Affine) -> None:
    for one in (f, f.compose(g), g.compose(f), f.invert().invert()):
        np.testing.assert_allclose(one.invert()(one(POINTS)), POINTS, atol=1e-4)


def test_a_map_that_bends_too_sharply_has_no_inverse() -> None:
    field = np.zeros((8, 8, 2))
    field[..., 0] = 30 * np.arange(8)[:, None]  # 1.5 px a px
    with pytest.raises(ParameterError, match="bends too sharply"):
        Elastic(Affine(), field, 20.0).invert()(np.column_stack([np.linspace(20, 100, 40), np.full(40, 40.0)]))
