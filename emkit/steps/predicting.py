"""What a trained network says of a volume, block by block. Axis order is (z, y, x)."""

import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from emkit.blocks import Block, Span
from emkit.errors import ParameterError
from emkit.io.arrays import Voxels
from emkit.io.omezarr import blocks_to_build, create_volume, levels_to_build, memory_to_write, shard_grid
from emkit.io.spool import SPOOL, SectionImages, Spool, decode_section
from emkit.io.voxels import open_voxels
from emkit.membrane.model import Configuration, read_configuration
from emkit.membrane.networks.memory import Levels
from emkit.membrane.prediction import Prediction, channels_of
from emkit.membrane.resampling import onto
from emkit.model import Shape, SizeNm
from emkit.params import Positive, Reads, Unit, Writes
from emkit.provenance import files_of
from emkit.run.plan import Load, Plan
from emkit.run.stage import Stage, stage
from emkit.run.step import Body, step
from emkit.steps.inferring import (
    HALVED,
    SAMPLED,
    SAMPLED_PX,
    GrayValues,
    Job,
    build_level,
    find_means,
    measure_gray,
    predict_block,
    sampled,
)

LAYOUTS: dict[int, tuple[Shape, Shape]] = {  # by dimension: chunk and shard; a task is a shard
    2: ((16, 128, 128), (16, 1024, 1024)),  # sections: the halo costs less where a block is wide
    3: ((64, 64, 64), (256, 256, 256)),
}
# for the plan, as what follows
HALOS: dict[str, Shape] = {"unet2d": (0, 112, 112), "unet3d": (48, 48, 48), "anisotropic": (10, 112, 112)}
TRIED: dict[int, int] = {2: 352**2, 3: 96**3}  # voxels that are asked of at once to find means
TORCH_BYTES, VOXEL_S = 80_000_000, 7e-7  # by which a worker grows that computes at all, and reads; measured
KEPT = {2: 1.7, 3: 1.4}  # times what lives at once: the C library keeps some of what is freed
FURTHER = 1.25  # in half of the looks a network of sections sees pixels so much larger, and more of what lies around
FOREIGN = 8.0  # a voxel so many times larger or smaller than the model's is a wrong unit
BOX = re.compile(r"(\d+):(\d+),(\d+):(\d+),(\d+):(\d+)")


@dataclass(frozen=True)
class PredictReport:
    """What was predicted, and what there is to say of it."""

    shape: Shape
    voxel_size_nm: SizeNm
    dtype: str
    prediction: Prediction
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        made, size = self.prediction, " x ".join(map(str, self.shape))
        looks = f"mean over {made.tta} looks" if made.tta > 1 else "one look"
        targets = ", ".join(dict.fromkeys(channel.target for channel in made.channels))
        return "\n".join([f"{targets}: {size} voxels (z, y, x), {self.dtype}; {looks}, {made.precision}; {made.told}", *self.notes])


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
        Predictions are means over so many looks at the image: turned, mirrored, and, where a model of sections tells what
        does not depend on scale, half of them from further away. 1 is fastest, 16 is all.
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
        voxels = Spool(voxels.stack, folder=out / SPOOL)
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
    coarser = onto(voxels.shape, size_nm, coarser_nm(told), sections=True) if scales(told) else None
    job = Job(model, voxels, wanted, resampling, channels_of(told.targets), dtype, tta, device, tasks, coarser)
    yield _plan(job, told, shard)

    means = (yield from stage("look", find_means, {"all": (model, device)}))["all"]
    seen = sampled(voxels.shape[0])
    if isinstance(voxels, Spool):
        sections = sorted({*range(*_deep(wanted.z, voxels.shape[0], means.depth * told.voxel_size_nm[0] / size_nm[0])), *seen})
        yield from stage("decode", decode_section, {str(z): (voxels, z) for z in sections}, "sections")
    measured = (yield from stage("gray", measure_gray, {"all": (voxels, seen)}))["all"]
    trained = GrayValues(told.mean, told.std)
    used = trained if gray == "model" else measured
    for channel in job.channels:
        create_volume(
            out / channel.group, shape=wanted.shape, dtype=dtype, voxel_size_nm=size_nm,
            origin_nm=_moved(voxels.origin_nm, wanted, size_nm), chunk_px=chunk, shard_px=shard,
        )  # fmt: skip
    blocks = {str(block): (job, means, used, out, block) for block in shard_grid(out)}
    made = files_of((yield from stage("predict", predict_block, blocks, "blocks")))
    for channel in job.channels:
        yield from _coarser(out, channel.group, made)

    normalised = (used.mean, used.std)
    prediction = Prediction(told.dim, job.channels, told.voxel_size_nm, normalised, tta, means.precision, means.exact, means.told)
    prediction.write(out)
    notes = [] if resampling.nothing else [_resampled(size_nm, told.voxel_size_nm)]
    notes += [_unlike(measured, trained)] if gray == "model" and is_unlike(measured, trained) else []
    notes += [_halved(out)] if (out / HALVED).is_dir() else []
    for folder in (SPOOL, HALVED):
        if (out / folder).exists():
            shutil.rmtree(out / folder)
    return PredictReport(wanted.shape, size_nm, dtype, prediction, tuple(notes))


