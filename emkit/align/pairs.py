"""How one section lies on another: the affine from pixels of the fixed to pixels of the moving section.

Two stages, both on match signals (`correlation`). *Coarse*: both sections, shrunk, are compared whole at every angle of a
fan, ±4° first and the full circle if that finds nothing; the best angle and its shift are the start. *Fine*: at each level
down to full resolution, patches on a grid are cut from the fixed section and, through the affine so far, from the moving
one; each tells by how much it is still off, with an SNR, and the affine is fitted anew to all of them, robustly. The work
of the fine stage does not grow with the section.

Points and shifts are (y, x), px of the full resolution unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emkit.align.correlation import Pixels, correlate, find_peaks, normalise, shrink, taper, without_pattern
from emkit.align.fit import Fit, fit_affine
from emkit.align.options import LEAST_POINTS, USUAL, MatchOptions
from emkit.errors import ParameterError
from emkit.transforms import Affine, Floats

COARSE_PX = 256  # sections are shrunk to at most this for the search of angles
FAN = tuple(float(angle) for angle in range(-4, 5))
CIRCLE = tuple(float(angle) for angle in range(-180, 180, 3))
SURE_SNR = 7.0  # a whole-section SNR above this needs no second look over the circle
WINDOWS_PX = (128, 96, 64, 48, 32)  # of patches; the largest of which a section holds 2 × 2
NOISE_SNR = 3.5  # what patches that share nothing reach: they get no say
ACROSS = 11  # patches across that judge a match
DENSE = 15  # patches across where the affine is to be that of all of them
INLIER_PX = 4.0  # residual up to which a patch agrees with the affine; smooth distortion of real sections stays below


Failure = Literal["fixed constant", "moving constant", "no overlap"]


@dataclass(frozen=True)
class Match:
    """What comparing two sections gives. ``affine`` maps fixed px → moving px.

    With a ``failure`` nothing could be compared: the affine is where the search stood, the numbers are 0. ``by_hand``: a person
    said where the sections lie, and the affine keeps to that.
    """

    affine: Affine
    window_px: int  # side of the patches, for which the SNR holds
    whole_snr: float = 0.0  # of the whole sections, shrunken, at the best turn
    snr: float = 0.0  # median over the patches
    residual_px: float = 0.0  # median distance of a patch from the affine
    inliers: float = 0.0  # share of the patches within INLIER_PX of the affine
    failure: Failure | None = None
    by_hand: bool = False


@dataclass(frozen=True)
class Patches:
    """What the patches of one round say."""

    points: Floats  # (k, 2) in the fixed section
    targets: Floats  # (k, 2) in the moving one
    snr: Floats  # (k,)


def patch_window(shape: tuple[int, int], asked: int | None = None) -> int:
    """Side (px) of the patches for sections of this shape (y, x), or what was ``asked``. ParameterError where it does not fit."""
    fitting = [window for window in WINDOWS_PX if 2 * window <= min(shape)]
    if not fitting:
        raise ParameterError(f"Sections of {shape} px (y, x) are too small to align; needed: {2 * WINDOWS_PX[-1]} px each way.")
    if asked is not None and asked not in fitting:
        raise ParameterError(f"window: found {asked} px; needed for sections of {shape} px: {', '.join(map(str, fitting))}.")
    return asked or fitting[0]


def match_pair(
    fixed: NDArray[np.generic],
    moving: NDArray[np.generic],
    max_shift_px: float = np.inf,
    options: MatchOptions = USUAL,
    across: int = ACROSS,
) -> Match:
    """Match two sections (y, x) of one shape, whose middles lie at most ``max_shift_px`` apart, by ``across`` × ``across`` patches.

    A constant section is a failure in the match, no error. ParameterError if the shapes differ or are too small.
    """
    if fixed.shape != moving.shape or fixed.ndim != 2:
        raise ParameterError(f"The sections have shapes {fixed.shape} and {moving.shape}; needed: one (y, x) shape for both.")
    window = patch_window((fixed.shape[0], fixed.shape[1]), options.window_px)
    flat_fixed, flat_moving = normalise(fixed), normalise(moving)
    if not flat_fixed.any() or not flat_moving.any():
        return Match(Affine(), window, failure="moving constant" if flat_fixed.any() else "fixed constant")
    if options.points:
        return _match_by_hand(flat_fixed, flat_moving, window, options)
    scale = coarse_scale(fixed.shape)
    reach = max_shift_px if options.max_shift_px is None else options.max_shift_px
    start, whole_snr = search(shrink(flat_fixed, scale), shrink(flat_moving, scale), reach / scale, scale, options)
    found = refine(flat_fixed, flat_moving, start.enlarged(scale), window, scale, options, across)
    return replace(found, whole_snr=whole_snr)


def _match_by_hand(fixed: Pixels, moving: Pixels, window: int, options: MatchOptions) -> Match:
    """From points that a person placed: refined, if that leaves none of them by more than patches can err."""
    points = np.array(options.points)
    if len(points) < LEAST_POINTS:
        raise ParameterError(f"points: found {len(points)} pairs; needed: {LEAST_POINTS} or more, not on one line.")
    start = fit_affine(points[:, :2], points[:, 2:], np.ones(len(points))).affine
    better = refine(fixed, moving, start, window, 1, options)
    left = np.hypot(*(better.affine.apply(points[:, :2]) - points[:, 2:]).T)
    if better.failure or better.snr < NOISE_SNR or left.max() > window / 3:
        better = replace(better, affine=start, failure=None)
    return replace(better, by_hand=True)


def coarse_scale(shape: tuple[int, ...]) -> int:
    """The power of two by which sections of this shape are shrunk for the search."""
    scale = 1
    while max(shape) / scale > COARSE_PX:
        scale *= 2
    return scale


def search(fixed: Pixels, moving: Pixels, reach: float, scale: int = 1, options: MatchOptions = USUAL) -> tuple[Affine, float]:
    """The turn and shift that agree best over whole sections, and their SNR: fixed px → moving px, all of sections that were
    shrunk by ``scale``."""
    affine, snr = _best_turn(fixed, moving, FAN, reach, scale, options)
    if snr < SURE_SNR or options.max_shift_px is not None:
        other, other_snr = _best_turn(fixed, moving, CIRCLE, reach, scale, options)
        if other_snr > 1.1 * snr:  # thirteen times more tries find higher peaks in noise alone
            return other, other_snr
    return affine, snr


def _best_turn(
    fixed: Pixels, moving: Pixels, angles: tuple[float, ...], reach: float, scale: int, options: MatchOptions
) -> tuple[Affine, float]:
    window = taper((fixed.shape[0], fixed.shape[1]), 0.3)
    middle = (np.array(fixed.shape) - 1) / 2
    best, best_snr = Affine(), -np.inf
    for first in range(0, len(angles), len(FAN)):
        turns = [Affine.rotation(angle, middle) for angle in angles[first : first + len(FAN)]]
        turned = np.stack([ndimage.affine_transform(moving, turn.linear, turn.shift, order=1) for turn in turns])
        turned *= window
        signals = correlate((fixed * window)[None], turned, whitening=options.whitening)
        if options.clobber_px:
            signals = without_pattern(signals, np.zeros((len(turns), 2)), options.clobber_px / scale)
        shifts, snr = find_peaks(signals, reach)
        k = int(snr.argmax())
        if snr[k] > best_snr:
            best, best_snr = turns[k].compose(Affine.translation(*shifts[k])), float(snr[k])
    return best, best_snr


def refine(
    fixed: Pixels, moving: Pixels, start: Affine, window: int, scale: int, options: MatchOptions = USUAL, last: int = ACROSS
) -> Match:
    """Improve ``start`` level by level, from half the coarse scale to full resolution; the last round judges."""
    affine = start
    level, small_fixed, small_moving = 0, fixed, moving
    for factor, side, across in schedule(fixed.shape, window, scale, last):
        if factor != level:
            level, small_fixed, small_moving = factor, shrink(fixed, factor), shrink(moving, factor)
        patches = compare_patches(small_fixed, small_moving, affine.shrunk(factor), side, across, factor, options)
        if len(patches.points) < 2 * across:
            return Match(affine, window, failure="no overlap")  # at some level the patches left the section
        fit = _fit(patches)
        affine = fit.affine.enlarged(factor)
    agreeing = float((fit.residual_px < INLIER_PX).mean())
    snr, residual = float(np.median(patches.snr)), float(np.median(fit.residual_px))
    return Match(affine, window, snr=snr, residual_px=residual, inliers=agreeing)


def densely_matched(fixed: NDArray[np.generic], moving: NDArray[np.generic], match: Match) -> Affine:
    """The affine of a match, from more patches: where sections bend, what each patch adds is its own place."""
    return _fit(compare_patches(normalise(fixed), normalise(moving), match.affine, match.window_px, DENSE)).affine


def _fit(patches: Patches) -> Fit:
    """Patches count as they are seen above the noise."""
    return fit_affine(patches.points, patches.targets, np.clip(patches.snr - NOISE_SNR, 0.05, 20) ** 2)


def schedule(shape: tuple[int, ...], window: int, scale: int, last: int = ACROSS) -> list[tuple[int, int, int]]:
    """The rounds (shrink factor, side of the patches, patches across)."""
    rounds = []
    factor = max(scale // 2, 1)
    while factor > 1:
        side = min(window, min(shape) // factor // 2)
        rounds += [(factor, side, 5), (factor, side * 3 // 4, 7)]
        factor //= 2
    return [*rounds, (1, window, last)] if rounds else [(1, window, 7), (1, window, last)]


def compare_patches(
    fixed: Pixels, moving: Pixels, affine: Affine, side: int, across: int, factor: int = 1, options: MatchOptions = USUAL
) -> Patches:
    """By how much ``across``² patches are off, on a grid over the fixed section; those that leave the moving one are left out.

    The sections were shrunk by ``factor``.
    """
    shape = np.array(fixed.shape)
    corners = np.rint(np.linspace(0, shape - side, across)).astype(int)
    rows = ([(y, x) for x in corners[:, 1]] for y in corners[:, 0])
    whole = _cut(moving, affine, (0, 0), fixed.shape) if (across * side) ** 2 > fixed.size else None  # patches overlap there

    def cut(start: tuple[int, int]) -> Pixels:
        window = slice(start[0], start[0] + side), slice(start[1], start[1] + side)
        return _cut(moving, affine, start, (side, side)) if whole is None else whole[window]

    found = [_compare_row(fixed, moving, cut, affine, row, side, factor, options) for row in rows]
    return Patches(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _compare_row(
    fixed: Pixels,
    moving: Pixels,
    cut: Callable[[tuple[int, int]], Pixels],
    affine: Affine,
    starts: list[tuple[int, int]],
    side: int,
    factor: int,
    options: MatchOptions,
) -> tuple[Floats, Floats, Floats]:
    """`Patches` in parts, of patches that start at ``starts``: a row at a time stays in the cache. ``cut`` gives those of
    ``moving`` as the fixed section would have them."""
    middles = np.array(starts) + (side - 1) / 2
    lying = affine.apply(middles)
    seen = np.flatnonzero(((lying > 2) & (lying < np.array(moving.shape) - 3)).all(axis=1))
    if not seen.size:
        return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0)
    starts, middles = [starts[k] for k in seen.tolist()], middles[seen]
    window = taper((side, side), 0.5)
    still = np.stack([fixed[y : y + side, x : x + side] for y, x in starts])
    lain = np.stack([cut(start) for start in starts])
    signals = correlate(_ready(still, window), _ready(lain, window), whitening=options.whitening)
    if options.clobber_px:  # where both show the same pixels
        signals = without_pattern(signals, affine.invert().apply(middles) - middles, options.clobber_px / factor)
    shifts, snr = find_peaks(signals)
    far = np.hypot(*shifts.T) > side / 3  # beyond this little of the two patches is common
    return middles, affine.apply(middles + shifts), np.where(far, 0, snr)


def _cut(image: Pixels, affine: Affine, start: tuple[int, int], shape: tuple[int, ...]) -> Pixels:
    """A patch of ``shape`` (y, x) of ``image`` seen through ``affine`` from ``start`` on; outside is 0."""
    patch: Pixels = ndimage.affine_transform(
        image, affine.linear, affine.apply(start), output_shape=shape, order=1, output=np.float32
    )
    return patch


def _ready(patches: Pixels, window: Pixels) -> Pixels:
    """In place: less their means, and windowed."""
    patches -= patches.mean(axis=(1, 2), keepdims=True)
    patches *= window
    return patches
