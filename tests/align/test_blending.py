"""Pixels of a montage: windows fit together exactly, light is matched, nothing shows a seam."""

import numpy as np
from numpy.typing import NDArray

from emkit.align import solve_montage
from emkit.align.blending import Light, match_light, render_montage
from emkit.align.overlaps import Overlap
from emkit.transforms import Affine
from tests.align.test_montage import SHAPE, Cut


def lit(fixed: int, moving: int, light: list[float]) -> Overlap:
    return Overlap(fixed, moving, np.zeros(2), 9, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.array(light))


def test_light_is_matched_in_mean_and_contrast_along_a_chain() -> None:
    lights = match_light(4, [lit(0, 1, [120, 40, 100, 30]), lit(1, 2, [105, 32, 130, 44])])
    for i, j, (mean, spread, other, wide) in ((0, 1, (120, 40, 100, 30)), (1, 2, (105, 32, 130, 44))):
        a, b = lights[i], lights[j]
        assert abs(a.gain * mean + a.offset - b.gain * other - b.offset) < 0.5
        assert abs(a.gain * spread - b.gain * wide) < 0.5
    assert lights[3] == Light()


def test_windows_fit_together_whatever_their_size() -> None:
    cut = Cut(1, 2)
    montage = solve_montage(cut.tiles, cut.nominal)
    lights = match_light(2, montage.overlaps)

    def window(start: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
        return render_montage(cut.tiles.__getitem__, SHAPE, list(montage), lights, start, size)

    whole = window((-8, -8), (256, 460))
    parts = np.block([[window((-8, -8), (100, 201)), window((-8, 193), (100, 259))], [window((92, -8), (156, 460))]][:1])
    assert np.abs(parts.astype(int) - whole[:100]).max() <= 1  # a spline forgets slowly what lies beyond its window
    assert whole[:, 230:250].std() > 10


def test_a_lone_tile_is_shown_as_it_is_and_beyond_it_nothing() -> None:
    tile = np.random.default_rng(1).integers(1, 255, (80, 90), dtype=np.uint8)
    seen = render_montage(lambda _: tile, (80, 90), [Affine.translation(10, -5)], [Light()], (0, 0), (100, 90))
    assert np.array_equal(seen[10:90, :85], tile[:, 5:])
    assert not seen[:10].any()
    assert not seen[90:].any()
    assert not seen[:, 85:].any()


def test_tiles_of_other_light_give_one_picture_without_a_seam() -> None:
    cut = Cut(1, 2)
    bright = [cut.tiles[0], np.clip(cut.tiles[1] * 0.7 + 60, 0, 255).astype(np.uint8)]
    montage = solve_montage(bright, cut.nominal)
    matched = match_light(2, montage.overlaps)
    steps = []
    for lights in ((Light(), Light()), matched):
        halves = [render_montage(bright[i:].__getitem__, SHAPE, [montage[i]], [lights[i]], (20, 215), (200, 20)) for i in (0, 1)]
        steps.append(abs(float(halves[0].mean()) - float(halves[1].mean())))
    assert steps[1] < 1.5 < steps[0]
