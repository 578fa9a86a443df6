"""What a trained network says of a volume, block by block. Axis order is (z, y, x)."""

import re
import shutil
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from emkit.blocks import Block, Span
from emkit.errors import ParameterError
from emkit.io.arrays import Voxels
from emkit.io.omezarr import blocks_to_build, build_block, create_volume, levels_to_build, memory_to_write, shard_grid, write_block
from emkit.io.spool import SPOOL, Spool, decode_section
from emkit.io.voxels import SectionImages, open_voxels
from emkit.membrane.model import Configuration, read_configuration
from emkit.membrane.prediction import Channel, Prediction, channels_of
from emkit.membrane.resampling import Resampling, onto
from emkit.model import Shape, SizeNm
from emkit.params import Positive, Reads, Unit, Writes
from emkit.provenance import Written, files_of
from emkit.run.machine import cores
from emkit.run.plan import Load, Plan
from emkit.run.stage import Stage, stage
from emkit.run.step import Body, step

if TYPE_CHECKING:
    from emkit.membrane.inference import Predictor

HALVED = "halved"  # a folder within the unfinished output
LAYOUTS: dict[int, tuple[Shape, Shape]] = {  # by dimension: chunk and shard; a task is a shard
    2: ((16, 128, 128), (16, 1024, 1024)),  # sections: the halo costs less where a block is wide
    3: ((64, 64, 64), (256, 256, 256)),
}
HALOS: dict[int, Shape] = {2: (0, 96, 96), 3: (48, 48, 48)}  # for the plan
TORCH_BYTES, TILE_BYTES, VOXEL_S = 300_000_000, 400, 7e-7
SAMPLED, SAMPLED_PX = 8, 1024  # sections, and the side of the square in each, whose gray values are looked at
FOREIGN = 8.0  # a voxel so many times larger or smaller than the model's is a wrong unit
BOX = re.compile(r"(\d+):(\d+),(\d+):(\d+),(\d+):(\d+)")


@dataclass(frozen=True)
class PredictReport:
    """What was predicted. `halved`: of how many blocks the halves were computed, because memory was short."""

    shape: Shape
    voxel_size_nm: SizeNm
    dtype: str
    prediction: Prediction
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        made, size = self.prediction, " x ".join(map(str, self.shape))
        looks = f"mean over {made.tta} turns and mirrors" if made.tta > 1 else "one look"
        targets = ", ".join(dict.fromkeys(channel.target for channel in made.channels))
        return "\n".join([f"{targets}: {size} voxels (z, y, x), {self.dtype}; {looks}, {made.precision}; {made.told}", *self.notes])


@dataclass(frozen=True)
class Job:
    """What each task needs to know. `box` is what is predicted of the source; `tasks` as many are there."""

    model: Path
    voxels: Voxels
    box: Block
    resampling: Resampling
    channels: tuple[Channel, ...]
    dtype: str
    tta: int
    device: str
    tasks: int


@dataclass(frozen=True)
class Found:
    """What is found out before the first block: how to compute, how far the network looks, gray values (mean, spread)."""

    precision: Literal["float32", "bfloat16"]
    reach: Shape | None
    difference: float
    told: str
    source_gray: tuple[float, float]


