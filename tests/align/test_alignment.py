"""The doors: maps between two sections whose truth is planted, and what cannot be aligned, refused by name."""

import numpy as np
import pytest
from scipy import ndimage

from emkit.align import align_pair
from emkit.errors import DataError, ParameterError
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine, Elastic

SHAPE = (384, 384)
STILL = SectionPhantom(shape=SHAPE, count=2, seed=11, jitter=0)
INNER = np.stack(np.meshgrid(np.linspace(60, 320, 9), np.linspace(60, 320, 9), indexing="ij"), axis=-1).reshape(-1, 2)


def seen_through(image: np.ndarray, mapping: Affine | Elastic, noise: float = 6) -> np.ndarray:
    """f(p) = image(mapping(p)), with noise of its own."""
    at = np.moveaxis(mapping(np.moveaxis(np.indices(image.shape), 0, -1).astype(float)), -1, 0)
    seen = ndimage.map_coordinates(image.astype(float), at, order=3, mode="mirror")
    pixels: np.ndarray = np.clip(seen + np.random.default_rng(5).normal(0, noise, image.shape), 1, 255).astype(np.uint8)
    return pixels


def bent(seed: int, rms_px: float) -> Elastic:
    draw = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(draw.normal(size=(14, 14, 2)), (1.3, 1.3, 0))
    return Elastic(Affine.rotation(1.5, (192, 192)), field * rms_px / field.std(), 40.0)


def error_px(found: object, truth: Affine | Elastic) -> float:
    assert callable(found)
    return float(np.median(np.hypot(*(found(INNER) - truth(INNER)).T)))


def test_an_affine_comes_back_to_hundredths_of_a_px() -> None:
    truth = Affine.rotation(3, (192, 192)).compose(Affine.of([[1.02, 0.01], [0, 0.98]], (5, -9)))
    moving = STILL.render_section(0)
    assert error_px(align_pair(seen_through(moving, truth), moving), truth) < 0.04


def test_an_elastic_map_comes_back_where_an_affine_cannot() -> None:
    truth, moving = bent(3, 3.0), STILL.render_section(0)
    fixed = seen_through(moving, truth)
    stiff, soft = align_pair(fixed, moving), align_pair(fixed, moving, model="elastic")
    assert error_px(stiff, truth) > 1.5
    assert error_px(soft, truth) < 0.4
    np.testing.assert_allclose(soft.invert()(soft(INNER)), INNER, atol=1e-5)


def test_sections_may_differ_in_size() -> None:
    moving = STILL.render_section(0)
    truth = Affine.translation(30, 12)
    assert error_px(align_pair(moving[30:, 12:300], moving), truth) < 0.05


def test_a_section_upside_down_is_turned() -> None:
    moving = STILL.render_section(0)
    truth = Affine.rotation(180, (191.5, 191.5))
    assert error_px(align_pair(seen_through(moving, truth), moving), truth) < 0.1


def test_a_mirrored_section_is_named_and_flipped_with_leave() -> None:
    moving = STILL.render_section(0)
    fixed = seen_through(moving, Affine.translation(6, -4))[:, ::-1].copy()
    with pytest.raises(DataError, match=r"moving section is mirrored: flipped left to right it matches with SNR"):
        align_pair(fixed, moving)
    truth = Affine.of([[1, 0], [0, -1]], (6, 383 - 4))
    assert error_px(align_pair(fixed, moving, mirrored=True), truth) < 0.1


def test_unrelated_sections_are_refused_with_their_scores() -> None:
    stranger = SectionPhantom(shape=SHAPE, count=1, seed=99, jitter=0).render_section(0)
    with pytest.raises(
        DataError, match=r"no more than strangers do.* Found: SNR \d\.\d\d in patches of 128 px, \d\.\d\d as wholes"
    ):
        align_pair(STILL.render_section(0), stranger)


@pytest.mark.parametrize(("blank", "named"), [(0, "fixed"), (1, "moving")])
def test_a_blank_section_is_named(blank: int, named: str) -> None:
    pair = [STILL.render_section(0), STILL.render_section(1)]
    pair[blank] = np.full(SHAPE, 40, np.uint8)
    with pytest.raises(DataError, match=f"the {named} one is blank"):
        align_pair(pair[0], pair[1])


def test_a_huge_shift_is_found_or_refused_but_never_guessed() -> None:
    wide = SectionPhantom(shape=(384, 700), count=1, seed=11, jitter=0).render_section(0)
    fixed, moving = wide[:, 150:534], wide[:, :384]
    assert float(np.abs(align_pair(fixed, moving)([[192.0, 100.0]]) - [192, 250]).max()) < 0.2
    with pytest.raises(DataError, match="cannot be aligned"):
        align_pair(wide[:, 316:], wide[:, :384], max_shift_px=100)


def test_what_is_no_section_is_refused() -> None:
    with pytest.raises(ParameterError, match="model: found 'rigid'"):
        align_pair(np.zeros(SHAPE), np.zeros(SHAPE), model="rigid")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"moving: found an array of shape \(3, 384, 384\)"):
        align_pair(np.zeros(SHAPE), np.zeros((3, *SHAPE)))
