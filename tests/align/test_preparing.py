"""Sections as they are matched: what is left out is left out, contrast is even, and px are told in those of the image."""

import numpy as np
import pytest
from skimage.exposure import equalize_adapthist

from emkit.align import match_pair
from emkit.align.options import MatchOptions
from emkit.align.preparing import CLIP, TILE_PX, Preparing, equalise
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine

PHANTOM = SectionPhantom(shape=(320, 384), count=2, seed=5)
SECTION = PHANTOM.render_section(0)


def test_as_it_is_nothing_changes() -> None:
    section = SECTION.copy()
    section[:20] = 0
    np.testing.assert_array_equal(Preparing().of(section), section)


@pytest.mark.parametrize("contrast", ["as-imaged", "normalised", "clahe"])
def test_artefacts_are_no_data_and_the_rest_is(contrast: str) -> None:
    section = np.clip(SECTION, 20, 200)
    section[40:80, 60:90], section[200:230, 10:50] = 255, 3
    prepared = Preparing(contrast, (10, 210)).of(section)  # type: ignore[arg-type]
    assert not prepared[40:80, 60:90].any() and not prepared[200:230, 10:50].any()
    assert (prepared != 0).sum() == section.size - 40 * 30 - 30 * 40
    assert prepared.dtype == np.uint8


def test_px_that_are_averaged_are_those_that_are_known() -> None:
    section = np.full((8, 8), 100, np.uint16)
    section[:2, :2], section[4:, 4:7] = 0, 0  # a half of one block of 4 is known at least, of the last a quarter
    np.testing.assert_array_equal(Preparing(downscale=4).of(section), [[100, 100], [100, 0]])
    assert Preparing(downscale=4).shape((11, 9)) == (2, 2)


@pytest.mark.parametrize("contrast", ["normalised", "clahe"])
def test_uneven_light_is_evened(contrast: str) -> None:
    light = np.linspace(0.3, 1.0, SECTION.shape[1])
    prepared = Preparing(contrast).of((SECTION * light).astype(np.uint8))  # type: ignore[arg-type]
    left, right = prepared[:, :128].astype(float), prepared[:, -128:].astype(float)
    assert left.mean() == pytest.approx(right.mean(), rel=0.3)  # from 0.4 of it
    assert left.std() == pytest.approx(right.std(), rel=0.3)


def test_equalisation_is_that_of_scikit_image_but_for_its_borders() -> None:
    grey = SECTION[:256, :384].astype(np.float32)
    theirs = equalize_adapthist(SECTION[:256, :384], kernel_size=TILE_PX, clip_limit=CLIP / 256)
    ours = equalise(grey, np.ones(grey.shape, bool))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97


def test_a_match_of_shrunken_sections_is_told_in_px_of_the_image() -> None:
    shrunk, moving = Preparing(downscale=2), PHANTOM.render_section(1)
    full = match_pair(SECTION, moving)
    small = shrunk.match(match_pair(shrunk.of(SECTION), shrunk.of(moving)))
    inner = np.array([[60.0, 60], [60, 320], [260, 60], [260, 320]])
    assert np.abs(small.affine(inner) - full.affine(inner)).max() < 1
    points = ((10.5, 20.5, 12.5, 16.5),) * 3
    assert shrunk.options(MatchOptions(None, 0.4, 8, 100, points)) == MatchOptions(None, 0.4, 4, 50, ((5, 10, 6, 8),) * 3)
    assert shrunk.match(match_pair(SECTION, SECTION)).affine(inner) == pytest.approx(Affine()(inner), abs=0.05)
