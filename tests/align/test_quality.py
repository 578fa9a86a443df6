"""Flags with their reasons, thresholds by window and distance, the report and its file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emkit.align import (
    AlignmentReport,
    Match,
    PairQuality,
    calibrated_threshold,
    judge_match,
    links,
    measure_pairs,
    place_sections,
    read_alignment,
)
from emkit.align.quality import CALIBRATION, threshold_at
from emkit.align.report import FILE_NAME
from emkit.errors import DamagedError, ParameterError, PathError
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine

SHAPE = (400, 400)


def judge(match: Match, max_shift_px: float = np.inf) -> PairQuality:
    return judge_match(match, 3, 4, shape=SHAPE, threshold=5.2, max_shift_px=max_shift_px)


def test_a_good_match_has_no_flag() -> None:
    pair = judge(Match(Affine.translation(3, 4), 128, whole_snr=9, snr=7, residual_px=2, inliers=0.8))
    assert (pair.flagged, pair.reasons) == (False, ())
    assert (pair.snr, pair.residual_px, pair.inliers, pair.displacement_px) == (7, 2, 0.8, 5)
    assert links([pair]) == [(3, 4, Affine.translation(3, 4))]


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (Match(Affine(), 128, snr=4.31, residual_px=2), "SNR 4.31 below 5.20"),
        (Match(Affine(), 128, snr=7, residual_px=30), "no affine fits: patches are 30 px off"),
        (Match(Affine.translation(250, 0), 128, snr=7), "shifted by 250 px, more than 200"),
        (Match(Affine.of(np.diag([1.4, 1]), (-63.8, 0)), 128, snr=7), "stretched by 1.00 to 1.40"),
        (Match(Affine(), 128, failure="fixed constant"), "section 3 is constant"),
        (Match(Affine(), 128, failure="moving constant"), "section 4 is constant"),
        (Match(Affine(), 128, failure="no overlap"), "sections 3 and 4 show no common area"),
    ],
)
def test_what_speaks_against_a_match_is_said(match: Match, reason: str) -> None:
    pair = judge(match, max_shift_px=200)
    assert pair.flagged
    assert pair.reasons == (reason,)
    assert links([pair]) == []
    assert (pair.residual_px is None) == (match.failure is not None)


def test_a_bridge_must_hold_over_whole_sections() -> None:
    weak, strong = (Match(Affine(), 128, whole_snr=whole, snr=4.2, residual_px=9) for whole in (5, 9))
    near, far, sure = (
        judge_match(match, 3, 3 + distance, shape=SHAPE, threshold=5.2, distance=distance)
        for match, distance in ((strong, 1), (weak, 2), (strong, 2))
    )
    assert near.reasons == ("SNR 4.20 below 5.20",)
    assert far.reasons == ("SNR of whole sections 5.00 below 6",)
    assert sure.reasons == ()


@pytest.mark.parametrize(("side", "whole", "believed"), [(300, 6.9, False), (300, 7.1, True), (384, 5.0, True)])
def test_few_patches_are_believed_where_whole_sections_agree(side: int, whole: float, believed: bool) -> None:
    match = Match(Affine(), 128, whole_snr=whole, snr=7)
    assert judge_match(match, 0, 1, shape=(1000, side), threshold=5.2).flagged != believed
    assert not judge_match(replace(match, by_hand=True), 0, 1, shape=(1000, side), threshold=5.2).flagged


def test_thresholds_lie_between_strangers_and_neighbours_and_ease_with_distance() -> None:
    for window, (strangers, neighbours) in CALIBRATION.items():
        assert strangers < neighbours
        assert threshold_at(1, neighbours, window) == neighbours
        assert threshold_at(3, neighbours, window) == threshold_at(2, neighbours, window) == strangers
        assert threshold_at(2, 1.0, window) == 1.0  # who asks for less than strangers gets it
    assert calibrated_threshold((1024, 1024)) == CALIBRATION[128][1]
    assert calibrated_threshold((130, 1024)) == CALIBRATION[64][1]


def test_a_stack_is_measured_pair_by_pair_and_its_strangers_flagged() -> None:
    phantom = SectionPhantom(shape=SHAPE, count=5, seed=4, jitter=0, bad=(3,))
    pairs = measure_pairs([phantom.render_section(z) for z in range(5)])
    assert [(pair.fixed, pair.moving) for pair in pairs] == [(z, z + 1) for z in range(4)]
    assert [pair.flagged for pair in pairs] == [False, False, True, True]
    assert all(pair.displacement_px is not None and pair.displacement_px < 2.5 for pair in pairs[:2])


def test_a_displaced_stack_reads_worse_than_a_still_one() -> None:
    still, moved = (SectionPhantom(shape=SHAPE, count=3, seed=4, jitter=jitter) for jitter in (0, 1))
    near, far = (measure_pairs(np.stack([p.render_section(z) for z in range(3)])) for p in (still, moved))
    for a, b in zip(near, far, strict=True):
        assert a.displacement_px is not None
        assert b.displacement_px is not None
        assert a.displacement_px < 2.5 < b.displacement_px


def test_constant_sections_are_flagged_and_small_ones_refused() -> None:
    pairs = measure_pairs(np.zeros((3, 64, 64), np.uint8))
    assert [pair.reasons for pair in pairs] == [("section 0 is constant",), ("section 1 is constant",)]
    assert [pair.snr for pair in pairs] == [0, 0]
    with pytest.raises(ParameterError, match="too small"):
        measure_pairs(np.zeros((3, 63, 64), np.uint8))


def report() -> AlignmentReport:
    pair = judge(Match(Affine.translation(0.1, 1 / 3), 128, snr=4.0000001, residual_px=2))
    placement = place_sections(2, [], SHAPE)
    return AlignmentReport.of((45, 4.6, 4.6), 5.2, 128, ["a.tif", "b.tif"], (1,), placement, (pair,))


def test_a_report_survives_its_file_exactly(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(report().as_json())
    assert read_alignment(tmp_path) == report()
    assert read_alignment(tmp_path).flagged == report().pairs
    assert [(s.z, s.file, s.excluded) for s in report().sections] == [(0, "a.tif", False), (1, "b.tif", True)]


def test_a_volume_without_a_whole_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"holds no alignment\.json"):
        read_alignment(tmp_path)
    (tmp_path / FILE_NAME).write_text(report().as_json()[:-40])
    with pytest.raises(DamagedError, match="is not a report of an alignment"):
        read_alignment(tmp_path)