def _coarser(out: Path, group: str, made: set[str]) -> Generator[Stage[Any], Any, None]:
    """The levels of a volume below the root, or of the root."""
    volume, within = out / group, f"{group}/" if group else ""
    made = {name.removeprefix(within) for name in made if name.startswith(within)}
    for level in levels_to_build(volume):
        tasks = {str(b): (out, group, level, b, finer) for b, finer in blocks_to_build(volume, level, made)}
        written_now = files_of((yield from stage(f"{within}level {level}", build_level, tasks, "blocks")))
        made = {name.removeprefix(within) for name in written_now}


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
        raise ParameterError(
            f"voxel_size_nm: found {_size(size_nm)}, but the model was trained on {_size(model_nm)}: {max(ratio, 1 / ratio):.3g} "
            f"times {'less' if ratio > 1 else 'more'}. Is it given in nm, and not in Å or µm? Else train a model at this size."
        )


def scales(told: Configuration) -> bool:
    """Whether what a model tells is the same at another resolution: distances and affinities to voxels are not."""
    return told.dim == 2 and not any(target.offsets or target.name == "distance" for target in told.targets)


def coarser_nm(told: Configuration) -> SizeNm:
    """Voxels so large that sections are seen from further away, as far as training shows them."""
    z, y, x = told.voxel_size_nm
    return z, y * FURTHER, x * FURTHER


def is_unlike(found: GrayValues, trained: GrayValues) -> bool:
    """Whether gray values are of another contrast than those that a model was trained on."""
    return abs(found.mean - trained.mean) > trained.std or not 0.5 < found.std / trained.std < 2


def _moved(origin_nm: SizeNm, box: Block, size_nm: SizeNm) -> SizeNm:
    """The centre of the first voxel of the box."""
    spans = (box.z, box.y, box.x)
    z, y, x = (origin + low * size for origin, (low, _), size in zip(origin_nm, spans, size_nm, strict=True))
    return z, y, x


def _deep(span: Span, sections: int, depth: float) -> Span:
    """The sections that are looked at for those of a span: the network's depth in sections, and two that are resampled between."""
    margin = ceil(depth) + 2 if depth else 0
    return max(0, span[0] - margin), min(sections, span[1] + margin)


def _size(size_nm: SizeNm) -> str:
    return " x ".join(f"{size:g}" for size in size_nm) + " nm"


def _resampled(size_nm: SizeNm, model_nm: SizeNm) -> str:
    return f"resampled: voxels are {_size(size_nm)}, those that the model was trained on {_size(model_nm)}"


def _unlike(found: GrayValues, trained: GrayValues) -> str:
    return (
        f"gray values are {found.mean:.4g} ± {found.std:.3g}, those that the model was trained on {trained.mean:.4g} ± "
        f"{trained.std:.3g}: if the prediction is poor, predict with --gray source"
    )


def _halved(out: Path) -> str:
    return f"out of memory in {len(list((out / HALVED).iterdir()))} blocks: half of each was computed at a time"


def _plan(job: Job, told: Configuration, shard: Shape) -> Plan:
    """A worker holds torch and the weights, and beside them in turn what finding means, a tile, and the result need."""
    itemsize, channels = np.dtype(job.dtype).itemsize, told.channels
    sides = [min(n, side) for n, side in zip(job.box.shape, shard, strict=True)]
    scale = [new / old for new, old in zip(job.resampling.target, job.resampling.source, strict=True)]
    asked = [ceil(side * by) for side, by in zip(sides, scale, strict=True)]
    tile = [1, *asked[1:]] if told.dim == 2 else asked
    axes = zip(job.resampling.target, tile, HALOS[told.architecture], strict=True)
    around = [min(n, side + far * min(2, ceil(n / side) - 1)) for n, side, far in axes]
    window, deep = prod(around), asked[0] if told.dim == 2 else 1
    block, found = prod(sides), 4 * channels * prod(asked)
    shown = deep * window * (0 if job.resampling.nothing else 4)
    seen = shown + deep * int(window / prod(scale)) * np.dtype(job.voxels.dtype).itemsize
    looks = (4 + 8 * channels) * window if job.tta > 1 else 0
    earlier = 4 * channels * block if len(job.looks) > 1 else 0
    alone = TORCH_BYTES + 2 * sum(file.stat().st_size for file in job.model.glob("*.safetensors"))
    look = asked_bytes(told, TRIED[told.dim]) + 12 * channels * TRIED[told.dim]
    predict = earlier + seen + asked_bytes(told, window) + looks + (found if told.dim == 2 else 0)
    write = (4 * channels + itemsize) * block + memory_to_write(block * itemsize)
    seconds = job.tta * window * prod(asked) / prod(tile) * VOXEL_S
    gray = 24 * min(SAMPLED, job.voxels.shape[0]) * prod(min(n, SAMPLED_PX) for n in job.voxels.shape[1:])
    loads = (Load(1, alone + max(look, gray), 3.0), Load(job.tasks, alone + max(predict, write), 0.2 + seconds))
    total = prod(job.box.shape) * itemsize * len(job.channels)
    spooled = prod(job.voxels.shape) * np.dtype(job.voxels.dtype).itemsize if isinstance(job.voxels, Spool) else 0
    return Plan(5_000_000, int(total * 1.4) + spooled, 1.0, stages=loads)


def asked_bytes(told: Configuration, voxels: int) -> int:
    """What a network takes that is asked of so many voxels at once: what it holds itself, or what is made of its channels."""
    held = max(Levels.of(told.architecture, told.options).predicting(told.channels), 8 * told.channels)
    return int((held * KEPT[told.dim] + 4) * voxels)
