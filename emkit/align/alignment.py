"""Two sections, or a stack of them, to maps between them: the doors of alignment, arrays in and maps out.

A pair is searched for by turn and shift, over the whole circle where the first look finds nothing, matched by patches from
coarse to fine (`pairs`), judged, and refined over its whole overlap (`refining`). A map goes from fixed px to moving px; points
are (y, x), pixel centres at integers; pixels of value 0 are no data.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emkit.align.agreement import Agreement
from emkit.align.landmarks import Landmark, pin
from emkit.align.pairs import Match, densely_matched, match_pair
from emkit.align.placement import Placement, bridges, place_sections, rejoined
from emkit.align.quality import CALIBRATION, DISAGREEMENT, PairQuality, calibrated_threshold, judge_match, links
from emkit.align.refining import Seen, refine_affine, refine_elastic
from emkit.align.stacking import Pair, compare_on_canvas, nearest, refine_affines, refine_elastics, trusted_pairs
from emkit.errors import DataError, ParameterError
from emkit.transforms import Affine, CoordinateMap, Elastic

Model = Literal["affine", "elastic"]
Image = NDArray[np.generic]

FEW = 7  # patches across that judge a pair; what they find is refined over the whole overlap
BENT_PX = 1.0  # patches of sections that do not bend lie within .5 px of their affine, those of real neighbours 2 to 4
PLACE_SNR = 6.5  # of whole sections: strangers, tried at every turn, stay below


def align_pair(
    fixed: Image, moving: Image, model: Model = "affine", *, max_shift_px: float = np.inf, mirrored: bool = False
) -> CoordinateMap:
    """The map from px of ``fixed`` (y, x) to px of ``moving``, which may differ in size and lie in any turn.

    ``max_shift_px`` is how far their middles may lie apart. With ``mirrored`` a section that lies face down is taken as it is:
    the map flips it. DataError where one is blank, mirrored without leave, or where they do not show the same place, with the
    scores.

    >>> from emkit.phantoms import SectionPhantom
    >>> phantom = SectionPhantom(shape=(256, 256), count=2, seed=4)
    >>> align_pair(phantom.render_section(0), phantom.render_section(1))([[128.0, 128.0]]).round().tolist()
    [[126.0, 139.0]]
    """
    if model not in ("affine", "elastic"):
        raise ParameterError(f"model: found {model!r}; needed: 'affine' or 'elastic'.")
    for name, image in (("fixed", fixed), ("moving", moving)):
        if image.ndim != 2:
            raise ParameterError(f"{name}: found an array of shape {image.shape}; needed: one section (y, x).")
    fixed, moving = padded([fixed, moving])
    match = match_pair(fixed, moving, max_shift_px, across=FEW)
    if refused := why_not(match):
        flip = Affine.of(np.diag([1.0, -1.0]), (0, moving.shape[1] - 1))
        turned = (
            match_pair(fixed, np.ascontiguousarray(moving[:, ::-1]), max_shift_px, across=FEW)
            if match.failure in (None, "no overlap")
            else match
        )
        if why_not(turned):
            raise DataError(
                f"The sections cannot be aligned: {refused}. {scores(match)} Leave out the one that is not of this place."
            )
        if not mirrored:
            raise DataError(
                f"The moving section is mirrored: flipped left to right it matches with SNR {turned.snr:.2f}, "
                f"as it is with {match.snr:.2f}. Flip it, or pass mirrored=True to have it flipped by the map."
            )
        return flip.compose(refined(fixed, np.ascontiguousarray(moving[:, ::-1]), turned, model))
    return refined(fixed, moving, match, model)


def refined(fixed: Image, moving: Image, match: Match, model: Model) -> CoordinateMap:
    """The map of ``model`` near that of the match.

    Where sections bend against each other by more than `BENT_PX`, no affine lays all their waves onto each other, and the one of
    most likelihood would be that of some part: the one that patches agree on is of the whole.
    """
    bent = match.residual_px > BENT_PX
    if bent and model == "affine":
        return densely_matched(fixed, moving, match)
    still, other = Seen.of(fixed), Seen.of(moving)
    affine = match.affine if bent else refine_affine(still, other, match.affine)
    return affine if model == "affine" else refine_elastic(still, other, affine)


def padded(images: Sequence[Image]) -> list[Image]:
    """All (y, x) as large as the largest, by pixels of value 0, which are no data, after the last; px stay what they are."""
    if wrong := [(z, image.shape) for z, image in enumerate(images) if image.ndim != 2]:
        raise ParameterError(f"Section {wrong[0][0]}: found an array of shape {wrong[0][1]}; needed: one section (y, x).")
    height, width = (max((image.shape[axis] for image in images), default=0) for axis in (0, 1))
    return [np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]))) for image in images]


def why_not(match: Match) -> str:
    """Why the sections of a match do not show the same place; empty where they do."""
    strangers = CALIBRATION[match.window_px][0]
    if match.failure in ("fixed constant", "moving constant"):
        return f"the {match.failure.split()[0]} one is blank: all its pixels are equal"
    if match.failure:
        return "where they agree best they have no common area"
    if match.snr < strangers or match.whole_snr < PLACE_SNR:
        return f"they agree no more than strangers do, who reach an SNR of {strangers:g} in patches and {PLACE_SNR:g} as wholes"
    if match.residual_px > DISAGREEMENT * match.window_px:
        return f"no affine fits: patches are {match.residual_px:.0f} px off"
    return ""


def scores(match: Match) -> str:
    return (
        f"Found: SNR {match.snr:.2f} in patches of {match.window_px} px, {match.whole_snr:.2f} as wholes, "
        f"inliers {match.inliers:.0%}."
    )


def align_stack(
    sections: Sequence[Image] | Image,
    model: Model = "affine",
    *,
    exclude: Collection[int] = (),
    max_shift_px: float = np.inf,
    level_trend: bool = False,
    landmarks: Sequence[Landmark] = (),
) -> tuple[CoordinateMap, ...]:
    """One map per section, from px of a common space, as large as the sections, to px of the section.

    Neighbours are matched, flagged pairs are bridged, and all sections are then refined at once, by neighbours and pairs with one
    section between. A section that is excluded, or that nothing matches, lies where its neighbours say; the latter is a
    UserWarning that names it. ``level_trend`` takes out what scale, skew and turn gain along the stack. ``landmarks`` choose the
    space, by one map that all sections share. DataError where no two match.
    """
    if model not in ("affine", "elastic"):
        raise ParameterError(f"model: found {model!r}; needed: 'affine' or 'elastic'.")
    images = padded(list(sections))
    for name, asked in (("exclude", exclude), ("landmarks", [one.section for one in landmarks])):
        if wrong := [z for z in asked if not 0 <= z < len(images)]:
            raise ParameterError(f"{name}: found section {wrong[0]}; needed: some of sections 0 to {len(images) - 1}.")
    used = [z for z in range(len(images)) if z not in exclude]
    if len(used) < 2:
        return (Affine(),) * len(images)
    shape = (images[0].shape[0], images[0].shape[1])
    pairs = match_neighbours(images, used, max_shift_px)
    placed = place_sections(len(images), links(pairs), shape)
    check_placement(images, used, placed, pairs)
    linked = [z for z in used if placed.linked[z]]
    flagged = [(pair.fixed, pair.moving) for pair in pairs if pair.flagged]
    trusted = trusted_pairs(linked, links(pairs), flagged)

    ready = {z: Seen.of(images[z]) for z in linked}
    shrunk: dict[int, dict[int, Seen]] = {}

    def says(pairs: Sequence[Pair], maps: Sequence[CoordinateMap], factor: int, limit: float) -> dict[Pair, Agreement]:
        if factor not in shrunk:
            shrunk.clear()
            shrunk[factor] = {z: seen.shrunk(factor) for z, seen in ready.items()}
        small = shrunk[factor]
        return {(i, j): compare_on_canvas(small[i], small[j], (maps[i], maps[j]), shape, factor, limit) for i, j in pairs}

    affines = rejoined(refine_affines(placed.affines, trusted, says, shape), linked)
    if level_trend:
        affines = without_trend(affines, shape)
    if landmarks:
        affines, _ = pin(affines, landmarks)
    if model == "affine":
        return affines
    return bent_between(refine_elastics(affines, trusted, says, shape), linked)


def match_neighbours(images: Sequence[Image], used: Sequence[int], max_shift_px: float) -> tuple[PairQuality, ...]:
    """Neighbours among ``used`` matched and judged, and pairs that go around the flagged ones."""
    shape = (images[0].shape[0], images[0].shape[1])
    threshold = calibrated_threshold(shape)

    def judged(i: int, j: int) -> PairQuality:
        match = match_pair(images[i], images[j], max_shift_px * (j - i))
        return judge_match(match, i, j, shape=shape, threshold=threshold, max_shift_px=max_shift_px * (j - i), distance=j - i)

    found = [judged(i, j) for i, j in pairwise(used)]
    around = bridges([(pair.fixed, pair.moving) for pair in found if pair.flagged], used)
    return (*found, *(judged(i, j) for i, j in around))


def check_placement(images: Sequence[Image], used: Sequence[int], placed: Placement, pairs: Sequence[PairQuality]) -> None:
    """DataError if nothing holds together or a section is mirrored; UserWarning that names each section that nothing matches."""
    if not any(placed.linked):
        told = "; ".join(str(pair) for pair in sorted(pairs, key=lambda pair: -pair.snr)[:3])
        raise DataError(f"These {len(used)} sections are no stack: no two of them match. The best: {told}.")
    for z in [z for z in used if not placed.linked[z]]:
        near = min((k for k in used if placed.linked[k]), key=lambda k: abs(k - z))
        flipped = match_pair(images[near], np.ascontiguousarray(images[z][:, ::-1]))
        if not why_not(flipped):
            raise DataError(
                f"Section {z} is mirrored: flipped left to right it matches section {near} with SNR {flipped.snr:.2f}. Flip it."
            )
        best = max((pair.snr for pair in pairs if z in (pair.fixed, pair.moving)), default=0.0)
        warnings.warn(f"Section {z} matches no other (SNR at most {best:.2f}) and lies where its neighbours say.", stacklevel=3)


def bent_between(maps: Sequence[Elastic], linked: Sequence[int]) -> tuple[Elastic, ...]:
    """Sections that are not ``linked`` bend as their nearest linked neighbours do in the mean."""
    bent = list(maps)
    for z in set(range(len(maps))) - set(linked):
        bent[z] = replace(maps[z], coefficients=np.mean([maps[k].coefficients for k in nearest(linked, z)], axis=0))
    return tuple(bent)


def without_trend(affines: Sequence[Affine], shape: tuple[int, int]) -> tuple[Affine, ...]:
    """Without what the linear parts gain along the stack (a line through scale, skew and turn by section); middles stay."""
    z = np.arange(len(affines)) - (len(affines) - 1) / 2
    linear = np.array([affine.linear for affine in affines])
    slope = np.einsum("z,zab->ab", z, linear) / max(float((z**2).sum()), 1.0)
    level = linear.mean(axis=0)
    middle = (np.array(shape) - 1) / 2
    straight = []
    for k, affine in zip(z, affines, strict=True):
        turn = np.linalg.solve(level + k * slope, level)
        straight.append(affine.compose(Affine.of(turn, middle - turn @ middle)))
    return tuple(straight)
