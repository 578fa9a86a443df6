"""Electrons that lie on each other: a detector that explains the charge of a frame, not only its peaks. Places are (ky, kx), px.

The charge of one electron is the integral of a Gaussian over each pixel. Every peak starts as one electron; all are fitted
together (Gauss-Newton, each in its 3 x 3 pixels, the others' charge taken away), and where charge is left over that no electron
explains, one more is put there. It stays if its energy is that of an electron and it lies apart from the first. So electrons
that share one peak are told apart, which no rule about single pixels can do, and every place comes with a fraction of a pixel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Floats = NDArray[np.float64]
AROUND = np.arange(-1, 2)
ROUNDS = 4
DEGENERATE_PX = 0.35  # two places closer than this are one electron of more energy


@dataclass(frozen=True)
class Charge:
    """What an electron leaves: `width_px`, the standard deviation of its Gaussian; `least_adu`, the least energy of one."""

    width_px: float
    least_adu: float
    noise_adu: float


def fit_electrons(v: NDArray[Any], peaks: NDArray[Any], charge: Charge) -> tuple[Floats, Floats]:
    """The places (n, 2) and energies (n,) of the electrons of one frame; at least one for each peak, in no order.

    `v` is the corrected frame, its offset subtracted; `peaks` are the flat indices of its events.
    """
    frame = np.pad(v.astype(np.float64), 2)
    width = v.shape[1] + 4
    y, x = np.divmod(peaks.astype(np.int64), v.shape[1])
    at = np.stack([y + 2, x + 2], -1).astype(np.float64)
    energy = np.maximum(_windows(frame, at).sum((1, 2)), charge.least_adu)
    fixed = at.copy()
    at, energy = _refine(frame, at, energy, fixed, charge)
    for _ in range(2):  # three electrons on one place are rare
        left = frame - _image(frame.shape, at, energy, charge)
        around = _windows(left, fixed)
        most = around.reshape(len(around), -1).argmax(1)
        where = fixed + np.stack([AROUND[most // 3], AROUND[most % 3]], -1)
        found = around.reshape(len(around), -1)[np.arange(len(around)), most] > max(0.12 * charge.least_adu, 4 * charge.noise_adu)
        flat, first = np.unique((where[found, 0] * width + where[found, 1]).astype(np.int64), return_index=True)
        if not flat.size:
            break
        new = where[found][first]
        before = len(at)
        at, fixed = np.concatenate([at, new]), np.concatenate([fixed, new])
        energy = np.concatenate([energy, np.full(len(new), charge.least_adu)])
        at, energy = _refine(frame, at, energy, fixed, charge)
        kept = _plausible(at, energy, before, charge)
        at, energy, fixed = at[kept], energy[kept], fixed[kept]
        at, energy = _refine(frame, at, energy, fixed, charge)
    return at - 2, energy


def _plausible(at: Floats, energy: Floats, before: int, charge: Charge) -> NDArray[np.bool_]:
    """All that were there before, and of the new ones those that have an electron's energy, a partner with one, and a place apart."""
    from scipy.spatial import cKDTree

    kept = np.ones(len(at), bool)
    distance, partner = cKDTree(at[:before]).query(at[before:])
    apart = (distance > DEGENERATE_PX) & (energy[before:] > charge.least_adu) & (energy[partner] > charge.least_adu)
    kept[before:] = apart
    return kept


def _refine(frame: Floats, at: Floats, energy: Floats, fixed: Floats, charge: Charge) -> tuple[Floats, Floats]:
    """A few rounds of Gauss-Newton over all electrons, each within a pixel and a half of where it was found."""
    rows = fixed[:, 0, None].astype(int) + AROUND
    columns = fixed[:, 1, None].astype(int) + AROUND
    for _ in range(ROUNDS):
        left = frame - _image(frame.shape, at, energy, charge)
        (py, dy), (px, dx) = (_share(rows, at[:, 0], charge), _share(columns, at[:, 1], charge))
        by_y = energy[:, None, None] * dy[:, :, None] * px[:, None, :]
        by_x = energy[:, None, None] * py[:, :, None] * dx[:, None, :]
        by_energy = py[:, :, None] * px[:, None, :]
        slopes = np.stack([by_y, by_x, by_energy], 1).reshape(len(at), 3, 9)
        wrong = left[rows[:, :, None], columns[:, None, :]].reshape(len(at), 9)
        normal = slopes @ slopes.transpose(0, 2, 1) + np.diag([charge.least_adu**2, charge.least_adu**2, 1.0]) * 1e-3
        step = np.linalg.solve(normal, (slopes @ wrong[:, :, None]))[:, :, 0]
        at = np.clip(at + 0.7 * np.clip(step[:, :2], -0.4, 0.4), fixed - 1.2, fixed + 1.2)
        energy = np.maximum(energy + 0.7 * step[:, 2], 0.0)
    return at, energy


def _share(pixels: NDArray[np.intp], centre: Floats, charge: Charge) -> tuple[Floats, Floats]:
    """The part of the charge in each of these pixels along one axis, and how it changes as the centre moves."""
    edges = np.concatenate([pixels - 0.5, pixels[:, -1:] + 0.5], 1) - centre[:, None]
    scaled = edges / charge.width_px
    density = np.exp(-0.5 * scaled**2) / (charge.width_px * np.sqrt(2 * np.pi))
    return np.diff(0.5 * (1 + erf(scaled / np.sqrt(2))), axis=1), -np.diff(density, axis=1)


def _image(shape: tuple[int, ...], at: Floats, energy: Floats, charge: Charge) -> Floats:
    """The charge of all electrons."""
    reach = np.arange(-2, 3)
    rows, columns = (np.rint(at[:, a, None]).astype(int) + reach for a in (0, 1))
    (py, _), (px, _) = _share(rows, at[:, 0], charge), _share(columns, at[:, 1], charge)
    found = energy[:, None, None] * py[:, :, None] * px[:, None, :]
    inside = ((rows >= 0) & (rows < shape[0]))[:, :, None] & ((columns >= 0) & (columns < shape[1]))[:, None, :]
    flat = (rows[:, :, None] * shape[1] + columns[:, None, :])[inside]
    return np.bincount(flat, weights=found[inside], minlength=shape[0] * shape[1]).reshape(shape)


def _windows(frame: Floats, at: Floats) -> Floats:
    """The 3 x 3 pixels around each place, (n, 3, 3)."""
    rows, columns = (at[:, a, None].astype(int) + AROUND for a in (0, 1))
    return frame[rows[:, :, None], columns[:, None, :]]
