"""How one pair of sections is matched where the usual way fails."""

from __future__ import annotations

from dataclasses import dataclass

from emkit.align.correlation import WHITENING

PointPair = tuple[float, float, float, float]  # y, x in the fixed section; y, x in the moving one, px
LEAST_POINTS = 3  # what an affine needs


@dataclass(frozen=True)
class MatchOptions:
    """``window_px``: side of the patches, None as large as the sections allow. ``whitening``: the exponent (`correlation`).

    ``clobber_px``: radius within which agreement at the same *pixels* is not believed, for a pattern that stays with the camera;
    0: none. ``max_shift_px``: how far middles may lie apart, None as for all pairs, else the whole circle is searched too.
    ``points``: at least three pairs that a person placed; they are where the match begins, and what it must not leave.
    """

    window_px: int | None = None
    whitening: float = WHITENING
    clobber_px: float = 0.0
    max_shift_px: float | None = None
    points: tuple[PointPair, ...] = ()


USUAL = MatchOptions()
