"""The tasks of predict-membranes: what a worker does with a network. Axis order is (z, y, x)."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block, Span
from emkit.io.arrays import Voxels
from emkit.io.omezarr import build_block, write_block
from emkit.membrane.model import load_model
from emkit.membrane.prediction import Channel
from emkit.membrane.resampling import Resampling
from emkit.model import Shape
from emkit.provenance import Written
from emkit.run.executor import needs
from emkit.run.machine import cores, give_back_large, worker_number

if TYPE_CHECKING:
    from emkit.membrane.inference import Precision, Predictor
else:
    Precision = str  # torch is slow to import: workers have it from the process they are forked from

INFERENCE = "emkit.membrane.inference"
HALVED = "halved"  # a folder within the unfinished output
SYMMETRIES = 8  # as many as move affinities furthest
SAMPLED, SAMPLED_PX = 8, 1024  # sections, and the side of the square in each, whose gray values are looked at


@dataclass(frozen=True)
class Job:
    """What each task needs to know. `box` is what is predicted of the source; `tasks` as many are there.

    `coarser`: half of the looks are at the source so resampled, if there is more than one.
    """

    model: Path
    voxels: Voxels
    box: Block
    resampling: Resampling
    channels: tuple[Channel, ...]
    dtype: str
    tta: int
    device: str
    tasks: int
    coarser: Resampling | None = None

    @property
    def looks(self) -> tuple[tuple[Resampling, int], ...]:
        """At what resolutions the source is looked at, and how often."""
        if self.coarser is None or self.tta == 1:
            return ((self.resampling, self.tta),)
        return (self.resampling, self.tta - self.tta // 2), (self.coarser, self.tta // 2)


@dataclass(frozen=True)
class Means:
    """How the device computes best, how far the network looks there, how blocks then differ from the whole; the last in words.

    `depth`: how many of its voxels before and behind a block the network may be shown.
    """

    precision: Precision
    reach: Shape | None
    difference: float
    told: str
    depth: int

    @property
    def exact(self) -> bool:
        return self.reach is not None and self.difference == 0


@dataclass(frozen=True)
class GrayValues:
    mean: float
    std: float


@needs(INFERENCE)
def find_means(model: Path, device: str) -> Means:
    """One task: before the first block. ResourceError where there is no such device."""
    from emkit.membrane.inference import Predictor, check_device, fastest_precision, use_threads

    check_device(device)
    use_threads(cores())
    precision = fastest_precision(device)
    predictor = Predictor(load_model(model), tta=SYMMETRIES, precision=precision, device=device)
    proof, depth = predictor.proof, predictor.halo[0]
    return Means(precision, proof.reach, proof.difference, str(proof), depth + predictor.model.stride[0] if depth else 0)


def measure_gray(voxels: Voxels, sections: tuple[int, ...]) -> GrayValues:
    """One task: the gray values in the middle of some sections."""
    _, height, width = voxels.shape
    parts = [voxels.read(Block((z, z + 1), _middle(height), _middle(width))).ravel() for z in sections]
    gray = np.concatenate(parts).astype(np.float64)
    gray = gray[np.isfinite(gray)]
    return GrayValues(float(gray.mean()), float(gray.std()) or 1.0) if gray.size else GrayValues(0.0, 1.0)


@needs(INFERENCE)
def predict_block(job: Job, means: Means, gray: GrayValues, out: Path, block: Block) -> Written:
    """One task: a block of each volume."""
    give_back_large(2**22)  # what a network makes on its way, kept for the next block, doubles what a worker holds
    said = probabilities(job, means, gray, block)
    if any(_predictor(job.model, count, job.device, means, gray).halved for _, count in job.looks):
        (out / HALVED).mkdir(exist_ok=True)
        (out / HALVED / str(block)).touch()
    files: dict[str, str | None] = {}
    for channel in job.channels:
        voxels = np.empty(block.shape, job.dtype)
        for z in range(len(voxels)):  # one at a time, so that what is in between is small
            probability = channel.of(said[:, z])
            voxels[z] = np.rint(probability * 255) if job.dtype == "uint8" else probability
        files |= _below(channel.group, write_block(out / channel.group, block, voxels))
    return Written(files)


def build_level(out: Path, group: str, level: int, block: Block, finer: tuple[Path, ...]) -> Written:
    """One task: a block of a coarser level."""
    return Written(_below(group, build_block(out / group, level, block, finer)))


def probabilities(job: Job, means: Means, gray: GrayValues, block: Block) -> NDArray[np.float32]:
    """All channels of the network (C, z, y, x) in a block of the output: the mean over all looks."""
    from emkit.membrane.inference import use_threads

    use_threads(cores() // job.tasks)
    if len(job.looks) == 1:
        return _seen(job, means, gray, block, *job.looks[0])
    parts = (count * _seen(job, means, gray, block, way, count) for way, count in job.looks)
    mean: NDArray[np.float32] = sum(parts, np.zeros(1, np.float32)) / np.float32(job.tta)
    return mean


def _seen(job: Job, means: Means, gray: GrayValues, block: Block, way: Resampling, count: int) -> NDArray[np.float32]:
    """The same, of so many looks at one resolution."""
    from emkit.membrane.inference import check_finite

    predictor = _predictor(job.model, count, job.device, means, gray)
    wanted = _shifted(block, job.box)
    inside = way.back.needed(wanted)
    window = predictor.window(inside, way.target)
    held = way.needed(window)
    voxels = job.voxels.read(held)
    check_finite(voxels, held)
    if way.nothing:
        return predictor.predict(voxels, window, inside, way.target)
    said = predictor.predict(way.apply(voxels, held, window), window, inside, way.target)
    return way.back.apply(said, inside, wanted)


def _predictor(model: Path, tta: int, device: str, means: Means, gray: GrayValues) -> "Predictor":
    """Kept by a worker from block to block, and by a kernel for as long as the model is not replaced."""
    from emkit.membrane.inference import check_device, device_of

    check_device(device)
    return _opened(model, model.stat().st_mtime_ns, tta, device_of(worker_number(), device), means, gray)


@lru_cache(maxsize=2)
def _opened(model: Path, _changed_ns: int, tta: int, device: str, means: Means, gray: GrayValues) -> "Predictor":
    from emkit.membrane.exactness import Proof
    from emkit.membrane.inference import Gray, Predictor

    proof = Proof(means.reach, means.difference)
    return Predictor(
        load_model(model), tta=tta, precision=means.precision, device=device, gray=Gray(gray.mean, gray.std), proof=proof
    )


def sampled(count: int) -> tuple[int, ...]:
    """The sections whose gray values are looked at, of so many."""
    return tuple(sorted({round(z) for z in np.linspace(0, count - 1, min(count, SAMPLED))}))


def _middle(size: int) -> Span:
    low = max(0, (size - SAMPLED_PX) // 2)
    return low, min(size, low + SAMPLED_PX)


def _shifted(block: Block, box: Block) -> Block:
    """A block of the output, as one of the source."""
    spans = zip((block.z, block.y, block.x), (box.z, box.y, box.x), strict=True)
    z, y, x = ((low + first, high + first) for (low, high), (first, _) in spans)
    return Block(z, y, x)


def _below(group: str, made: Written) -> dict[str, str | None]:
    return {f"{group}/{name}" if group else name: digest for name, digest in made.files.items()}
