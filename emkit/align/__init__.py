"""Alignment of serial sections: match pairs, place all of them in one space, render, judge. Arrays in, arrays out.

`align_pair` and `align_stack` take sections to maps in one call. Step by step: `match_pair` compares two sections; `judge_match`
flags what cannot be relied on; `bridges` names the pairs that go around flagged ones; `place_sections` composes the rest into one
affine a section; `refine_affines` and `refine_elastics` better all at once; `render_window` makes pixels.
`measure_quality` names what is wrong with each section of a raw stack, `measure_pairs` judges the pairs of any; `match_signal`
shows why two sections match or do not.
Points are (y, x), px, pixel centres at integers; every map takes output to input.
"""

from emkit.align.alignment import align_pair, align_stack
from emkit.align.correlation import match_signal
from emkit.align.defects import DEFECTS, measure_quality
from emkit.align.drift import Drift, measure_drift
from emkit.align.landmarks import Landmark
from emkit.align.montage import Montage, solve_montage
from emkit.align.pairs import Match, match_pair, patch_window
from emkit.align.placement import Placement, bridges, place_sections, section_depths
from emkit.align.quality import PairQuality, calibrated_threshold, judge_match, links, measure_pair, measure_pairs, threshold_of
from emkit.align.rendering import render_window
from emkit.align.report import AlignmentReport, SectionPlace, read_alignment, read_map

__all__ = [
    "DEFECTS",
    "AlignmentReport",
    "Drift",
    "Landmark",
    "Match",
    "Montage",
    "PairQuality",
    "Placement",
    "SectionPlace",
    "align_pair",
    "align_stack",
    "bridges",
    "calibrated_threshold",
    "judge_match",
    "links",
    "match_pair",
    "match_signal",
    "measure_drift",
    "measure_pair",
    "measure_pairs",
    "measure_quality",
    "patch_window",
    "place_sections",
    "read_alignment",
    "read_map",
    "render_window",
    "section_depths",
    "solve_montage",
    "threshold_of",
]
