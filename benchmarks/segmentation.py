"""Membranes and cells by the plain commands, on sections that the training never saw.

    EMKIT_DATA_DIR=… python -m benchmarks.segmentation [--only isbi vnc] [--seeds 0] [--cpu-seconds 600] [--keep DIR] [--json FILE]

For each split: train-membranes with no more than its data and the core-seconds, predict-membranes, segment, score: the first rows
of `SPLITS`. Each model is then asked about the sections of the other data set (`OTHERS`). Objects that are rare (mitochondria,
synapses) are learned twice, by targets and losses as PyTorch Connectomics has them and by plain cross-entropy (`OBJECTS`): their
IoU and F1 are those of pixels, cut at one half, AP50 and AP75 those of the objects of all sections as segment finds them: what is
found where no object is counts against it, which is not so with cells, where 0 is unlabelled.

Peers are rows of `MEASURED`: what a compact network came to before emkit was, after as many core-seconds, on other sections
(docs/explanation/figures.md says which).
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from emkit.blocks import Block
from emkit.io.voxels import open_voxels
from emkit.measure.membranes import HALF, PixelCounts, components
from emkit.measure.overlaps import Overlaps

EMKIT = Path(sys.executable).with_name("emkit")
COLUMNS = ("v_rand", "v_info", "best_f1", "vi", "ap50", "ap75")
LEAST_PX = 20  # of an object in a section
MEASURED = {
    "isbi": {"v_rand": 0.957, "v_info": 0.976, "best_f1": 0.813, "vi": 0.164},
    "vnc": {"v_rand": 0.993, "v_info": 0.993, "best_f1": 0.888, "vi": 0.045, "ap75": 0.885},
    "flyem": {"vi": 1.933, "ap50": 0.146},
    "isbi on vnc": {"v_rand": 0.995, "v_info": 0.996, "best_f1": 0.837, "vi": 0.043},
}


@dataclass(frozen=True)
class Split:
    """Labelled data: which sections are learned from, and which are scored on."""

    images: str
    labels: str
    kind: str
    voxel_size_nm: tuple[float, float, float]
    learned: range
    scored: range
    told: tuple[str, ...] = field(default=())

    @property
    def truth(self) -> str:
        return {"interior": "interior", "membrane": "membrane", "instances": "instances"}[self.kind]


VNC_NM = (50.0, 4.6, 4.6)
SPLITS = {
    "isbi": Split("isbi2012/image", "isbi2012/label", "interior", (50.0, 4.0, 4.0), range(16), range(16, 20)),
    "vnc": Split("vnc/stack1/raw", "vnc/stack1/membranes", "membrane", VNC_NM, range(11), range(11, 15)),
    "flyem": Split(
        "flyem/raw", "flyem/labels_z000-159.tif", "instances", (10.0, 10.0, 10.0), range(120), range(120, 160), ("--dim", "3")
    ),
}
OTHERS = {"isbi on vnc": ("isbi", "vnc"), "vnc on isbi": ("vnc", "isbi")}
OBJECTS = {"mitochondria": "vnc/stack1/mitochondria", "synapses": "vnc/stack1/synapses"}
LEARNED_AS = {
    "foreground, contour, distance": ("foreground:balanced=1,dice=1", "contour:balanced=1,dice=1", "distance:mse=2"),
    "foreground by plain BCE": ("foreground:bce=1",),
}


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("--only", nargs="+", choices=[*SPLITS, *OTHERS, *OBJECTS], default=[*SPLITS, *OTHERS, *OBJECTS])
    parse.add_argument("--seeds", type=int, nargs="+", default=[0])
    parse.add_argument("--cpu-seconds", type=float, default=600.0, help="of each training of membranes; objects take a quarter")
    parse.add_argument("--keep", type=Path, help="keep models and volumes here, and train no model that is there")
    parse.add_argument("--json", type=Path)
    asked = parse.parse_args()
    data, rows = Path(os.environ["EMKIT_DATA_DIR"]), []
    sys.stdout.write(f"{'':44}{'seed':>5}{'core-s':>8}" + "".join(f"{name:>9}" for name in (*COLUMNS, "IoU")) + "\n")
    with tempfile.TemporaryDirectory() as place:
        for row in measured(asked, data, asked.keep or Path(place)):
            rows.append(row)
            sys.stdout.write(line(row))
            sys.stdout.flush()
    if asked.json:
        asked.json.write_text(json.dumps({"cpu_seconds": asked.cpu_seconds, "rows": rows}, indent=1) + "\n")


def measured(asked: argparse.Namespace, data: Path, place: Path) -> Iterator[dict[str, Any]]:
    """A row for each split and seed, and before them the peer's."""
    for name in asked.only:
        if name in MEASURED:
            yield {"name": f"{name}: measured before", "scores": MEASURED[name]}
        for seed in asked.seeds:
            if name in OBJECTS:
                for told, targets in LEARNED_AS.items():
                    yield of_objects(name, told, targets, data, place, seed, asked.cpu_seconds / 4)
            else:
                learned, scored = OTHERS.get(name, (name, name))
                model = place / f"{learned}-{seed}"
                core_s = train(SPLITS[learned], data, model, seed, asked.cpu_seconds)
                volume = place / f"{name.replace(' ', '-')}-{seed}"
                yield {"name": name, "seed": seed, "core_s": core_s, "scores": cells(SPLITS[scored], data, model, volume)}


