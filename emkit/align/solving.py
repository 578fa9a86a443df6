"""The displacement that agrees best, from sums of gradient and curvature (`agreement`): an affine, or a spline that resists
bending.

A displacement d belongs to the fixed image: the next map is the map so far after ``p -> p + d(p)``. Points are (y, x), px.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, comb

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from emkit.align.agreement import TINY, Agreement
from emkit.transforms import Affine, Floats, bspline_basis

THIRD = 2.0  # what changes over less than some 10 spacings is held back by its third derivatives more than by its second
LEAST = 1e-9  # of the mean curvature, added so that what nothing tells stays 0


def best_affine(found: Agreement) -> Affine:
    """``p -> p + d(p)`` for the affine d that agrees best: one Newton step, exact where g and H are."""
    middle = found.points.mean(axis=0)
    size = max(float(np.abs(found.points - middle).max()), 1.0)
    normal, pull = affine_basis(found, middle, size)
    still = LEAST * (float(np.trace(normal)) / 6 + TINY) * np.eye(6)
    d = np.linalg.solve(normal + still, pull)
    return affine_from(np.asarray(d, np.float64).reshape(2, 3), middle, size)


def affine_basis(found: Agreement, middle: Floats, size: float) -> tuple[Floats, Floats]:
    """The normal equations, (6, 6) and (6,), of d = (2, 3) times (1, (y - middle) / size, (x - middle) / size)."""
    basis = np.column_stack([np.ones(len(found.points)), (found.points - middle) / size])
    normal: Floats = np.einsum("ki,kl,kab->aibl", basis, basis, found.curvature, optimize=True).reshape(6, 6)
    return normal, np.einsum("ki,ka->ai", basis, found.gradient).reshape(6)


def affine_from(d: Floats, middle: Floats, size: float) -> Affine:
    """``p -> p + d(p)`` of such a d (2, 3)."""
    linear = np.eye(2) + d[:, 1:] / size
    return Affine.of(linear, d[:, 0] + middle - linear @ middle)


def spline_size(shape: tuple[int, int], spacing_px: float) -> tuple[int, int]:
    """Rows and columns of the coefficients of an `Elastic` over an image (y, x)."""
    return ceil(shape[0] / spacing_px) + 3, ceil(shape[1] / spacing_px) + 3


def best_spline(found: Agreement, before: Floats, spacing_px: float, stiffness: float) -> Floats:
    """Coefficients (rows, columns, 2) that agree best, where those ``before`` are what the images are seen through already.

    They maximise the likelihood less ``stiffness / 2`` times the integral of the squared derivatives (`_bending`).
    """
    rows, columns = before.shape[:2]
    basis = _basis(rows, columns, spacing_px, found.points.tobytes())
    u = spline_displacement(found.points, before, spacing_px)
    h = found.curvature
    weights = [[sparse.diags_array(h[:, i, j]) for j in (0, 1)] for i in (0, 1)]
    bending = stiffness * _bending(rows, columns, spacing_px)
    data = [[basis.T @ weights[i][j] @ basis for j in (0, 1)] for i in (0, 1)]
    scale = LEAST * float(np.abs(h).mean() * len(h) / basis.shape[1])
    still = sparse.eye_array(basis.shape[1]) * (scale + TINY)
    normal = sparse.block_array(
        [[data[0][0] + bending + still, data[0][1]], [data[1][0], data[1][1] + bending + still]], format="csc"
    )
    pull = basis.T @ (found.gradient + np.einsum("kab,kb->ka", h, u))
    solved: Floats = splu(normal, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
        np.concatenate([pull[:, 0], pull[:, 1]])
    )
    return solved.reshape(2, rows, columns).transpose(1, 2, 0)


def spline_displacement(points: Floats, coefficients: Floats, spacing_px: float) -> Floats:
    """(k, 2) displacement at ``points``, those of blocks, px."""
    rows, columns = coefficients.shape[:2]
    basis = _basis(rows, columns, spacing_px, points.tobytes())
    return np.column_stack([basis @ coefficients[..., axis].ravel() for axis in (0, 1)])


@lru_cache(maxsize=8)
def _basis(rows: int, columns: int, spacing_px: float, points: bytes) -> sparse.csr_array:
    """(points, coefficients): what each adds at each point."""
    y, x = np.frombuffer(points, float).reshape(-1, 2).T
    along_y, along_x = bspline_basis(y, rows, spacing_px), bspline_basis(x, columns, spacing_px)
    return sparse.csr_array((along_y[:, :, None] * along_x[:, None, :]).reshape(len(y), -1))


@lru_cache(maxsize=8)
def _bending(rows: int, columns: int, spacing_px: float) -> sparse.csr_array:
    """The integral of the squared second derivatives, and `THIRD` spacings² times that of the third, as a quadratic form of the
    coefficients, by differences."""
    penalty = sparse.csr_array((rows * columns, rows * columns))
    for order, weight in ((2, 1.0), (3, THIRD)):
        for across in range(order + 1):
            down = order - across
            one = sparse.kron(_differences(rows, down), _differences(columns, across))
            penalty += weight * comb(order, across) * (one.T @ one)
    return sparse.csr_array(penalty / spacing_px**2)


def _differences(count: int, order: int) -> sparse.csr_array:
    """(count - order, count)."""
    d = sparse.csr_array(sparse.eye_array(count))
    for _ in range(order):
        d = d[1:] - d[:-1]
    return d
