"""Electrons that lie on each other: a detector that explains the charge of a frame, not only its peaks. Places are (ky, kx), px.

The charge of one electron is the integral of a Gaussian over each pixel. Every peak starts as one electron; all are fitted
together (Gauss-Newton, each in its 3 x 3 pixels, the others' charge taken away), and where charge is left over that no electron
explains, one more is put there. It stays if its energy is that of an electron and it lies apart from the first. So electrons
that share one peak are told apart, which no rule about single pixels can do, and every place comes with a fraction of a pixel.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter
from scipy.spatial import cKDTree
from scipy.special import erf

from emkit.count.counting import count_frames, rows_of
from emkit.count.definition import corrected
from emkit.errors import DataError
from emkit.model import CountedScan, Thresholds, offsets_of

Floats = NDArray[np.float64]
AROUND = np.arange(-1, 2)
ROUNDS = 4
DEGENERATE_PX = 0.35  # two places closer than this are one electron of more energy
LEAST = 0.38  # of the median energy: hardly an electron leaves less
FRAMES_FOR_CHARGE = 20
ELECTRONS_FOR_CHARGE = 4000
ALONE_PX = 3  # from the middle of an electron to the border of what it must have for itself
WIDTHS_PX = np.arange(0.2, 1.01, 0.05)


@dataclass(frozen=True)
class Charge:
    """What an electron leaves: the standard deviation of its Gaussian, the least energy of one, and the noise of a pixel."""

    width_px: float
    least_adu: float
    noise_adu: float


@dataclass(frozen=True)
class LocatedScan:
    """A scan whose events are the pixels nearest to the electrons, and for each event its place (ky, kx), px, and energy, ADU."""

    scan: CountedScan
    places: NDArray[np.float32]
    energies_adu: NDArray[np.float32]
    charge: Charge


def locate_electrons(
    frames: NDArray[Any],
    thresholds: Thresholds,
    dark: NDArray[Any] | None = None,
    gain: NDArray[Any] | None = None,
    scan_shape: tuple[int, int] | None = None,
    charge: Charge | None = None,
) -> LocatedScan:
    """The electrons of every frame, those that share a peak apart, each with its place to a fraction of a pixel.

    Arguments are those of `count_frames`; it is some hundred times slower. Two electrons in one pixel are two events of it.
    Peaks beside an X-ray are left out: they are its shoulders. `charge` is estimated from the electrons that lie alone, if it
    is not given.
    """
    peaks = count_frames(frames, thresholds, dark, gain, scan_shape)
    rows = rows_of(frames)
    charge = charge or estimate_charge(rows, peaks, dark, gain)
    frame_shape = np.array(peaks.frame_shape)

    def locate(k: int) -> tuple[Floats, Floats]:
        v, level = _levelled(rows[k], dark, gain)
        found = peaks.indices[peaks.offsets[k] : peaks.offsets[k + 1]]
        bright = maximum_filter(v + level, 3, mode="constant").ravel()[found] >= thresholds.xray
        at, energy = fit_electrons(np.minimum(v, thresholds.xray), found[~bright], charge)
        inside = ((at >= -0.5) & (at < frame_shape - 0.5)).all(1)
        pixel = np.rint(at[inside]).astype(np.int64)
        order = np.argsort(pixel[:, 0] * frame_shape[1] + pixel[:, 1], kind="stable")
        return at[inside][order], energy[inside][order]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        found = list(threads.map(locate, range(len(rows))))
    places = np.concatenate([np.zeros((0, 2)), *(at for at, _ in found)])
    energies = np.concatenate([np.zeros(0), *(energy for _, energy in found)])
    offsets = offsets_of(len(at) for at, _ in found)
    pixel = np.rint(places).astype(np.int64)
    indices = (pixel[:, 0] * frame_shape[1] + pixel[:, 1]).astype(np.uint32)
    scan = replace(peaks, offsets=offsets, indices=indices)
    return LocatedScan(scan, places.astype(np.float32), energies.astype(np.float32), charge)


def estimate_charge(
    frames: NDArray[Any], peaks: CountedScan, dark: NDArray[Any] | None = None, gain: NDArray[Any] | None = None
) -> Charge:
    """How wide electrons are, and how weak, from those that lie alone; of the first frames.

    The width is the one that explains most of their charge."""
    windows: list[Floats] = []
    noises = []
    reach = np.arange(-ALONE_PX, ALONE_PX + 1)
    for k in range(min(len(frames), FRAMES_FOR_CHARGE)):
        v, _ = _levelled(frames[k], dark, gain)
        quiet = np.abs(v) <= 4 * max(1.4826 * float(np.median(np.abs(v))), 0.5)
        noises.append(float(v[quiet].std()))
        found = peaks.indices[peaks.offsets[k] : peaks.offsets[k + 1]].astype(np.int64)
        image = np.zeros(v.shape)
        np.put(image, found, 1.0)
        crowd = uniform_filter(image, len(reach), mode="constant").ravel()[found] * len(reach) ** 2
        y, x = np.divmod(found[crowd < 1.5], v.shape[1])
        kept = (np.minimum(y, x) >= ALONE_PX) & (y < v.shape[0] - ALONE_PX) & (x < v.shape[1] - ALONE_PX)
        windows.append(v[y[kept, None, None] + reach[:, None], x[kept, None, None] + reach])
    alone = np.concatenate([np.zeros((0, len(reach), len(reach))), *windows])[:ELECTRONS_FOR_CHARGE]
    if not len(alone):
        raise DataError("frames: no electron lies alone, so that its charge cannot be measured. Give charge=Charge(...) yourself.")
    energies = alone.sum((1, 2))
    noise, energy = float(np.median(noises)), float(np.median(energies))
    alone = alone[np.abs(energies - energy) < energy]  # X-rays and what lies beside them are no measure
    row = alone.transpose(1, 0, 2).reshape(len(reach), -1)  # side by side: a frame of electrons
    middle = ALONE_PX * row.shape[1] + np.arange(len(alone)) * len(reach) + ALONE_PX
    left = [float(np.abs(_left(row, middle, Charge(width, LEAST * energy, noise))).mean()) for width in WIDTHS_PX]
    best = int(np.clip(np.argmin(left), 1, len(left) - 2))
    before, least, after = left[best - 1 : best + 2]
    bend = before - 2 * least + after
    shift = 0.5 * (before - after) / bend * (WIDTHS_PX[1] - WIDTHS_PX[0]) if bend > 0 else 0.0
    return Charge(float(WIDTHS_PX[best] + shift), LEAST * energy, noise)


def _left(frame: Floats, middle: NDArray[np.int64], charge: Charge) -> Floats:
    """What one electron at each of these pixels does not explain."""
    padded = np.pad(frame, 2)
    at = np.stack(np.divmod(middle, frame.shape[1]), -1) + 2.0
    places, energy = _refine(padded, at, np.maximum(_windows(padded, at).sum((1, 2)), charge.least_adu), at, charge)
    return padded - _image(padded.shape, places, energy, charge)


def _levelled(frame: NDArray[Any], dark: NDArray[Any] | None, gain: NDArray[Any] | None) -> tuple[Floats, float]:
    """The frame with its median at 0, which is noise where electrons are few, and what was taken away."""
    v = corrected(frame, dark, gain).astype(np.float64)
    level = float(np.median(v))
    return v - level, level


def fit_electrons(v: NDArray[Any], peaks: NDArray[Any], charge: Charge) -> tuple[Floats, Floats]:
    """The places (n, 2) and energies (n,) of the electrons of one frame; at least one for each peak, in no order.

    `v` is the corrected frame, its offset subtracted; `peaks` are the flat indices of its events.
    """
    if not peaks.size:
        return np.zeros((0, 2)), np.zeros(0)
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
    """All that were there before, and of the new ones those with an electron's energy, a partner with one, and a place apart."""
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
    image: Floats = np.bincount(flat, weights=found[inside], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    return image


def _windows(frame: Floats, at: Floats) -> Floats:
    """The 3 x 3 pixels around each place, (n, 3, 3)."""
    rows, columns = (at[:, a, None].astype(int) + AROUND for a in (0, 1))
    return frame[rows[:, :, None], columns[:, None, :]]