def train(split: Split, data: Path, model: Path, seed: int, cpu_seconds: float) -> float:
    """Make a model, or find it; the core-seconds that the command took, all of them."""
    if model.is_dir():
        return float(json.loads((model / "cost.json").read_text()))
    model.parent.mkdir(parents=True, exist_ok=True)
    labels = sections(data / split.labels, split.learned, model.with_name(f"{model.name}-labels"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(
        "train-membranes", "--images", data / split.images, "--labels", labels, "--label-kind", split.kind, "--voxel-size-nm",
        *split.voxel_size_nm, *split.told, "--cpu-seconds", cpu_seconds, "--seed", seed, "-o", model,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    core_s = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
    (model / "cost.json").write_text(json.dumps(core_s))
    return core_s


def cells(split: Split, data: Path, model: Path, volume: Path) -> dict[str, float]:
    """Scores of the probability and of the cells that a model finds in the sections of a split that are scored."""
    probability, found = volume.with_suffix(".ome.zarr"), volume.with_name(f"{volume.name}-cells.ome.zarr")
    predict(split, data, model, probability)
    run("segment", probability, "-o", found, "--overwrite")
    truth = sections(data / split.labels, split.scored, volume.with_name(f"{volume.name}-truth"))
    scores: dict[str, float] = {}
    for scored, kept in ((probability, ("membrane", "lines")), (found, ("cells",))):
        told = volume.with_name(f"{volume.name}.json")
        run("score", scored, truth, "--truth-kind", split.truth, "-o", told, "--overwrite")
        for group in kept:
            scores |= json.loads(told.read_text())[group]
    return scores


def predict(split: Split, data: Path, model: Path, probability: Path) -> None:
    images = data / split.images
    _, height, width = open_voxels(images).shape
    box = f"{split.scored.start}:{split.scored.stop},0:{height},0:{width}"
    size = map(str, split.voxel_size_nm)
    run("predict-membranes", model, images, "--voxel-size-nm", *size, "--box", box, "-o", probability, "--overwrite")


def of_objects(
    name: str, told: str, targets: Sequence[str], data: Path, place: Path, seed: int, cpu_seconds: float
) -> dict[str, Any]:
    """Objects of nerve cord, by these targets."""
    base = SPLITS["vnc"]
    split = Split(base.images, OBJECTS[name], "interior", VNC_NM, base.learned, base.scored, ("--target", *targets))
    model = place / f"{name}-{len(targets)}-{seed}"
    core_s = train(split, data, model, seed, cpu_seconds)
    predict(split, data, model, probability := model.with_suffix(".ome.zarr"))
    found = whole(probability).astype(np.float32) / 255
    true = whole(sections(data / split.labels, split.scored, model.with_name(f"{model.name}-truth"))) != 0
    counts = PixelCounts.of(found, true, HALF)
    run("segment", probability, "-o", objects := model.with_name(f"{model.name}-objects.ome.zarr"), "--overwrite")
    pairs = zip(whole(objects), map(components, true), strict=True)
    tables = [Overlaps.of(large(found), large(true)) for found, true in pairs]
    scores = {"best_f1": counts.f1, "iou": counts.iou} | {f"ap{least:.0%}"[:-1]: precision(tables, least) for least in (0.5, 0.75)}
    return {"name": f"{name}: {told}", "seed": seed, "core_s": core_s, "scores": scores}


def precision(tables: Sequence[Overlaps], least: float) -> float:
    """Matched objects over those that are found or true; a match has this intersection over union at least."""
    matched = every = 0
    for table in tables:
        sizes = [np.bincount(side, table.count) for side in (table.truth, table.segment)]
        both = (table.truth > 0) & (table.segment > 0)
        apart = sizes[0][table.truth[both]] + sizes[1][table.segment[both]] - table.count[both]
        hits = int((table.count[both] >= least * apart).sum())
        matched, every = matched + hits, every + sum(int((size[1:] > 0).sum()) for size in sizes) - hits
    return matched / max(1, every)


def large(labels: Any) -> Any:
    """The objects of a section, without the smallest."""
    kept = np.bincount(labels.ravel()) >= LEAST_PX
    kept[0] = False
    return np.where(kept[labels], labels, 0)


def whole(path: Path) -> Any:
    voxels = open_voxels(path)
    depth, height, width = voxels.shape
    return voxels.read(Block((0, depth), (0, height), (0, width)))


def sections(labels: Path, chosen: range, out: Path) -> Path:
    """Some sections of labels: of a folder the files as they are, of a file a new one."""
    if not labels.is_dir():
        every = tifffile.imread(labels)
        tifffile.imwrite(made := out.with_suffix(".tif"), every[chosen.start : chosen.stop], photometric="minisblack")
        return made
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for file in sorted(labels.iterdir())[chosen.start : chosen.stop]:
        shutil.copyfile(file, out / file.name)
    return out


def run(*told: object) -> None:
    """A command, as one would type it."""
    done = subprocess.run([EMKIT, *map(str, told)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"emkit {' '.join(map(str, told))}\n{done.stderr}")


def line(row: dict[str, Any]) -> str:
    seed, core_s = (format(row[key], how) if key in row else "" for key, how in (("seed", "d"), ("core_s", ".0f")))
    shown = (f"{row['scores'][key]:.3f}" if key in row["scores"] else "–" for key in (*COLUMNS, "iou"))
    return f"{row['name']:44}{seed:>5}{core_s:>8}" + "".join(f"{text:>9}" for text in shown) + "\n"


if __name__ == "__main__":
    main()
