"""Cells or a membrane probability against a truth that people made. Axis order is (z, y, x)."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.io.arrays import Voxels
from emkit.io.probabilities import DTYPES, as_probability, told_dim
from emkit.io.voxels import open_voxels
from emkit.measure.clefts import cleft_scores
from emkit.measure.membranes import HALF, THRESHOLDS, PixelCounts, components, grown, line_scores, thinned_segments
from emkit.measure.overlaps import Overlaps
from emkit.measure.partitions import mean_scores, partition_scores, segmentation_scores
from emkit.params import Positive, Reads, Unit, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

TruthKind = Literal["by-values", "interior", "membrane", "instances", "cleft"]
Threshold = Annotated[float, Gt(0), Lt(1)]
Table = list[list[int]]
SHOWN = {
    "v_rand": "V-Rand", "v_info": "V-Info", "f1": "F1", "iou": "IoU", "best_f1": "best F1", "best_iou": "best IoU",
    "vi": "VI", "vi_split": "split", "vi_merge": "merge", "arand": "ARAND", "cremi": "CREMI", "ap50": "AP50", "ap75": "AP75",
    "mitoem_ap75": "MitoEM AP75", "cremi_cleft": "CREMI cleft (nm)", "adgt_nm": "ADGT (nm)", "adf_nm": "ADF (nm)",
}  # fmt: skip


@dataclass(frozen=True)
class ScoreReport:
    """Scores by group: `membrane` pixel by pixel, `lines` between thinned lines at the best threshold, `cells`, `clefts`."""

    kind: Literal["labels", "probability", "clefts"]
    dim: int
    scores: dict[str, dict[str, float]]

    def __str__(self) -> str:
        rows = []
        for group, found in self.scores.items():
            told = "  ".join(f"{name} {found[key]:.4f}" for key, name in SHOWN.items() if key in found)
            rows.append(f"{group:9s} {told}")
        return "\n".join(rows)


@dataclass(frozen=True)
class Job:
    """What every task needs to know; `kind` of the truth is settled."""

    found: Path
    truth: Path
    kind: TruthKind
    dim: int


@dataclass(frozen=True)
class Curve:
    """Of a section at each threshold: scores of what lies between the lines, and pixels; pixels at one half too."""

    lines: list[dict[str, float] | None]
    pixels: list[PixelCounts]


@step
def score(
    found: Annotated[Path, Reads("voxels")],
    truth: Annotated[Path, Reads("voxels")],
    *,
    truth_kind: TruthKind = "by-values",
    dim: Annotated[int, Ge(2), Le(3)] | None = None,
    thresholds: tuple[Threshold, ...] = THRESHOLDS,
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive] | None, Unit("nm")] = None,
    out: Annotated[Path | None, Writes("table")] = None,
) -> Body[ScoreReport]:
    """Score a segmentation, or a membrane probability, against a truth.

    Labels get V-Rand, V-Info, ARAND, VI (split and merge, bits), the CREMI score, AP50, AP75 and the AP75 of MitoEM. A probability
    gets F1 and IoU pixel by pixel, V-Rand and V-Info between its thinned lines at the best threshold of the stack, and what labels
    get for the cells that lie between those lines. What the truth does not label counts nowhere.

    Parameters
    ----------
    found
        What is scored: labels, or the probability of membrane.
    truth
        The truth, as large: a volume, a folder of sections, or one file.
    truth_kind
        interior: not 0 is cell interior. membrane: not 0 is membrane. instances: a number for each cell, 0 is unlabelled. cleft:
        not 0 is cleft, scored by distances. by-values: interior where a byte has two values, else instances.
    dim
        2: each section on its own, and the mean; 3: the volume. Default: as it was segmented or predicted, else 2.
    thresholds
        At which a probability is cut; the best is taken.
    voxel_size_nm
        Size of a voxel (z, y, x), for clefts, where neither volume tells it.
    out
        All scores as JSON, if they are to be kept.
    """
    scored, true = open_voxels(found), open_voxels(truth)
    _check(found, scored, truth, true)
    is_labels = scored.kind == "labels" or (scored.kind is None and scored.dtype not in DTYPES)
    kind = _kind(truth, true) if truth_kind == "by-values" else truth_kind
    job = Job(found, truth, kind, dim or told_dim(found) or 2)
    depth, *section = scored.shape
    held = prod(section) * (depth if job.dim == 3 or kind == "cleft" else 1)
    task_bytes = 60_000_000 + (20 if is_labels and kind == "instances" else 108) * held  # measured
    work = Load(1 if job.dim == 3 or kind == "cleft" else depth, task_bytes, held * (1e-7 if is_labels else 5e-6))
    yield Plan(20_000_000, 100_000, 0.5, stages=(work,) if is_labels or kind == "cleft" else (work, work))

    if kind == "cleft":
        size_nm = voxel_size_nm or scored.voxel_size_nm or true.voxel_size_nm
        if size_nm is None:
            raise ParameterError(f"voxel_size_nm is missing: neither {found} nor {truth} tells it. Give z, y, x in nm.")
        measured = yield from stage("clefts", measure_clefts, {"all": (job, size_nm)})
        report = ScoreReport("clefts", 3, {"clefts": measured["all"]})
    else:
        parts = {f"z {z}": (job, z, z + 1) for z in range(depth)} if job.dim == 2 else {"all": (job, 0, depth)}
        scores: dict[str, dict[str, float]] = {}
        cut = None
        if not is_labels:
            ordered = tuple(sorted(set(thresholds)))
            curves = yield from stage("thresholds", scan_thresholds, {k: (*v, ordered) for k, v in parts.items()}, "sections")
            scores, cut = _best(list(curves.values()), ordered)
        tables = yield from stage("cells", compare_cells, {k: (*v, cut) for k, v in parts.items()}, "sections")
        cells = segmentation_scores([Overlaps(*(np.array(column, np.int64) for column in table)) for table in tables.values()])
        if not cells:
            raise ParameterError(f"truth: {truth} labels nothing; needed: voxels that are not 0.")
        report = ScoreReport("labels" if is_labels else "probability", job.dim, {**scores, "cells": cells})
    if out:
        out.write_text(json.dumps(report.scores, indent=1) + "\n")
    return report


def scan_thresholds(job: Job, low: int, high: int, thresholds: tuple[float, ...]) -> Curve:
    """One task: a section, or a volume, at each threshold."""
    probability, (membrane, labels) = _probability(job, low, high), _truth(job, low, high)
    if job.dim == 2:
        lines = line_scores(probability[0], labels[0], thresholds)
    else:
        cut = (components(probability < threshold) for threshold in thresholds)
        lines = [partition_scores(Overlaps.of(cells, labels), zero_is_segment=False) for cells in cut]
    return Curve(lines, [PixelCounts.of(probability, membrane, threshold) for threshold in (*thresholds, HALF)])


def compare_cells(job: Job, low: int, high: int, threshold: float | None) -> Table:
    """One task: the table of overlaps of a section, or a volume; of a probability, cut at a threshold."""
    _, labels = _truth(job, low, high)
    if threshold is None:
        cells = _read(open_voxels(job.found), low, high).astype(np.int64)
    else:
        probability = _probability(job, low, high)
        if job.dim == 2:
            cells = grown(thinned_segments(probability[0], threshold), probability[0])[None]
        else:
            cells = grown(components(probability < threshold), probability)
    table = Overlaps.of(cells, labels)
    return [table.truth.tolist(), table.segment.tolist(), table.count.tolist()]


def measure_clefts(job: Job, voxel_size_nm: tuple[float, float, float]) -> dict[str, float]:
    """One task: distances between the clefts found and the true ones."""
    voxels, true = open_voxels(job.found), open_voxels(job.truth)
    found = _read(voxels, 0, voxels.shape[0])
    clefts = as_probability(job.found, found) >= HALF if voxels.kind != "labels" and voxels.dtype in DTYPES else found != 0
    return cleft_scores(clefts, _read(true, 0, true.shape[0]), voxel_size_nm)


def _best(curves: list[Curve], thresholds: tuple[float, ...]) -> tuple[dict[str, dict[str, float]], float]:
    """Scores at the best thresholds of the stack, and that of the best V-Info."""
    lines = [mean_scores([curve.lines[i] for curve in curves]) for i in range(len(thresholds))]
    pixels = [sum((curve.pixels[i] for curve in curves[1:]), curves[0].pixels[i]) for i in range(len(thresholds) + 1)]
    half, best = pixels[-1], max(zip(pixels, (*thresholds, HALF), strict=True), key=lambda at: at[0].f1)
    membrane = {"f1": half.f1, "iou": half.iou, "pixel_error": half.error}
    membrane |= {"best_f1": best[0].f1, "best_iou": best[0].iou, "best_threshold": best[1]}
    found: dict[str, float] = {}
    chosen = {}
    for name in ("v_rand", "v_info"):
        chosen[name] = max(range(len(thresholds)), key=lambda i: lines[i].get(name, 0.0))
        of_best = lines[chosen[name]]
        found |= {key: of_best[key] for key in (name, f"{name}_split", f"{name}_merge") if key in of_best}
        found[f"{name}_threshold"] = thresholds[chosen[name]]
    return {"membrane": membrane, "lines": found}, thresholds[chosen["v_info"]]


def _truth(job: Job, low: int, high: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The true membrane, and the true cells."""
    true = _read(open_voxels(job.truth), low, high)
    if job.kind == "instances":
        return true == 0, true.astype(np.int64)
    membrane = (true != 0) == (job.kind == "membrane")
    cells = components(~membrane) if job.dim == 3 else np.stack([components(~section) for section in membrane])
    return membrane, cells


def _probability(job: Job, low: int, high: int) -> NDArray[np.float32]:
    return as_probability(job.found, _read(open_voxels(job.found), low, high), low)


def _read(voxels: Voxels, low: int, high: int) -> NDArray[np.generic]:
    _, y, x = voxels.shape
    return voxels.read(Block((low, high), (0, y), (0, x)))


def _kind(path: Path, true: Voxels) -> TruthKind:
    """interior where the truth is a mask in bytes, else instances: by its first section."""
    return "interior" if true.dtype == "uint8" and len(np.unique(_read(true, 0, 1))) <= 2 else "instances"


def _check(found: Path, scored: Voxels, truth: Path, true: Voxels) -> None:
    if scored.shape != true.shape:
        raise ParameterError(
            f"found: {found} has {' x '.join(map(str, scored.shape))} voxels (z, y, x), but {truth} has "
            f"{' x '.join(map(str, true.shape))}; needed: the same place of both. Cut out what is labelled first."
        )
    if true.dtype.startswith("float"):
        raise ParameterError(f"truth: {truth} holds numbers of type {true.dtype}; needed: integers, one for each cell.")
