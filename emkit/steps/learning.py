"""The tasks of train-membranes: what a worker does, part after part. Axis order is (z, y, x)."""

import csv
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import DataError
from emkit.io.pairing import Pairing
from emkit.io.voxels import open_voxels
from emkit.membrane.course import Course
from emkit.membrane.targets import check_learnable, understand
from emkit.provenance import Written, await_files, written
from emkit.run.executor import needs
from emkit.run.machine import address, cores
from emkit.steps.curves import CHECKPOINTS, Point, best_part, keep_points, points_of_part, stop_asked, write_sample

if TYPE_CHECKING:  # torch is slow to import: workers have it from the process they are forked from
    from emkit.membrane.model import Configuration, Model
    from emkit.membrane.sampling import Field
    from emkit.membrane.trainer import Trainer

CURVE = "curve.csv"
KEPT = 2  # checkpoints, and the best: one may be lost with a machine that falls
POINTS_OF_PART = 25  # that are told of the loss
TRAINER = "emkit.membrane.trainer"
DRIVER_S = 4.0  # core-seconds that a run takes beside its workers, on each node: most of them to import torch


@dataclass(frozen=True)
class Data:
    """Where images and labels lie, and which sections belong together."""

    images: Path
    labels: Path
    pairing: Pairing


@needs(TRAINER)
def train_part(course: Course, data: Data, out: Path, part: int, parts: int, rank: int = 0, name: str = "alone") -> Point:
    """One task: from the checkpoint of the part before to that of this one. It may be one of several ranks, who meet by a name.

    A checkpoint that is gone is made anew, from the last one that is there. The first rank alone scores and writes.
    """
    from emkit.membrane import ranks

    began_s = time.process_time()
    place = out / CHECKPOINTS / name
    with ranks.meeting(place, rank, course.processes, course.device, address()) as seat:
        pupil = _pupil(replace(course, device=seat.device), data, out, part, seat.here, seat.homes, began_s)
        for number in range(pupil.part, part + 1):
            point = _learn(pupil, out, number, parts)
            if rank == 0:
                pupil.trainer.save(_checkpoint(out, number))
                for old in {*range(number - KEPT + 1)} - {best_part(out)}:
                    _checkpoint(out, old).unlink(missing_ok=True)
            pupil.part = number + 1
    _pupils[out] = pupil
    return point


def _learn(pupil: "Pupil", out: Path, number: int, parts: int) -> Point:
    """A part, told of as it goes; cut short, but for the first steps of all, where the training is to stop."""
    from emkit.membrane import ranks

    with points_of_part(out, number) if ranks.is_first() else nullcontext(_untold) as tell:
        for k in range(1, POINTS_OF_PART + 1):
            if stopped := pupil.trainer.progress.step > 0 and ranks.total(stop_asked(out)) > 0:
                break
            before = pupil.trainer.progress.step
            pupil.trainer.until((number + k / POINTS_OF_PART) / parts)
            if pupil.trainer.progress.step > before:
                tell(pupil.point())
        scores = pupil.validated(out, quick=number + 1 < parts)
        tell(point := replace(pupil.point(), scores=scores, stopped=stopped))
    return point


def _untold(point: Point) -> None:
    """What a rank but the first tells."""


@needs(TRAINER)
def write_trained(course: Course, data: Data, out: Path, curve: Sequence[Point], training: dict[str, str]) -> Written:
    """One task: the model with the running mean of the weights, and the curve of its training.

    It is that of the last part, or of the best one where the training was to stop: its rate had not yet fallen then.
    """
    from emkit.membrane.model import write_model

    best = max(range(len(curve)), key=lambda part: curve[part].worth)
    chosen = best if curve[-1].stopped else len(curve) - 1
    pupil = _pupil(course, data, out, chosen + 1)
    configuration = replace(pupil.configuration, validation=curve[chosen].scores, training=training)
    with (out / CURVE).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["step", "core_s", "loss", *curve[-1].scores])
        for point in curve:
            table.writerow([point.step, point.core_s, point.loss, *(f"{value:.4f}" for value in point.scores.values())])
    return written(out, *write_model(out, pupil.averaged().network, configuration), out / CURVE, *keep_points(out))


def remove_checkpoints(out: Path) -> None:
    for file in (out / CHECKPOINTS).iterdir():
        file.unlink()
    (out / CHECKPOINTS).rmdir()