@step
def predict_membranes(
    model: Annotated[Path, Reads("folder")],
    source: Annotated[Path, Reads("voxels")],
    *,
    out: Annotated[Path, Writes("volume")],
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive] | None, Unit("nm")] = None,
    box: str | None = None,
    tta: Annotated[int, Ge(1), Le(16)] = 8,
    dtype: Literal["uint8", "float32"] = "uint8",
    gray: Literal["model", "source"] = "model",
    device: str = "cpu",
) -> Body[PredictReport]:
    """Predict membranes, and what else a model tells, of a volume or a folder of sections.

    The root of the result is the probability of membrane; other targets are volumes below it. The source need not fit into memory:
    blocks are read with a halo as wide as the network looks, and are exactly what the whole would give at once, without seams. It
    is resampled where its voxels are not as large as those that the model was trained on.

    Parameters
    ----------
    model
        The model, as train-membranes made it.
    source
        Volume, folder of sections, or file of sections.
    out
        The probabilities, OME-Zarr.
    voxel_size_nm
        Section thickness, pixel height, pixel width. Needed where the source does not tell.
    box
        What is predicted of the source, z0:z1,y0:y1,x0:x1 in voxels; it is seen with all that lies around it.
    tta
        Predictions are means over so many turns and mirrors of the image: 1 is fastest, 8 in 2D and 16 in 3D is all.
    dtype
        Numbers from 0 to 1, or from 0 to 255 in a quarter of the place.
    gray
        Gray values are normalised as those the model was trained on, or by the source's own mean and spread, where it is of
        another microscope or contrast.
    device
        Where it is computed: cpu, cuda or cuda:N.
    """
    told = read_configuration(model)
    voxels: Voxels = open_voxels(source)
    if isinstance(voxels, SectionImages):
        voxels = Spool(voxels.stack, out / SPOOL)
    if (size_nm := voxel_size_nm or voxels.voxel_size_nm) is None:
        raise ParameterError(f"voxel_size_nm is missing: {source} does not tell it. Give z, y, x in nm.")
    check_scale(size_nm, told.voxel_size_nm)
    if told.dim == 3 and voxels.shape[0] == 1:
        raise ParameterError(
            f"model: {model} looks at volumes (dim 3), but {source} is one section. Give a volume, or a model of dim 2."
        )
    wanted = parse_box(box, voxels.shape)
    resampling = onto(voxels.shape, size_nm, told.voxel_size_nm, sections=told.dim == 2)
    chunk, shard = LAYOUTS[told.dim]
    tasks = prod(-(-n // side) for n, side in zip(wanted.shape, shard, strict=True))
    job = Job(model, voxels, wanted, resampling, channels_of(told.targets), dtype, tta, device, tasks)
    yield _plan(job, told, shard)

    seen = sampled(voxels.shape[0])
    if isinstance(voxels, Spool):
        sections = sorted({*range(*wanted.z), *seen})
        yield from stage("decode", decode_section, {str(z): (voxels, z) for z in sections}, "sections")
    found = (yield from stage("look", look, {"all": (job, seen)}))["all"]
    used = (told.mean, told.std) if gray == "model" else found.source_gray
    origin_nm = moved(voxels.origin_nm, wanted, size_nm)
    for channel in job.channels:
        create_volume(
            out / channel.group, shape=wanted.shape, dtype=dtype, voxel_size_nm=size_nm, origin_nm=origin_nm,
            chunk_px=chunk, shard_px=shard,
        )  # fmt: skip
    blocks = {str(block): (job, found, used, out, block) for block in shard_grid(out)}
    made = files_of((yield from stage("predict", predict_block, blocks, "blocks")))
    for channel in job.channels:
        yield from _coarser(out, channel.group, made)

    prediction = Prediction(
        told.dim, job.channels, told.voxel_size_nm, used, tta, found.precision, found.difference == 0, found.told
    )
    prediction.write(out)
    report = PredictReport(wanted.shape, size_nm, dtype, prediction, (*notes(job, found, told, size_nm, used), *_halved(out)))
    for folder in (SPOOL, HALVED):
        if (out / folder).exists():
            shutil.rmtree(out / folder)
    return report


def _coarser(out: Path, group: str, made: set[str]) -> Generator[Stage[Any], Any, None]:
    """The levels of a volume below the root, or of the root."""
    volume, within = out / group, f"{group}/" if group else ""
    made = {name.removeprefix(within) for name in made if name.startswith(within)}
    for level in levels_to_build(volume):
        tasks = {str(b): (out, group, level, b, finer) for b, finer in blocks_to_build(volume, level, made)}
        written_now = files_of((yield from stage(f"{within}level {level}", build_level, tasks, "blocks")))
        made = {name.removeprefix(within) for name in written_now}


def look(job: Job, sections: tuple[int, ...]) -> Found:
    """One task: what the device computes with, whether blocks are exact there, and the gray values of some sections."""
    from emkit.membrane.inference import Predictor, check_device, fastest_precision, use_threads
    from emkit.membrane.model import load_model

    check_device(job.device)
    use_threads(cores())
    precision = fastest_precision(job.device)
    proof = Predictor(load_model(job.model), precision=precision, device=job.device).proof
    _, height, width = job.voxels.shape
    parts = [_middle(height), _middle(width)]
    gray = np.concatenate([job.voxels.read(Block((z, z + 1), *parts)).ravel() for z in sections]).astype(np.float64)
    gray = gray[np.isfinite(gray)]
    mean, std = (float(gray.mean()), float(gray.std())) if gray.size else (0.0, 0.0)
    return Found(precision, proof.reach, proof.difference, str(proof), (mean, std or 1.0))


def predict_block(job: Job, found: Found, gray: tuple[float, float], out: Path, block: Block) -> Written:
    """One task: a block of each volume."""
    said = _said(job, found, gray, out, block)
    files: dict[str, str | None] = {}
    for channel in job.channels:
        probability = channel.of(said)
        voxels = np.rint(probability * 255).astype(np.uint8) if job.dtype == "uint8" else np.ascontiguousarray(probability)
        files |= _below(channel.group, write_block(out / channel.group, block, voxels))
    return Written(files)


def build_level(out: Path, group: str, level: int, block: Block, finer: tuple[Path, ...]) -> Written:
    """One task: a block of a coarser level."""
    return Written(_below(group, build_block(out / group, level, block, finer)))


def _said(job: Job, found: Found, gray: tuple[float, float], out: Path, block: Block) -> NDArray[np.float32]:
    """All channels (C, z, y, x) of a block of the output."""
    from emkit.membrane.inference import check_finite, use_threads

    use_threads(cores() // job.tasks)
    predictor = _predictor(job.model, job.tta, job.device, found, gray)
    wanted = shifted(block, job.box)
    inside = job.resampling.back.needed(wanted)
    window = predictor.window(inside, job.resampling.target)
    held = job.resampling.needed(window)
    voxels = job.voxels.read(held)
    check_finite(voxels, held)
    if job.resampling.nothing:
        said = predictor.predict(voxels, window, wanted, job.resampling.target)
    else:
        said = predictor.predict(job.resampling.apply(voxels, held, window), window, inside, job.resampling.target)
        said = job.resampling.back.apply(said, inside, wanted)
    if predictor.halved:
        (out / HALVED).mkdir(exist_ok=True)
        (out / HALVED / str(block)).touch()
    return said


@lru_cache(maxsize=1)
def _predictor(model: Path, tta: int, device: str, found: Found, gray: tuple[float, float]) -> "Predictor":
    """Kept by a worker from block to block."""
    from emkit.membrane.exactness import Proof
    from emkit.membrane.inference import Gray, Predictor
    from emkit.membrane.model import load_model

    proof = Proof(found.reach, found.difference)
    return Predictor(load_model(model), tta=tta, precision=found.precision, device=device, gray=Gray(*gray), proof=proof)


def _below(group: str, made: Written) -> dict[str, str | None]:
    return {f"{group}/{name}" if group else name: digest for name, digest in made.files.items()}


def sampled(count: int) -> tuple[int, ...]:
    """The sections whose gray values are looked at."""
    return tuple(sorted({round(z) for z in np.linspace(0, count - 1, min(count, SAMPLED))}))


def _middle(size: int) -> Span:
    low = max(0, (size - SAMPLED_PX) // 2)
    return low, min(size, low + SAMPLED_PX)


def parse_box(text: str | None, shape: Shape) -> Block:
    """The box that the text names, all of the volume where there is none. ParameterError if it is none, or lies outside.

    >>> parse_box("0:2,10:20,0:30", (5, 40, 40))
    Block(z=(0, 2), y=(10, 20), x=(0, 30))
    """
    if text is None:
        return Block((0, shape[0]), (0, shape[1]), (0, shape[2]))
    if not (found := BOX.fullmatch("".join(text.split()))):
        raise ParameterError(f"box: found {text!r}, needed z0:z1,y0:y1,x0:x1 in voxels, as 0:10,512:1024,0:512.")
    numbers = [int(number) for number in found.groups()]
    z, y, x = zip(numbers[::2], numbers[1::2], strict=True)
    for axis, (low, high), size in zip("zyx", (z, y, x), shape, strict=True):
        if not low < high <= size:
            raise ParameterError(f"box: found {axis} {low}:{high}, but the source has {axis} 0:{size}. Give a part of that.")
    return Block(z, y, x)


def check_scale(size_nm: SizeNm, model_nm: SizeNm) -> None:
    """ParameterError where voxels are so unlike those of the model that a unit must be wrong."""
    ratio = max((size / model for size, model in zip(size_nm, model_nm, strict=True)), key=lambda r: max(r, 1 / r))
    if not 1 / FOREIGN < ratio < FOREIGN:
        found, trained = (" x ".join(f"{size:g}" for size in sizes) for sizes in (size_nm, model_nm))
        raise ParameterError(
            f"voxel_size_nm: found {found} nm, but the model was trained on {trained} nm: {max(ratio, 1 / ratio):.3g} times "
            f"{'less' if ratio > 1 else 'more'}. Is it given in nm, and not in Å or µm? Else train a model at this size."
        )


def shifted(block: Block, box: Block) -> Block:
    """A block of the output, as one of the source."""
    z, y, x = ((low + first, high + first) for (low, high), (first, _) in zip(_spans(block), _spans(box), strict=True))
    return Block(z, y, x)


def moved(origin_nm: SizeNm, box: Block, size_nm: SizeNm) -> SizeNm:
    """The centre of the first voxel of the box."""
    z, y, x = (origin + low * size for origin, (low, _), size in zip(origin_nm, _spans(box), size_nm, strict=True))
    return z, y, x


def _spans(block: Block) -> tuple[Span, Span, Span]:
    return block.z, block.y, block.x


def notes(job: Job, found: Found, told: Configuration, size_nm: SizeNm, used: tuple[float, float]) -> Iterable[str]:
    """What else there is to say: of voxel sizes and of gray values that are not the model's."""
    if not job.resampling.nothing:
        here, there = (" x ".join(f"{size:g}" for size in sizes) for sizes in (size_nm, told.voxel_size_nm))
        yield f"resampled: voxels are {here} nm, those that the model was trained on {there} nm"
    mean, std = found.source_gray
    unlike = abs(mean - told.mean) > told.std or not 0.5 < std / told.std < 2
    if unlike and used == (told.mean, told.std):
        yield (
            f"gray values are {mean:.4g} ± {std:.3g}, those that the model was trained on {told.mean:.4g} ± {told.std:.3g}: "
            "if the prediction is poor, predict with --gray source"
        )


def _halved(out: Path) -> Iterable[str]:
    if (out / HALVED).is_dir():
        yield f"out of memory in {len(list((out / HALVED).iterdir()))} blocks, which were computed in halves"


def _plan(job: Job, told: Configuration, shard: Shape) -> Plan:
    """A worker holds torch, the voxels around a block, what the network makes of a tile, and the result; measured."""
    block = prod(min(n, side) for n, side in zip(job.box.shape, shard, strict=True))
    tile = [min(n, side) for n, side in zip(job.box.shape, shard, strict=True)]
    tile[0] = tile[0] if told.dim == 3 else 1
    window = prod(min(n, side + 2 * far) for n, side, far in zip(job.voxels.shape, tile, HALOS[told.dim], strict=True))
    itemsize = np.dtype(job.dtype).itemsize
    channels = len(job.channels)
    held = TORCH_BYTES + TILE_BYTES * window + block * channels * (4 + itemsize) + memory_to_write(block * itemsize)
    seconds = job.tta * window * prod(job.box.shape) / prod(tile) * VOXEL_S
    loads = (Load(1, TORCH_BYTES, 3.0), Load(job.tasks, held, 3.0 + seconds / job.tasks))
    total = prod(job.box.shape) * itemsize * channels
    spooled = prod(job.voxels.shape) * np.dtype(job.voxels.dtype).itemsize if isinstance(job.voxels, Spool) else 0
    return Plan(60_000_000, int(total * 1.4) + spooled, 1.0, stages=loads)
