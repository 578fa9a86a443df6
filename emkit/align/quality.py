"""How well neighbouring sections match, and which pairs a person should look at.

Two SNRs are measured, and each is sure of something else. That of *patches* says how closely two sections follow each other:
it falls from neighbours to sections with one missing between, and so finds gaps and damage. That of *whole* shrunken sections says
whether they show the same place at all, over several missing sections; it decides on bridges. Where a section is less than three
patches wide, their SNR is that of few, and strangers reach far: there whole sections must agree as well, so that one pair of
strangers in 1,000 is believed at most (``python -m benchmarks.alignment_strangers``).

Both depend on the size of what is compared. `CALIBRATION` was measured on two stacks of nerve cord (50 nm sections, 4.6 nm px)
and is repeated by ``python -m benchmarks.alignment``. The 10–90 % ranges there, for sections of 1024²:

=====================  ==========  ==========
sections apart         patches     whole
=====================  ==========  ==========
1                      6.6–7.5     29–32
2                      4.4–4.7     12–17
3                      4.0–4.2     7.3–9.5
unrelated              3.5–3.8     4.1–5.7
=====================  ==========  ==========
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emkit.align.pairs import Match, match_pair, patch_window
from emkit.transforms import Affine, Rows

CALIBRATION = {  # window px: (SNR that strangers hardly reach, SNR that neighbours hardly miss)
    128: (3.95, 5.2),
    96: (3.95, 4.5),
    64: (3.85, 4.3),
    48: (3.75, 4.1),
    32: (3.7, 4.0),
}
DISAGREEMENT = 0.15  # of the window: strangers' patches are off in all directions, 0.2 of it in the median
WHOLE_SNR = 6.0  # strangers stay below, tried at every turn: 49 of 50
FEW_ACROSS = 3  # patches each way: where a section holds fewer, it must as a whole reach
FEW_SNR = 7.0  # 99 of 100 strangers do not
STRETCH = 1.25  # neighbours of one block of tissue differ in scale by less


@dataclass(frozen=True)
class PairQuality:
    """One pair of sections. ``affine`` maps fixed px → moving px, by rows (y, x), as `emkit.transforms.Affine`.

    ``residual_px`` is what the best affine leaves, ``displacement_px`` by how much that affine moves points in the median:
    on an aligned volume both are small, on a raw stack only the first. Both are None, and the SNRs 0, where nothing could
    be compared; of a flagged pair affine and displacement are no more than a guess. ``snr_threshold`` is what this pair had to
    reach. ``reasons`` are whole phrases for people; a pair is flagged if it has any.
    """

    fixed: int
    moving: int
    snr: float
    snr_threshold: float
    whole_snr: float
    residual_px: float | None
    inliers: float
    displacement_px: float | None
    affine: Rows
    flagged: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        residual = "nothing to compare" if self.residual_px is None else f"residual {self.residual_px:.1f} px"
        said = "; ".join(self.reasons) if self.flagged else "good"
        return f"sections {self.fixed} and {self.moving}: SNR {self.snr:.2f}, {residual}: {said}"


class Sections(Protocol):
    """What can be measured: z to a (y, x) image. A numpy array (z, y, x), an xarray volume, a list of images."""

    def __len__(self) -> int: ...
    def __getitem__(self, z: int, /) -> object: ...


def calibrated_threshold(shape: tuple[int, int]) -> float:
    """The SNR below which neighbouring sections of this shape (y, x) are flagged."""
    return CALIBRATION[patch_window(shape)][1]


def threshold_of(match: Match) -> float:
    """The same for the window that a match was made with."""
    return CALIBRATION[match.window_px][1]


def threshold_at(distance: int, threshold: float, window_px: int) -> float:
    """The threshold of patches for sections ``distance`` apart, from that for neighbours: beyond them, no less than strangers."""
    return threshold if distance == 1 else min(threshold, CALIBRATION[window_px][0])


def judge_match(
    match: Match,
    fixed: int,
    moving: int,
    *,
    shape: tuple[int, int],
    threshold: float,
    max_shift_px: float = np.inf,
    distance: int = 1,
) -> PairQuality:
    """The match in numbers, flagged with every reason that speaks against it. ``shape`` of the sections is (y, x)."""
    needed = threshold_at(distance, threshold, match.window_px)
    points = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 9) for n in shape), indexing="ij"), axis=-1).reshape(-1, 2)
    moved = np.hypot(*(match.affine.apply(points) - points).T)
    middle = (np.array(shape) - 1) / 2
    shift = float(np.hypot(*(match.affine.apply(middle) - middle)))
    stretch = np.linalg.svd(match.affine.linear, compute_uv=False)
    failures = {
        "fixed constant": f"section {fixed} is constant",
        "moving constant": f"section {moving} is constant",
        "no overlap": f"sections {fixed} and {moving} show no common area",
    }
    reasons = []
    if match.failure:
        reasons.append(failures[match.failure])
    elif match.snr < needed and not match.by_hand:
        reasons.append(f"SNR {match.snr:.2f} below {needed:.2f}")
    few = min(shape) < FEW_ACROSS * match.window_px
    whole = FEW_SNR if few else WHOLE_SNR
    if (few or distance > 1) and not match.failure and not match.by_hand and match.whole_snr < whole:
        reasons.append(f"SNR of whole sections {match.whole_snr:.2f} below {whole:g}")
    if match.residual_px > DISAGREEMENT * match.window_px and not match.by_hand:
        reasons.append(f"no affine fits: patches are {match.residual_px:.0f} px off")
    if shift > max_shift_px and not match.by_hand:
        reasons.append(f"shifted by {shift:.0f} px, more than {max_shift_px:g}")
    if not (stretch[1] > 1 / STRETCH and stretch[0] < STRETCH):
        reasons.append(f"stretched by {stretch[1]:.2f} to {stretch[0]:.2f}")
    return PairQuality(
        fixed=fixed,
        moving=moving,
        snr=match.snr,
        snr_threshold=needed,
        whole_snr=match.whole_snr,
        residual_px=None if match.failure else match.residual_px,
        inliers=match.inliers,
        displacement_px=None if match.failure else float(np.median(moved)),
        affine=match.affine.rows,
        flagged=bool(reasons),
        reasons=tuple(reasons),
    )


def measure_pair(
    fixed: NDArray[np.generic], moving: NDArray[np.generic], z: int, *, snr_threshold: float | None = None
) -> PairQuality:
    """Quality of sections ``z`` and ``z + 1``, given as images (y, x). None takes the calibrated threshold."""
    shape = (fixed.shape[0], fixed.shape[1])
    threshold = calibrated_threshold(shape) if snr_threshold is None else snr_threshold
    return judge_match(match_pair(fixed, moving), z, z + 1, shape=shape, threshold=threshold)


def measure_pairs(stack: Sections, *, snr_threshold: float | None = None) -> tuple[PairQuality, ...]:
    """Quality of every neighbouring pair of an existing stack, raw or aligned, z by z.

    ``stack[z]`` is an image (y, x); pixels of value 0 count as no data. Two sections are held at a time.
    ParameterError if images differ in shape or are below 64 px.
    """
    pairs, fixed = [], np.asarray(stack[0])
    for z in range(len(stack) - 1):
        moving = np.asarray(stack[z + 1])
        pairs.append(measure_pair(fixed, moving, z, snr_threshold=snr_threshold))
        fixed = moving
    return tuple(pairs)


def links(pairs: Sequence[PairQuality]) -> list[tuple[int, int, Affine]]:
    """(fixed, moving, affine) of the pairs that can be relied on."""
    return [(pair.fixed, pair.moving, Affine(pair.affine)) for pair in pairs if not pair.flagged]