@dataclass
class Pupil:
    """A training in the process that does it: a worker does one part after the other, and need not read again what it holds."""

    trainer: "Trainer"
    left_out: "Field"
    configuration: "Configuration"
    part: int = 0  # that comes next

    def averaged(self) -> "Model":
        """The model with the running mean of the weights."""
        from emkit.membrane.model import Model, build_network

        network = build_network(self.configuration)
        network.load_state_dict(self.trainer.mean)
        return Model(network.eval(), self.configuration)

    def point(self) -> Point:
        """How far it is."""
        done = self.trainer.progress
        return Point(done.step, round(done.spent_s, 1), round(done.loss, 6))

    def validated(self, out: Path, *, quick: bool) -> dict[str, float]:
        """The scores on what was left out, by the first rank; the trainer is told how long that took."""
        from emkit.membrane import ranks

        began_s = time.process_time()
        told = self._scored(out, quick=quick) if ranks.is_first() else {}
        self.trainer.took(ranks.total(time.process_time() - began_s))
        return told

    def _scored(self, out: Path, *, quick: bool) -> dict[str, float]:
        """The scores on what was left out, with a picture of it."""
        from emkit.membrane.exactness import Proof
        from emkit.membrane.inference import Gray, Predictor, fastest_precision
        from emkit.membrane.validation import scores

        model, device = self.averaged(), self.trainer.device
        claimed = Proof(model.halo)  # proving it took a third of a validation, and its scores are no promise of seams
        predictor = Predictor(model, precision=fastest_precision(device), device=device, gray=Gray(0.0, 1.0), proof=claimed)
        depth, height, width = shape = self.left_out.image.shape
        whole = Block((0, depth), (0, height), (0, width))
        found = predictor.predict(self.left_out.image, whole, whole, shape)
        told = scores(self.left_out, found, self.configuration.dim, quick=quick)
        write_sample(out, self.left_out.image[0], found[0, 0], self.left_out.maps[0, 0])
        return told


_pupils: dict[Path, Pupil] = {}  # by output; who works with one takes it out: what fails halfway is tried from a checkpoint


def _pupil(course: Course, data: Data, out: Path, part: int, here: int = 1, homes: int = 1, began_s: float = 0.0) -> Pupil:
    """The training as it stood before this part, or earlier where no checkpoint is left; for one of so many ranks `here`.

    Ranks always begin with the checkpoint, so that they are the same even where machines round differently. `homes`: processes
    that all ranks were forked from. `began_s`: core-seconds that this one had taken when its task began.
    """
    from emkit.membrane import ranks
    from emkit.membrane.inference import use_threads

    if (held := _pupils.pop(out, None)) and held.part == part and ranks.size() == 1:
        return held
    use_threads(cores() // here)  # a training is one task, on each node: its ranks have all of them
    kept = ranks.of_first(max((number for number in range(part) if _checkpoint(out, number).is_file()), default=-1))
    fit = held and ranks.size() > 1 and kept >= 0 and held.trainer.device == course.device
    pupil = held if held and fit else _begun(course, data)
    if kept >= 0:
        await_files(_checkpoint(out, kept))
        pupil.trainer.load(_checkpoint(out, kept))
        pupil.part = kept + 1
        pupil.trainer.progress.spent_s += ranks.total(time.process_time() - began_s)
    else:
        pupil.trainer.progress.spent_s = ranks.core_seconds() + DRIVER_S * homes
    return pupil


def _checkpoint(out: Path, part: int) -> Path:
    return out / CHECKPOINTS / f"{part}.safetensors"


def _begun(course: Course, data: Data) -> Pupil:
    """A training before its first step. DataError for labels that teach nothing, ParameterError for what the network has not."""
    from emkit.membrane import ranks
    from emkit.membrane.inference import check_device
    from emkit.membrane.model import build_network, load_model
    from emkit.membrane.sampling import Sampler, Sampling, check_patch
    from emkit.membrane.trainer import Pace, Trainer, freeze
    from emkit.membrane.validation import split, split_strokes

    check_device(course.device)
    sparse = course.label_kind == "strokes"
    image, labels = _read(data, painted=sparse and course.dim == 2)
    truth = understand(labels, course.label_kind, course.dim, course.thickness_px, extracellular=course.extracellular)
    check_learnable(truth, f"labels: {data.labels}")
    mean, std = float(image.mean()), float(image.std())
    configuration = course.configuration(mean, std)
    network = load_model(course.continue_from).network if course.continue_from else build_network(configuration, course.seed)
    if course.processes > 1:
        ranks.share_statistics(network)
    freeze(network, course.freeze)
    stride: Any = network.stride
    check_patch(course.patch, stride)
    field = course.field(image, truth, mean, std)
    fields, left_out = split_strokes(field) if sparse and course.dim == 2 else split([field], course.dim, stride)
    sampling = Sampling(course.dim, course.patch, course.targets, course.isotropic, not sparse, course.empty)
    pace = Pace(course.steps, course.cpu_seconds, course.batch, course.rate, course.seed)
    return Pupil(Trainer(network, course.objectives, Sampler(fields, sampling), pace, course.device), left_out, configuration)


def _read(data: Data, *, painted: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
    """The labelled sections and their labels; of strokes those sections that are `painted`, if any is.

    DataError where they cannot be images, or hold what is not finite.
    """
    images, labels = open_voxels(data.images), open_voxels(data.labels)
    depth, height, width = labels.shape
    parts = [Block((k, k + 1), (0, height), (0, width)) for k in range(depth)]
    used = [k for k in range(depth) if not painted or labels.read(parts[k]).any()] or [0]
    image = np.concatenate([images.read(data.pairing.window(k, (height, width))) for k in used])
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        z, y, x = np.argwhere(~np.isfinite(image))[0]
        raise DataError(
            f"images: {data.images} holds {image[z, y, x]} at (z={data.pairing.sections[used[z]]}, y={y}, x={x}); needed: a finite "
            "value in each voxel. Replace it, or leave the section out."
        )
    if image.min() == image.max():
        raise DataError(
            f"images: every voxel of {data.images} is {image.flat[0]}; needed: gray values. Give the images themselves."
        )
    return image, np.concatenate([labels.read(parts[k]) for k in used])
