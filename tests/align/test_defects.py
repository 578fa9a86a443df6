"""Each defect planted in a picture or in the order of sections comes back by its name, and nobody else is charged with it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from emkit.align import DEFECTS, measure_quality
from emkit.align.defects import NOISE_SNR, Verdict
from emkit.align.picture import Picture, measure_picture
from emkit.align.resemblance import Resemblance
from emkit.errors import ParameterError
from emkit.phantoms import SectionPhantom

SIDE = 256
GOOD = Picture(sharpness=-1, spread=3.5, saturated=0, stripes=0, stain=0.5, dark_line=0.2, bright_line=0.2)
NEAR, FAR = Resemblance(7, 20, 3, 0.7, 0), Resemblance(4.3, 8, 12, 0.1, 0)
NOTHING, REPEAT = Resemblance(NOISE_SNR, 5, 25, 0, 0), Resemblance(25, 40, 0, 1, 0.95)
Image = NDArray[np.uint8]


def grey(values: NDArray[np.floating]) -> Image:
    clipped: Image = np.clip(values, 0, 255).astype(np.uint8)
    return clipped


def across(slope: float) -> NDArray[np.float64]:
    """Distance of each pixel from a line through the middle."""
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    distance: NDArray[np.float64] = np.abs(y * np.cos(slope) + x * np.sin(slope))
    return distance


def stained(image: Image) -> Image:
    stripes = ndimage.gaussian_filter1d(np.random.default_rng(1).standard_normal(SIDE), 2)
    return grey(image + 80 * stripes[:, None] - 120 * np.exp(-((across(0) ** 2 + across(np.pi / 2) ** 2) / 2 / 30**2)))


DAMAGES: dict[str, Callable[[Image], Image]] = {
    "defocus": lambda image: grey(ndimage.gaussian_filter(image.astype(float), 2.5)),
    "contrast": lambda image: grey(128 + (image - 128.0) * 0.2),
    "fold": lambda image: np.where(across(0.7) < 6, 10, image).astype(np.uint8),
    "tear": lambda image: np.where(across(2.3) < 8, 250, image).astype(np.uint8),
    "charging": stained,
}


@pytest.fixture(scope="module")
def stack() -> list[Image]:
    phantom = SectionPhantom(shape=(SIDE, SIDE), count=9, seed=5, jitter=0.3)
    return [phantom.render_section(z) for z in range(9)]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_picture_is_named_among_good_ones(stack: list[Image], name: str) -> None:
    pictures = [measure_picture(image) for image in (*stack[:4], DAMAGES[name](stack[4]), *stack[5:])]
    table = Verdict(pictures, [NEAR] * 3 + [FAR] * 2 + [NEAR] * 3).table({}, {})  # its match suffers too
    assert table["defect"].tolist() == [""] * 4 + [name] + [""] * 4
    assert table["score"].drop(4).max() < 1 < table["score"][4]


def verdict(
    near: list[Resemblance], skips: dict[int, Resemblance] | None = None, place: tuple[int, float] = (-1, 4.0)
) -> list[str]:
    found = Verdict([GOOD] * (len(near) + 1), near)
    told: list[str] = found.table(skips or {}, dict.fromkeys(found.foreign(), place))["defect"].tolist()
    return told


def test_weak_pairs_are_charged_to_one_section_each() -> None:
    assert verdict([NEAR, NEAR, FAR, NEAR, NEAR]) == ["", "", "", "gap", "", ""]
    assert verdict([NEAR, NEAR, NOTHING, NOTHING, NEAR, NEAR]) == ["", "", "", "displaced", "", "", ""]
    assert verdict([NEAR, NEAR, NOTHING, NOTHING, NEAR, NEAR], place=(6, 18)) == ["", "", "", "out_of_order", "", "", ""]
    assert verdict([NOTHING, NEAR, NEAR, NEAR], place=(3, 18)) == ["out_of_order", "", "", "", ""]
    assert verdict([NOTHING, NOTHING, NEAR, NEAR, NEAR], place=(4, 18)) == ["", "out_of_order", "", "", "", ""]
    assert verdict([NEAR, NEAR, NEAR, NOTHING]) == ["", "", "", "", "displaced"]
    assert verdict([FAR, NEAR, NEAR, NEAR]) == ["", "gap", "", "", ""]


def test_a_repeat_takes_the_place_of_a_section_and_is_not_charged_twice() -> None:
    assert verdict([NEAR, REPEAT, FAR, NEAR, NEAR]) == ["", "", "duplicate", "", "", ""]
    beside = [NEAR, REPEAT, FAR, NOTHING, NOTHING, NEAR, NEAR]  # and the section after the next is foreign
    assert verdict(beside, place=(7, 18)) == ["", "", "duplicate", "", "out_of_order", "", "", ""]


def test_exchanged_neighbours_are_told_from_two_gaps() -> None:
    exchanged = [NEAR, NEAR, FAR, NEAR, FAR, NEAR, NEAR]
    assert verdict(exchanged) == ["", "", "", "gap", "", "gap", "", ""]
    assert Verdict([GOOD] * 8, exchanged).skips() == [1, 2, 3, 4]
    assert verdict(exchanged, {2: NEAR, 3: NEAR}) == ["", "", "", "out_of_order", "out_of_order", "", "", ""]
    # a weak pair, and a skip that fits, as where sections change slowly: nothing says that the one before is at a wrong place
    assert verdict([NEAR, NEAR, NEAR, NEAR, FAR, NEAR, NEAR], {3: NEAR, 4: NEAR}) == ["", "", "", "", "", "gap", "", ""]


def test_one_that_matches_poorly_where_it_stands_belongs_where_it_matches_far_better() -> None:
    poor = Resemblance(NEAR.snr - 0.4 * (NEAR.snr - NOISE_SNR), 14, 8, 0.3, 0)
    stack = [NEAR, NEAR, NEAR, poor, FAR, NEAR, NEAR, NEAR]
    assert Verdict([GOOD] * 9, stack).doubtful() == [4] and Verdict([GOOD] * 9, stack).foreign() == []
    for place, told in (((8, 29), "out_of_order"), ((8, 19), "")):
        found = Verdict([GOOD] * 9, stack).table({}, {4: place})["defect"].tolist()
        assert found == ["", "", "", "", told, "" if told else "gap", "", "", ""]


def test_the_damaged_picture_is_named_before_the_order() -> None:
    torn = Picture(sharpness=-1, spread=3.5, saturated=0, stripes=0, stain=0.5, dark_line=0.2, bright_line=0.9)
    found = Verdict([GOOD, GOOD, GOOD, torn, GOOD, GOOD], [NEAR, NEAR, FAR, FAR, NEAR])
    assert found.table({}, {})["defect"].tolist() == ["", "", "", "tear", "", ""]


def test_sections_that_are_no_stack_are_all_bad_and_nobody_is_searched() -> None:
    found = Verdict([GOOD] * 5, [NOTHING] * 4)
    assert not found.is_stack()
    assert (found.table({}, {})["score"] >= 1).all()


def test_a_real_chain_of_images_end_to_end(stack: list[Image]) -> None:
    sections = [*stack[:3], DAMAGES["tear"](stack[3]), stack[4], stack[4], *stack[6:]]
    sections[5] = grey(sections[5] + np.random.default_rng(3).normal(0, 4, (SIDE, SIDE)))  # imaged a second time
    table = measure_quality(sections)
    assert table["defect"].tolist() == ["", "", "", "tear", "", "duplicate", "", "", ""]
    assert len(table) == 9
    assert {"score", "sharpness", "snr", "same", "loss", "elsewhere"} <= set(table.columns)


def test_one_section_two_and_blank_ones() -> None:
    blank = np.zeros((SIDE, SIDE), np.uint8)
    assert measure_quality([blank])["defect"].tolist() == ["contrast"]
    assert measure_quality([blank, blank])["defect"].tolist() == ["contrast", "contrast"]
    assert set(DEFECTS) > set(DAMAGES)


@pytest.mark.campaign
def test_the_judge_finds_every_defect_by_its_name(data_dir: Path) -> None:
    judge, entry = Path(__file__).parents[1] / "judges" / "alignment_harness.py", Path(__file__).with_name("entry.py")
    command = [sys.executable, str(judge), "qc", "--entry", f"{entry}:qc", "--seed", "301"]
    ran = subprocess.run(command, env={**os.environ, "EMKIT_ALIGN_DATA": str(data_dir / "vnc")}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["auc"]["score"]["all"] >= 0.99
    assert result["recall_at_5pct_fpr"]["score"] >= 0.98
    assert np.mean(list(result["label_recall"].values())) >= 0.85
    assert result["false_flag_rate"] <= 0.02


def test_sections_of_two_sizes_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"found the shapes \(64, 64\), \(64, 80\); needed"):
        measure_quality([np.zeros((64, 64), np.uint8), np.zeros((64, 80), np.uint8)])
    with pytest.raises(ParameterError, match="found the shapes none"):
        measure_quality([])
