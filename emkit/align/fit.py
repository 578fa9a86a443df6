"""The affine that most point pairs agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emkit.transforms import Affine, Floats

ROUNDS = 8
FLOOR_PX = 0.7  # disagreement below this is measurement, not error: nobody loses weight for it


@dataclass(frozen=True)
class Fit:
    affine: Affine
    residual_px: Floats  # (k,) distance of each pair from the affine


def fit_affine(points: Floats, targets: Floats, weights: Floats) -> Fit:
    """The affine that takes ``points`` (k, 2) to ``targets`` (k, 2), robustly.

    Least squares with weights ``weights · (1 + (r / 2s)²)^-2`` for residuals r, iterated (a redescending M-estimator: a pair
    far off loses all say); s is the spread of the residuals, 1.4826 times their median, no less than `FLOOR_PX`.
    Needs k ≥ 3 points that are not in line.

    >>> corners = np.array([[0.0, 0], [0, 9], [9, 0], [9, 9]])
    >>> fit_affine(corners, corners + [1, 2], np.ones(4)).affine.shift.round(6).tolist()
    [1.0, 2.0]
    """
    middle = points.mean(axis=0)  # about the middle the equations are well conditioned
    design = np.column_stack([points - middle, np.ones(len(points))])
    trust = np.ones(len(points))
    for _ in range(ROUNDS):
        root = np.sqrt(weights * trust)[:, None]
        solution = np.linalg.lstsq(design * root, targets * root, rcond=None)[0]
        residual = np.hypot(*(design @ solution - targets).T)
        spread = max(FLOOR_PX, 1.4826 * float(np.median(residual)))
        trust = (1 + (residual / (2 * spread)) ** 2) ** -2
    linear = solution[:2].T
    return Fit(Affine.of(linear, solution[2] - linear @ middle), residual)
