"""How two images that lie nearly on each other agree, and which way they would agree better: the last fraction of a pixel.

Of two images that share a part of their waves, the log-likelihood of a displacement d is a correlation with weights: the share of
wave k counts as ``γ / (1 - γ²)`` over its power, with the coherence γ(k) of the two (the maximum likelihood of a delay, Knapp &
Carter 1976). γ and power are those of the images themselves, by rings of frequency, so nothing is assumed of the specimen or
the microscope. With both images filtered by the root of the weight, a and b, the likelihood near d = 0 is

    g·d - d·H d / 2,   g = (a ∇b - b ∇a) / 2,   H = s (∇a ∇aᵀ + ∇b ∇bᵀ) / 2,

point by point, with the share s of their slopes that they have in common; the obvious ``∇a ∇bᵀ`` has the same mean, but is no
curvature of a summit where the two do not lie on each other yet. It needs no peaks, so it has no outliers, and whatever d may
be (an affine, a spline, displacements of a whole stack) is solved from sums of the same g and H. The antisymmetric g is 0 in
the mean where the images agree, though windows cut them. How far it sees is a part of the longest waves that count; ``limit``
leaves only those, to see further.

Where the fastest waves tell next to nothing, as on sections at full resolution, every second pixel of the filtered images does:
the same sums for a third of the work.

g and H are summed over blocks; where neighbourhoods share more they say more, and count more. Both are in natural units of
likelihood: the inverse of a sum of H is the covariance (px²) of what is solved from it. Points are (y, x), px.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from emkit.align.correlation import Pixels, taper
from emkit.transforms import Floats

Waves = NDArray[np.complex64]

RINGS = 64  # a cycle a px
FINE = 16  # parts of a ring, by which weights change
TOLD_BEYOND = 0.05  # share of all, told by the fastest waves of every second px, that asks for all px
FASTEST = 3  # rings
HIGHEST = 0.45  # cycles a px: beyond are the corners of the square
BLOCK_PX = 8
NEIGHBOURHOOD_PX = 8  # over which local agreement is told: a membrane and what lies along it
EDGE = 0.03  # of each half axis that the window takes to fall
LEAST_ALIKE = 0.1  # share of slopes in common that is believed at least, which keeps steps short
TINY = float(np.finfo(np.float32).tiny)  # keeps sums of nothing from being divided by
MOST = 0.95  # coherence is not trusted beyond: identical noise, or a smooth background, would have all the say


@dataclass(frozen=True)
class Agreement:
    """Sums over blocks (k of them) of what images tell about the displacement of their content, b's against a's.

    `points` (k, 2) are middles of blocks, `gradient` (k, 2), `curvature` (k, 2, 2). `coherence` (rings,) is what they share.
    """

    points: Floats
    gradient: Floats
    curvature: Floats
    coherence: Floats

    def moved(self, start: tuple[int, int]) -> Agreement:
        """Of windows that begin at ``start`` (y, x)."""
        return replace(self, points=self.points + start)

    def enlarged(self, factor: int) -> Agreement:
        """Of images that were shrunk by ``factor``, in px of the full ones."""
        points = self.points * factor + (factor - 1) / 2
        return Agreement(points, self.gradient / factor, self.curvature / factor**2, self.coherence)


def agreement(fixed: Pixels, moving: Pixels, seen: Pixels, limit: float = np.inf) -> Agreement:
    """Of ``fixed`` and ``moving`` (y, x), of mean 0 and one shape, where ``seen`` (1 where both are, 0 where not) says.

    ``limit``: cycles a px above which waves are left out, softly.
    """
    shape = (fixed.shape[0], fixed.shape[1])
    window = seen * taper(shape, EDGE)
    whole = (2 * fft.next_fast_len(-(-shape[0] // 2)), 2 * fft.next_fast_len(-(-shape[1] // 2), real=True))
    a, b = (fft.rfft2(image * window, s=whole) for image in (fixed, moving))
    step, slow_a, slow_b = 2, _slow_waves(a), _slow_waves(b)
    weights_a, weights_b, coherence, beyond = _weights(slow_a, slow_b, _rings(whole, step), limit)
    if beyond > TOLD_BEYOND:
        step, slow_a, slow_b = 1, a, b
        weights_a, weights_b, coherence, _ = _weights(a, b, _rings(whole, step), limit)
    small = (-(-shape[0] // step), -(-shape[1] // step))
    rows = fft.fftfreq(whole[0] // step, step)[:, None].astype(np.float32)
    columns = fft.rfftfreq(whole[1] // step, step)[None].astype(np.float32)
    middle = np.exp(1j * np.pi * (step - 1) * (rows + columns)).astype(np.complex64)  # of the px that a sample stands for
    a, b = slow_a * (weights_a * middle), slow_b * (weights_b * middle)
    step_y, step_x = 2j * np.pi * rows, 2j * np.pi * columns
    plain_a, plain_b, ay, by, ax, bx = (
        fft.irfft2(wave, s=(whole[0] // step, whole[1] // step))[: small[0], : small[1]]
        for wave in (a, b, a * step_y, b * step_y, a * step_x, b * step_x)
    )
    side = BLOCK_PX // step
    count = _local_say(plain_a, plain_b, side) * seen[::step, ::step]
    terms = (
        (plain_a * by - plain_b * ay) / 2,
        (plain_a * bx - plain_b * ax) / 2,
        (ay * ay + by * by) / 2,
        (ay * ax + by * bx) / 2,
        (ax * ax + bx * bx) / 2,
    )
    # by Parseval: sums over waves are sums over pixels times their number
    number = fixed.size / step**2
    gy, gx, hyy, hyx, hxx = (_block_sums(term * count, side) * number for term in terms)
    middles = [np.arange(-(-n // BLOCK_PX)) * BLOCK_PX + (BLOCK_PX - 1) / 2 for n in shape]
    points = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
    alike = float(((ay * by + ax * bx) * count).sum()) * number / max(float((hyy + hxx).sum()), TINY)
    hyy, hyx, hxx = (part * max(alike, LEAST_ALIKE) for part in (hyy, hyx, hxx))
    curvature = np.stack([hyy, hyx, hyx, hxx], axis=-1).reshape(-1, 2, 2)
    return Agreement(points, np.stack([gy, gx], axis=-1).reshape(-1, 2), curvature, coherence)


def _slow_waves(waves: Waves) -> Waves:
    """The waves below a quarter cycle a px of a transform, (y, x // 2 + 1) with y and x even: those of every second px."""
    half, width = waves.shape[0] // 2, (waves.shape[1] - 1) // 2
    return np.concatenate([waves[: (half + 1) // 2, : width + 1], waves[-(half // 2) :, : width + 1]])


@lru_cache(maxsize=4)
def _rings(whole: tuple[int, int], step: int) -> NDArray[np.int16]:
    """(y, x // 2 + 1): part of a ring (`FINE`) of each wave of every ``step``-th px of an image of the shape ``whole``."""
    rows, columns = fft.fftfreq(whole[0] // step, step)[:, None], fft.rfftfreq(whole[1] // step, step)
    last = int(HIGHEST / step * RINGS)
    rings: NDArray[np.int16] = np.minimum((np.hypot(rows, columns) * (RINGS * FINE)).astype(np.int16), (last + 1) * FINE - 1)
    rings.flags.writeable = False
    return rings


def _weights(a: Waves, b: Waves, parts: NDArray[np.int16], limit: float) -> tuple[Pixels, Pixels, Floats, float]:
    """Roots of the weights of each wave of a and of b, the coherence by rings, and what share of all their `FASTEST` tell."""
    ring = (parts // FINE).ravel()
    last = int(ring.max())
    count = np.maximum(np.bincount(ring, minlength=last + 1), 1)
    power_a, power_b, common = (
        np.bincount(ring, part.ravel(), minlength=last + 1) / count
        for part in (a.real**2 + a.imag**2, b.real**2 + b.imag**2, a.real * b.real + a.imag * b.imag)
    )
    floor = max(1e-9 * float(power_a.max()), 1e-9 * float(power_b.max()), TINY)
    power_a, power_b = np.maximum(power_a, floor), np.maximum(power_b, floor)
    by_chance = 2 / np.sqrt(count)  # rings that agree no more than strangers would are left out
    raw = common / np.sqrt(power_a * power_b)
    coherence = np.clip(np.where(raw > by_chance, raw, 0), 0, MOST)
    coherence[last] = 0
    # its place, so that it does not jump from ring to ring
    middles = (np.arange(last + 1) + 0.5) / RINGS
    weight = coherence / (1 - coherence**2) * np.exp(-((middles / limit) ** 4))
    told = weight * coherence * middles**2 * count
    beyond = float(told[-FASTEST:].sum()) / max(float(told.sum()), TINY)
    places = (np.arange((last + 1) * FINE) + 0.5) / (RINGS * FINE)
    roots = (np.interp(places, middles, np.sqrt(weight / power)).astype(np.float32) for power in (power_a, power_b))
    root_a, root_b = (root[parts] for root in roots)
    return root_a, root_b, coherence, beyond


def _local_say(a: Pixels, b: Pixels, side: int) -> Pixels:
    """Where neighbourhoods share r of their power, r / (1 - r²) over that power, as a multiple of the same for the whole."""
    aa, bb, ab = (_block_sums(term, side) / side**2 for term in (a * a, b * b, a * b))
    aa, bb, ab = (ndimage.gaussian_filter(blocks, NEIGHBOURHOOD_PX / BLOCK_PX, mode="nearest") for blocks in (aa, bb, ab))
    mean = float(np.sqrt(aa.mean() * bb.mean())) + TINY
    if mean <= TINY:  # they share nothing, as strangers that a person laid on each other
        return np.zeros_like(a)
    power = np.sqrt(aa * bb) + 1e-2 * mean
    shared, usual = np.clip(ab / power, 0.05, 0.9), min(max(float(ab.mean()) / mean, 0.05), 0.9)
    say: Pixels = (shared / (1 - shared**2) / power * (mean * (1 - usual**2) / usual)).astype(np.float32)
    spread: Pixels = say.repeat(side, axis=0).repeat(side, axis=1)[: a.shape[0], : a.shape[1]]
    return spread


def _block_sums(values: Pixels, side: int) -> Pixels:
    """Of blocks of ``side``² px, those at the far edges of what is left."""
    height, width = values.shape
    rows, columns = np.arange(0, height, side), np.arange(0, width, side)
    sums: Pixels = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    return sums
