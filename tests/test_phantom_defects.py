"""Each of the nine defects that a phantom plants is found by its name, and nobody else is charged."""

import json
from pathlib import Path

import numpy as np
import pytest

import emkit
from emkit.align import DEFECTS, measure_quality
from emkit.errors import ParameterError
from emkit.model import Defect
from emkit.phantoms import SectionPhantom

PLANTED: dict[int, Defect] = {
    2: "fold", 4: "duplicate", 6: "tear", 8: "gap", 10: "charging", 12: "displaced", 14: "contrast", 16: "out_of_order",
    20: "defocus",
}  # fmt: skip


def test_the_same_seed_plants_the_same_and_only_where_it_is_asked() -> None:
    asked: tuple[dict[int, Defect], ...] = ({}, {3: "tear", 6: "gap"})
    plain, planted = (SectionPhantom((128, 128), 24, seed=3, defects=defects) for defects in asked)
    assert planted.depths == (0, 1, 2, 3, 4, 5, *range(8, 26)) and plain.depths == tuple(range(24))
    np.testing.assert_array_equal(planted.render_section(2), plain.render_section(2))
    np.testing.assert_array_equal(planted.render_section(3), planted.render_section(3))
    assert (planted.render_section(3) > 240).mean() > 0.03


def test_a_repeat_lies_where_the_one_before_does_and_others_change_places() -> None:
    phantom = SectionPhantom((64, 64), 12, seed=3, defects={2: "duplicate", 5: "out_of_order"})
    assert phantom.affines[2] == phantom.affines[1]
    assert phantom.depths == (0, 1, 1, 2, 3, 8, 5, 6, 7, 4, 9, 10)


def test_the_truth_is_written_beside_the_sections(tmp_path: Path) -> None:
    report = emkit.make_phantom(out=tmp_path / "p", sections=8, size_px=64, defects=("1:fold", "3:out_of_order"))
    assert report.defects == ("", "fold", "", "out_of_order", "", "", "", "out_of_order")
    told = json.loads((tmp_path / "p/truth.json").read_text())["sections"]
    assert [section["defect"] for section in told] == list(report.defects)
    assert [section["depth"] for section in told] == [0, 1, 2, 7, 4, 5, 6, 3]


@pytest.mark.parametrize(
    ("word", "needed"), [("3:hole", "SECTION:DEFECT"), ("0:duplicate", "sections 1 to 7"), ("5:out_of_order", "0 to 3")]
)
def test_what_cannot_be_planted_is_refused(word: str, needed: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=needed):
        emkit.make_phantom(out=tmp_path / "p", sections=8, size_px=64, defects=(word,))
    assert not (tmp_path / "p").exists()


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_all_nine_are_named_rightly(seed: int) -> None:
    spaced: dict[int, Defect] = {3 * z // 2: name for z, name in PLANTED.items()}
    assert set(spaced.values()) == set(DEFECTS)
    phantom = SectionPhantom((384, 384), 33, seed, 0.5, defects=spaced)
    truth = [spaced.get(z, "") for z in range(33)]
    truth[24 + 4] = "out_of_order"
    assert measure_quality([phantom.render_section(z) for z in range(33)])["defect"].tolist() == truth
