"""Landmarks pin the common space of a stack: places in sections that are to lie at known places of the volume.

Sections agree among themselves but for one map that all share: that one is free, and landmarks choose it. So they lay the stack on
another image of the block, or on an earlier volume, and bend nothing. Points are (y, x), px, pixel centres at integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emkit.align.fit import fit_affine
from emkit.transforms import Affine, Floats

Point = tuple[float, float]
LEAST_SPREAD = 0.05  # of the longer axis of the points: what is narrower is a line, and says nothing across it


@dataclass(frozen=True)
class Landmark:
    """A place (y, x) in a section, px as imaged, and where it is to lie on the canvas, px."""

    section: int
    place: Point
    target: Point


def pin(affines: Sequence[Affine], landmarks: Sequence[Landmark]) -> tuple[tuple[Affine, ...], Floats]:
    """The affines (canvas px → section px) on the canvas that ``landmarks`` tell, and by how many px each is off.

    One map for all, with as much freedom as they hold: a shift for one, a shift, turn and scale for two or for some on a line, an
    affine for three or more.
    """
    targets = np.array([one.target for one in landmarks], float)
    lying = np.array([affines[one.section].invert().apply(one.place) for one in landmarks])
    space = common_map(targets, lying)
    off = np.hypot(*(space.invert().apply(lying) - targets).T)
    return tuple(affine.compose(space) for affine in affines), off


def common_map(points: Floats, targets: Floats) -> Affine:
    """The map of (k, 2) ``points`` to ``targets`` that their number and spread allow."""
    middle, spreads = points.mean(axis=0), [np.linalg.svd(part - part.mean(axis=0), compute_uv=False) for part in (points, targets)]
    if len(points) == 1 or any(spread[0] == 0 for spread in spreads):
        return Affine.translation(*(targets.mean(axis=0) - middle))
    if len(points) > 2 and all(spread[1] > LEAST_SPREAD * spread[0] for spread in spreads):
        return fit_affine(points, targets, np.ones(len(points))).affine
    # a similarity: in the plane of complex numbers one factor
    before, after = ((part - part.mean(axis=0)) @ [1, 1j] for part in (points, targets))
    factor = (before.conj() @ after) / (before.conj() @ before)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return Affine.of(linear, targets.mean(axis=0) - linear @ middle)
