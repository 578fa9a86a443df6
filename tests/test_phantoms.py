"""Synthetic sections: the truth is true, the seed decides, neighbours share what real neighbours share."""

import numpy as np
from scipy import fft, ndimage

from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine

STILL = SectionPhantom(shape=(256, 256), count=6, seed=3, jitter=0)


def coherence(a: np.ndarray, b: np.ndarray, low: float, high: float) -> float:
    """|<A B*>| / sqrt(<|A|²> <|B|²>) over the frequencies between low and high, waves a px."""
    window = np.outer(np.hanning(256), np.hanning(256))
    first, second = (fft.rfft2((image - image.mean()) * window) for image in (a.astype(float), b.astype(float)))
    waves = np.hypot(fft.fftfreq(256)[:, None], fft.rfftfreq(256))
    ring = (waves >= low) & (waves < high)
    cross = np.abs((first * second.conj())[ring].sum())
    return float(cross / np.sqrt((np.abs(first[ring]) ** 2).sum() * (np.abs(second[ring]) ** 2).sum()))


def test_the_seed_decides_every_byte_in_any_order() -> None:
    again = SectionPhantom(shape=(256, 256), count=6, seed=3, jitter=0)
    assert [again.render_section(z).tobytes() for z in (4, 2)] == [STILL.render_section(z).tobytes() for z in (2, 4)][::-1]
    assert again.affines == STILL.affines
    other = SectionPhantom(shape=(256, 256), count=6, seed=4, jitter=0)
    assert other.render_section(2).tobytes() != STILL.render_section(2).tobytes()


def test_a_longer_stack_begins_like_a_shorter_one() -> None:
    longer = SectionPhantom(shape=(256, 256), count=9, seed=3, jitter=0)
    assert longer.render_section(5).tobytes() == STILL.render_section(5).tobytes()


def test_neighbours_share_structure_but_not_detail_as_real_sections_do() -> None:
    pairs = [(STILL.render_section(z), STILL.render_section(z + 1)) for z in range(5)]
    coarse, fine = (np.mean([coherence(a, b, *ring) for a, b in pairs]) for ring in ((0.01, 0.03), (0.19, 0.25)))
    assert coarse > 0.6
    assert fine < 0.3


def test_a_bad_section_shares_nothing_with_its_neighbours() -> None:
    broken = SectionPhantom(shape=(256, 256), count=6, seed=3, jitter=0, bad=(3,))
    assert broken.render_section(2).tobytes() == STILL.render_section(2).tobytes()
    assert coherence(broken.render_section(2), broken.render_section(3), 0.02, 0.08) < 0.3


def test_the_truth_takes_the_specimen_to_the_section() -> None:
    displaced = SectionPhantom(shape=(256, 256), count=6, seed=3, jitter=1)
    affine = displaced.affines[2]
    seen = ndimage.affine_transform(displaced.render_section(2).astype(float), affine.linear, affine.shift, order=1)
    inner = (slice(40, 216),) * 2
    smooth = [ndimage.gaussian_filter(image.astype(float), 3)[inner] for image in (seen, STILL.render_section(2))]
    assert np.corrcoef(smooth[0].ravel(), smooth[1].ravel())[0, 1] > 0.9
    assert affine != Affine()


def test_sections_need_not_be_square() -> None:
    assert SectionPhantom(shape=(65, 130), count=1, seed=0).render_section(0).shape == (65, 130)
