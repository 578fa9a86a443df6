"""Every score equals that of the judge (tests/judges/evaluate_segmentation.py); clefts, a brute-force definition."""

from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from emkit.measure.clefts import cleft_scores
from emkit.measure.membranes import THRESHOLDS, PixelCounts, components, grown, line_scores, thinned_segments
from emkit.measure.overlaps import Overlaps
from emkit.measure.partitions import mean_scores, segmentation_scores

judge: Any = import_module("tests.judges.evaluate_segmentation")
VNC_NM = (45.0, 4.6, 4.6)


def cells(seed: int, shape: tuple[int, int, int] = (3, 40, 50), count: int = 12) -> np.ndarray:
    """Cells around random centres with unlabelled walls, in each section anew; some labels lie far apart."""
    rng = np.random.default_rng(seed)
    sections = []
    for _ in range(shape[0]):
        centres = np.ones(shape[1:], bool)
        centres[tuple(rng.integers(0, shape[1:], (count, 2)).T)] = False
        nearest = ndimage.distance_transform_edt(centres, return_distances=False, return_indices=True)
        labels = nearest[0] * 1_000_003 + nearest[1] + 1
        walls = ndimage.maximum_filter(labels, 2) != ndimage.minimum_filter(labels, 2)
        sections.append(np.where(walls, 0, labels))
    return np.stack(sections).astype(np.int64)


def damaged(truth: np.ndarray, seed: int) -> np.ndarray:
    """Some cells joined, some cut, some left out."""
    rng = np.random.default_rng(seed)
    ids = np.unique(truth)
    to = rng.choice(np.arange(len(ids)), len(ids))
    out = to[np.searchsorted(ids, truth)]
    out[:, : rng.integers(5, 30)] += 1000
    return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dim", [2, 3])
def test_scores_of_labels_are_those_of_the_judge(seed: int, dim: int) -> None:
    truth = cells(seed)
    found = damaged(truth, seed)
    if seed == 3:
        truth[1] = 0  # a section that nobody labelled
    wanted = judge.evaluate_labels(found, truth, dim)
    tables = [Overlaps.of(a, b) for a, b in zip(found, truth, strict=True)]
    assert segmentation_scores([Overlaps.sum(tables)] if dim == 3 else tables) == pytest.approx(wanted, abs=1e-12)


def test_a_perfect_segmentation() -> None:
    truth = cells(0)
    found = segmentation_scores([Overlaps.of(truth + (truth > 0), truth)])
    assert (found["vi"], found["v_rand"], found["ap50"], found["mitoem_ap75"]) == pytest.approx((0, 1, 1, 1))


def test_scores_of_a_probability_are_those_of_the_judge() -> None:
    truth = cells(5)
    membrane = truth == 0
    noise = np.random.default_rng(1).normal(0, 0.15, truth.shape)
    probability = np.clip(ndimage.gaussian_filter(membrane.astype(float), (0, 1, 1)) * 1.5 + noise, 0, 1).astype(np.float32)
    wanted = judge.evaluate_prob(probability, membrane, truth, THRESHOLDS, 2)

    counts = PixelCounts.of(probability[0], membrane[0], 0.5)
    for p, m in zip(probability[1:], membrane[1:], strict=True):
        counts += PixelCounts.of(p, m, 0.5)
    pixel = wanted["pixel"]
    assert (counts.f1, counts.iou, counts.error) == pytest.approx((pixel["f1"], pixel["iou"], pixel["pixel_error"]))

    of_sections = [line_scores(p, t, THRESHOLDS) for p, t in zip(probability, truth, strict=True)]
    curve = [mean_scores(column) for column in zip(*of_sections, strict=True)]
    for name in ("v_rand", "v_info"):
        best = max(range(len(curve)), key=lambda i: curve[i][name])
        assert curve[best][name] == pytest.approx(wanted["thinned"][name], abs=1e-12)
        assert THRESHOLDS[best] == wanted["thinned"][f"{name}_threshold"]
    filled = [grown(thinned_segments(p, THRESHOLDS[best]), p) for p in probability]
    tables = [Overlaps.of(a, b) for a, b in zip(filled, truth, strict=True)]
    assert segmentation_scores(tables) == pytest.approx(wanted["segmentation"], abs=1e-12)


def test_cells_from_their_insides() -> None:
    inside = cells(2)[0] > 0
    np.testing.assert_array_equal(components(inside), judge.components(inside[None], 2)[0])


def test_cleft_distances_are_those_of_every_pair() -> None:
    rng = np.random.default_rng(0)
    found, truth = (rng.random((4, 9, 9)) < 0.05 for _ in range(2))

    def nearest(of: np.ndarray, to: np.ndarray) -> list[float]:
        pairs = product(np.argwhere(of), [np.argwhere(to)])
        return [float(np.sqrt((((others - one) * VNC_NM) ** 2).sum(1)).min()) for one, others in pairs]

    adgt, adf = np.mean(nearest(found, truth)), np.mean(nearest(truth, found))
    scores = cleft_scores(found, truth, VNC_NM)
    assert (scores["adgt_nm"], scores["adf_nm"]) == pytest.approx((adgt, adf))
    assert scores["cremi_cleft"] == pytest.approx((adgt + adf) / 2)
    assert scores["false_positives"] == sum(d > 200 for d in nearest(found, truth))


def test_clefts_on_one_side_only() -> None:
    none, some = np.zeros((1, 4, 4)), np.eye(4)[None]
    assert cleft_scores(none, none, VNC_NM)["cremi_cleft"] == 0
    assert cleft_scores(some, none, VNC_NM)["adgt_nm"] == np.inf
    assert cleft_scores(none, some, VNC_NM)["false_negatives"] == 4
