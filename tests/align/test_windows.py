"""A section may be larger than what is compared at once: sums of windows say what the whole says."""

import numpy as np
import pytest

from emkit.align import windows
from emkit.align.stacking import solve_affines
from emkit.align.windows import sums_of_pair
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine

SHAPE = (384, 500)
PHANTOM = SectionPhantom(shape=SHAPE, count=2, seed=11, jitter=0)
CORNERS = np.array([[40.0, 40.0], [40.0, 460.0], [340.0, 40.0], [340.0, 460.0]])


def left_px(off: Affine, rounds: int) -> np.ndarray:
    """What is left at corners, px, of ``off``, planted between a section and itself."""
    section, maps = PHANTOM.render_section(0), [Affine(), off]
    for _ in range(rounds):
        sums = sums_of_pair(section, section, (maps[0], maps[1]), SHAPE)
        steps = solve_affines(2, {(0, 1): sums.equations}, SHAPE)
        maps = [one.compose(step) for one, step in zip(maps, steps, strict=True)]
    left: np.ndarray = maps[1](maps[0].invert()(CORNERS)) - CORNERS
    return left


@pytest.mark.parametrize("window_px", [2048, 250, 130])  # the last lie apart
def test_windows_of_any_size_bring_a_section_back(monkeypatch: pytest.MonkeyPatch, window_px: int) -> None:
    monkeypatch.setattr(windows, "WINDOW_PX", window_px)
    off = Affine.of([[1.001, 0.0005], [0, 0.9995]], (0.4, -0.3))
    assert np.abs(left_px(off, 0)).max() > 0.5
    assert np.abs(left_px(off, 3)).max() < 0.03


def test_windows_tile_the_canvas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_PX", 100)
    covered = np.zeros((230, 101), int)
    for (y, x), (height, width) in windows.windows((230, 101)):
        assert max(height, width) <= 100
        covered[y : y + height, x : x + width] += 1
    assert (covered == 1).all()


def test_windows_of_a_large_canvas_lie_apart_up_to_its_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_PX", 100)
    found = list(windows.spread_windows((230, 320), 2))
    assert found == list(windows.windows((230, 320), 2, 2))  # they hold no more than 400² px
    found = list(windows.spread_windows((1001, 700), 2))
    assert len(found) == 16 and {size for _, size in found} == {(100, 100)}
    assert found[0][0] == (0, 0) and found[-1][0] == (900, 600) and all(n % 2 == 0 for start, _ in found for n in start)


def test_sections_that_do_not_meet_say_nothing() -> None:
    section = PHANTOM.render_section(0)
    sums = sums_of_pair(section, section, (Affine(), Affine.translation(0, 900)), SHAPE)
    assert not np.any(sums.normal)
    assert not np.any(sums.pull)
