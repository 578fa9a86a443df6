"""Scores of a segmentation against the true objects: V-Rand, V-Info, VI, ARAND, CREMI, and average precision.

With p(s, t) the share of the labelled voxels (truth not 0) that lie in segment s and object t, and p(s), p(t) its sums:

    V-Rand   Σp(s,t)² / (½ Σp(s)² + ½ Σp(t)²)       Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142
    V-Info   I(S;T) / (½ H(S) + ½ H(T))             ibid.
    VI       H(S|T) (split) + H(T|S) (merge), bits   Meilă 2007
    ARAND    1 - V-Rand                              CREMI, cremi.org/metrics
    CREMI    √(VI · ARAND)                           ibid.
    AP at t  TP / (TP + FP + FN), a match has an intersection over union of t at least (t ≥ 0.5: at most one each)
    MitoEM   area under precision over recall at 0.75, segments ranked by size; Wei et al. 2020
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emkit.measure.overlaps import Overlaps

AP_THRESHOLDS = tuple(np.arange(0.5, 0.951, 0.05))
Floats = NDArray[np.float64]


def partition_scores(table: Overlaps, *, zero_is_segment: bool) -> dict[str, float] | None:
    """V-Rand, V-Info and VI with their split and merge parts; None where the truth labels nothing.

    Voxels whose segment is 0 are one segment like any other, or each a segment of its own (lines between cells).
    """
    labelled = table.truth != 0
    if not labelled.any():
        return None
    truth, segment, count = table.truth[labelled], table.segment[labelled], table.count[labelled].astype(float)
    total = count.sum()
    alone = 0.0 if zero_is_segment else count[segment == 0].sum()
    body = np.ones(len(count), bool) if zero_is_segment else segment != 0
    p_t = _sums(truth, count) / total
    p_s, p_st = _sums(segment[body], count[body]) / total, count[body] / total
    rand = (p_st**2).sum() + alone / total**2
    rand_s, rand_t = (p_s**2).sum() + alone / total**2, (p_t**2).sum()
    h_alone = alone / total * np.log2(total)
    h_s, h_t, h_st = _entropy(p_s) + h_alone, _entropy(p_t), _entropy(p_st) + h_alone
    shared = h_s + h_t - h_st
    return {
        "v_rand": float(rand / (0.5 * rand_s + 0.5 * rand_t)),
        "v_rand_split": float(rand / rand_t),
        "v_rand_merge": float(rand / rand_s),
        "v_info": float(shared / (0.5 * (h_s + h_t))) if h_s + h_t > 0 else 1.0,
        "v_info_split": float(shared / h_s) if h_s > 0 else 1.0,
        "v_info_merge": float(shared / h_t) if h_t > 0 else 1.0,
        "vi_split": float(max(0.0, h_st - h_t)),
        "vi_merge": float(max(0.0, h_st - h_s)),
    }


def precision_scores(table: Overlaps) -> dict[str, float]:
    """AP50, AP75, their mean over 0.50 … 0.95, MitoEM AP75, and how many segments and objects there are.

    What of a segment lies over unlabelled voxels (truth 0) is not held against it.
    """
    objects, of_object = np.unique(table.truth, return_inverse=True)
    segments, of_segment = np.unique(table.segment, return_inverse=True)
    object_size = np.bincount(of_object, table.count, len(objects))
    segment_size = np.bincount(of_segment, table.count, len(segments))
    unlabelled = np.bincount(of_segment, table.count * (table.truth == 0), len(segments))
    both = (table.truth != 0) & (table.segment != 0)
    row, column, count = of_object[both], of_segment[both], table.count[both]
    iou = count / (object_size[row] + (segment_size - unlabelled)[column] - count)
    found = np.flatnonzero((segments != 0) & (segment_size > unlabelled))
    n_true, n_found = int((objects != 0).sum()), len(found)
    ap = {}
    for threshold in AP_THRESHOLDS:  # above one half a match is the only one of both
        matches = int((iou > threshold - 1e-12).sum()) if threshold > 0.5 else len(np.unique(row[iou > 0.5]))
        ap[round(float(threshold), 2)] = matches / max(1, n_found + n_true - matches)
    hit = np.zeros(len(segments), bool)
    hit[column[iou >= 0.75]] = True
    ranked = np.cumsum(hit[found[np.argsort(-segment_size[found], kind="stable")]])
    precision = np.maximum.accumulate((ranked / np.arange(1, n_found + 1))[::-1])[::-1]
    mitoem = float(np.sum(np.diff(ranked / max(1, n_true), prepend=0) * precision))
    return {
        "ap50": ap[0.5], "ap75": ap[0.75], "map": float(np.mean(list(ap.values()))), "mitoem_ap75": mitoem,
        "n_pred": float(n_found), "n_gt": float(n_true),
    }  # fmt: skip


def segmentation_scores(tables: Sequence[Overlaps]) -> dict[str, float]:
    """All of both, averaged over the tables (one a section, or one for a volume), with VI, ARAND and the CREMI score."""
    parts = mean_scores([partition_scores(table, zero_is_segment=True) for table in tables])
    if not parts:
        return {}
    vi, arand = parts["vi_split"] + parts["vi_merge"], 1 - parts["v_rand"]
    precision = mean_scores([precision_scores(table) for table in tables])
    return {**parts, "vi": vi, "arand": arand, "cremi": float(np.sqrt(vi * arand)), **precision}


def mean_scores(found: Sequence[Mapping[str, float] | None]) -> dict[str, float]:
    """Each score averaged over the sections that have one; empty where none has."""
    scored = [one for one in found if one is not None]
    return {name: float(np.mean([one[name] for one in scored])) for name in scored[0]} if scored else {}


def _sums(labels: NDArray[np.int64], count: Floats) -> Floats:
    summed: Floats = np.bincount(np.unique(labels, return_inverse=True)[1], count).astype(float)
    return summed


def _entropy(p: Floats) -> float:
    return float(-(p * np.log2(p)).sum())
