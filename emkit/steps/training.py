"""Images and some labels to a model that finds membranes: read, train part by part, write. Axis order is (z, y, x).

A part ends with a checkpoint and with scores on what was left out. Parts are tasks: a training that was cut off goes on from the
last of them.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from emkit.errors import ParameterError, PathError
from emkit.io.arrays import Voxels
from emkit.io.pairing import pair_labels
from emkit.io.voxels import open_voxels
from emkit.membrane.course import (
    Course,
    angstrom,
    check_continued,
    kept_when_empty,
    model_size,
    network_for,
    parse_objectives,
    patch_for,
)
from emkit.membrane.networks.memory import Levels
from emkit.membrane.targets import LabelKind
from emkit.params import Positive, Reads, Unit, Writes
from emkit.progress import Tick, tell
from emkit.provenance import digest
from emkit.run.machine import cores
from emkit.run.plan import Load, Plan
from emkit.run.stage import Stage, stage
from emkit.run.step import Body, step
from emkit.steps.curves import CHECKPOINTS, Point
from emkit.steps.learning import Data, remove_checkpoints, train_part, write_trained

CPU_SECONDS = 600.0
PART_S, PART_STEPS, PARTS = 30.0, 25, 20  # core-seconds, or steps, between checkpoints; parts at most
BATCH = {2: 8, 3: 1}
MEMBRANE_NM = 20.0
# for the plan, measured: torch, and what the C library keeps of what is freed; of a weight, and of a voxel that is learned from
TORCH_BYTES, KEPT, PER_WEIGHT, FIELD_BYTES, MAP_BYTES = 165_000_000, 1.1, 48, 20, 40


@dataclass(frozen=True)
class TrainingReport:
    """What was learned: from how many labelled sections, and how good it came to be."""

    sections: int
    curve: tuple[Point, ...]

    def __str__(self) -> str:
        return f"{self.sections} labelled sections; a twentieth was left out, and scored on\n{self.curve[-1]}"


@step
def train_membranes(
    *,
    images: Annotated[Path, Reads("voxels")],
    labels: Annotated[Path, Reads("voxels")],
    out: Annotated[Path, Writes("folder")],
    label_kind: LabelKind,
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive], Unit("nm (z, y, x)")],
    target: list[str] | None = None,
    dim: Annotated[int, Ge(2), Le(3)] = 2,
    cpu_seconds: Annotated[float | None, Unit("core s"), Gt(0)] = None,
    steps: Annotated[int, Ge(1)] | None = None,
    continue_from: Annotated[Path | None, Reads("folder")] = None,
    freeze: list[str] | None = None,
    architecture: str = "",
    width: Annotated[int, Ge(1)] | None = None,
    patch_px: Annotated[int, Ge(16)] | None = None,
    batch: Annotated[int, Ge(1)] | None = None,
    rate: Annotated[float, Gt(0)] | None = None,
    pixel_nm: Annotated[float, Unit("nm"), Gt(0)] | None = None,
    thickness_nm: Annotated[float, Unit("nm"), Gt(0)] = MEMBRANE_NM,
    extracellular: bool = False,
    empty: Annotated[float | None, Ge(0), Le(1)] = None,
    seed: Annotated[int, Ge(0)] = 0,
    device: str = "cpu",
    processes: Annotated[int, Ge(1), Le(1024)] = 1,
) -> Body[TrainingReport]:
    """Train a network to find membranes, from images of which some are labelled.

    Patches are drawn at random where the labels allow, turned, bent and changed in their gray values. A twentieth of the labels is
    left out and scored on. The training is cut into parts, each with a checkpoint: what was cut off goes on from the last one.

    Parameters
    ----------
    images
        Gray values: a volume, a folder of sections, or one file.
    labels
        Labels of all sections, or of some: paired by place, name, number or order. Fewer than images is normal.
    out
        Folder of the model: weights, configuration, scores.
    label_kind
        membrane: non-zero is membrane. interior: non-zero is within cells. instances: a number for each cell, 0 is unlabelled.
        classes, and strokes: 1 is interior, 2 is membrane, 3 is extracellular space, 0 is unlabelled.
    voxel_size_nm
        Size of a voxel of the images.
    target
        What to learn: membrane, foreground, contour, distance, affinity, cleft, skeleton, extracellular; each may name its losses
        with their weights, such as distance:mse=2. Default: membrane, and in 3D affinity too.
    dim
        2: each section on its own; 3: volumes.
    cpu_seconds
        How many core-seconds the training may take, all of its processes together and all included. Default, where no steps are
        given: 600.
    steps
        How many batches to learn from, instead: the same command then gives the same model.
    continue_from
        A model to go on from.
    freeze
        Weights that are kept as they are, by their names with *, such as down.*.
    architecture
        The network. Default: unet2d; in 3D unet3d, or anisotropic where voxels are deeper than wide.
    width
        Channels of the network at its finest level. Default: 32.
    patch_px
        Side of the patches. Default: 224; in 3D 80, or 160 where voxels are deeper than wide.
    batch
        Patches in a batch, of which each process takes as many. Default: 8, in 3D 1, or as many more as that needs.
    rate
        The highest rate of learning. Default: 0.004.
    pixel_nm
        The finest pixel that a network of sections sees; finer images are averaged to it. Default: 5.5.
    thickness_nm
        How thick membranes are between instances.
    extracellular
        With instances: 0 is extracellular space, not unlabelled.
    empty
        Which part of the patches without the first target is kept. Default: 0.1 of those without foreground or cleft, which are
        rare; else all.
    seed
        Of everything that is drawn at random.
    device
        cpu, or a GPU: cuda, cuda:1. It is refused where there is none. Core-seconds are those of the CPU: give steps.
    processes
        How many processes learn from each batch together, here or on several nodes, each on cores or a GPU of its own.
    """
    if steps is not None and cpu_seconds is not None:
        raise ParameterError("steps, cpu_seconds: found both; give one.")
    gray, labelled = open_voxels(images), open_voxels(labels)
    _check_labels(labels, labelled)
    if gray.voxel_size_nm and any(not 0.5 < a / b < 2 for a, b in zip(voxel_size_nm, gray.voxel_size_nm, strict=True)):
        ratios = [a / b for a, b in zip(voxel_size_nm, gray.voxel_size_nm, strict=True)]
        raise ParameterError(
            f"voxel_size_nm: found {voxel_size_nm}, but {images} says {gray.voxel_size_nm} nm (z, y, x){angstrom(ratios)}. Pass nm."
        )
    if processes > 1 and device not in ("cpu", "cuda"):
        raise ParameterError(f"device: found {device} for {processes} processes; needed: cuda, and each takes another GPU, or cpu.")
    pairing = pair_labels(gray, labelled)
    chosen: Literal[2, 3] = 3 if dim == 3 else 2
    network, options = network_for(architecture, chosen, voxel_size_nm, width)
    objectives = parse_objectives(target or (), chosen, voxel_size_nm)
    course = Course(
        label_kind=label_kind,
        dim=chosen,
        voxel_size_nm=voxel_size_nm,
        model_nm=model_size(pixel_nm, chosen, voxel_size_nm),
        objectives=objectives,
        architecture=network,
        options=options,
        patch=patch_for(patch_px, chosen, voxel_size_nm),
        batch=batch or -(-BATCH[chosen] // processes) * processes,
        rate=rate or 4e-3,
        seed=seed,
        steps=steps,
        cpu_seconds=(cpu_seconds or CPU_SECONDS) if steps is None else None,
        thickness_px=max(2, round(thickness_nm / voxel_size_nm[-1])),
        extracellular=extracellular,
        empty=kept_when_empty(objectives) if empty is None else empty,
        freeze=tuple(freeze or ()),
        continue_from=continue_from.absolute() if continue_from else None,
        device=device,
        processes=processes,
    )
    if continue_from:
        held = check_continued(course.targets, chosen, voxel_size_nm, continue_from)
        course = replace(course, architecture=held.architecture, options=held.options)
        course = replace(course, model_nm=held.voxel_size_nm if chosen == 2 else voxel_size_nm)
    if course.batch % processes:
        raise ParameterError(f"batch: found {course.batch} for {processes} processes; needed: a multiple of that.")
    parts = _parts(course)
    yield _plan(course, labelled, parts)

    (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    data = Data(images.absolute(), labels.absolute(), pairing)
    curve: list[Point] = []
    tell(_tick(curve, parts))
    while len(curve) < parts and not (curve and curve[-1].stopped):
        part = len(curve)
        curve.append((yield from _train(course, data, out, part, parts)))
        tell(_tick(curve, parts))
    training = {"images": digest(images), "labels": digest(labels)}
    yield from stage("write", write_trained, {"model": (course, data, out, tuple(curve), training)})
    remove_checkpoints(out)
    return TrainingReport(len(pairing.sections), tuple(curve))


def _train(course: Course, data: Data, out: Path, part: int, parts: int) -> Generator[Stage[Point], Any, Point]:
    """A part, by one process or by several together."""
    name, task = f"train {part + 1} of {parts}", (course, data, out, part, parts)
    if course.processes == 1:
        return (yield from stage(name, train_part, {"part": task}, "parts"))["part"]
    tasks = {f"process {rank}": (*task, rank) for rank in range(course.processes)}
    return (yield from stage(name, train_part, tasks, "processes", together=True))["process 0"]


def _check_labels(path: Path, labels: Voxels) -> None:
    """PathError for values that are no labels: ids are whole numbers."""
    if np.dtype(labels.dtype).kind not in "ui":
        raise PathError(
            f"labels: {path} holds {labels.dtype}; needed: whole numbers, a number for each cell or for each kind. "
            "Save the labels as 8, 16 or 32 bit integers, not as a picture of them."
        )


def _tick(curve: Sequence[Point], parts: int) -> Tick:
    """What stands in the bar while the next part is learned."""
    seconds = curve[-1].core_s / cores() if curve else 0.0
    return Tick("train", len(curve), parts, "parts", seconds, note=str(curve[-1]) if curve else "")


def _parts(course: Course) -> int:
    """How many checkpoints a training has; by its length alone."""
    if course.cpu_seconds is not None:
        return min(PARTS, max(2, round(course.cpu_seconds / PART_S)))
    return min(PARTS, max(1, (course.steps or 1) // PART_STEPS))


def _plan(course: Course, labels: Voxels, parts: int) -> Plan:
    """A worker holds the labelled images with their maps, the network, and what a batch leaves behind; or what makes the maps."""
    voxels, channels = prod(labels.shape), sum(target.channels for target in course.targets)
    levels = Levels.of(course.architecture, course.options)
    seconds = course.cpu_seconds if course.cpu_seconds is not None else 1.0 * (course.steps or 1)
    batch = int(prod(course.patch) * course.batch // course.processes * levels.learning(channels) * KEPT)
    field = voxels * prod(course.voxel_size_nm) / prod(course.model_nm) * FIELD_BYTES
    held = TORCH_BYTES + PER_WEIGHT * levels.weights(course.dim) + max(batch + int(field), MAP_BYTES * voxels)
    load = Load(course.processes, held, seconds / max(cores(), course.processes), together=course.processes > 1)
    return Plan(5_000_000, 40_000_000, 2.0, stages=(load,))
