"""Two sections, or a stack of them, to maps between them: the doors of alignment, arrays in and maps out.

A pair is searched for by turn and shift, over the whole circle where the first look finds nothing, matched by patches from
coarse to fine (`pairs`), judged, and refined over its whole overlap (`refining`). A map goes from fixed px to moving px; points
are (y, x), pixel centres at integers; pixels of value 0 are no data.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emkit.align.pairs import Match, match_pair
from emkit.align.quality import CALIBRATION, DISAGREEMENT
from emkit.align.refining import Seen, refine_affine, refine_elastic
from emkit.errors import DataError, ParameterError
from emkit.transforms import Affine, CoordinateMap

Model = Literal["affine", "elastic"]
Image = NDArray[np.generic]

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
    fixed, moving = one_shape(fixed, moving)
    match = match_pair(fixed, moving, max_shift_px)
    if refused := why_not(match):
        flip = Affine.of(np.diag([1.0, -1.0]), (0, moving.shape[1] - 1))
        turned = (
            match_pair(fixed, np.ascontiguousarray(moving[:, ::-1]), max_shift_px)
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
        return flip.compose(refined(fixed, np.ascontiguousarray(moving[:, ::-1]), turned.affine, model))
    return refined(fixed, moving, match.affine, model)


def refined(fixed: Image, moving: Image, start: Affine, model: Model) -> CoordinateMap:
    """The map of ``model`` near ``start``."""
    still, other = Seen.of(fixed), Seen.of(moving)
    affine = refine_affine(still, other, start)
    return affine if model == "affine" else refine_elastic(still, other, affine)


def one_shape(fixed: Image, moving: Image) -> tuple[Image, Image]:
    """Both (y, x) with pixels of value 0, which are no data, after their last rows and columns; px stay what they are."""
    for name, image in (("fixed", fixed), ("moving", moving)):
        if image.ndim != 2:
            raise ParameterError(f"{name}: found an array of shape {image.shape}; needed: one section (y, x).")
    height, width = (max(a, b) for a, b in zip(fixed.shape, moving.shape, strict=True))
    padded = (np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]))) for image in (fixed, moving))
    return next(padded), next(padded)


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
