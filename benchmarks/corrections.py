"""Whether painted corrections help: a model that learned little, strokes where it is wrong, retrained, scored on other sections.

    EMKIT_DATA_DIR=… python -m benchmarks.corrections [--seed 0] [--rounds 2] [--strokes 40] [--keep DIR] [--json FILE]

VNC sections 0 and 1 with their labels make a model in 60 core-seconds by the plain command. Then, round by round: it predicts
section 8, strokes are painted there where it is wrong, and the panel of `emkit_widgets.learn` trains on from them, as its button
Train does. Scored are section 8, and sections 12 and 14, on which nothing was ever learned or painted.

Strokes are what somebody would paint who knows the truth: through the largest patches that are wrong (cut at one half), along the
middle of what they truly are, 5 px wide and 80 px long at most; as many of membrane as of interior. Predictions are of one look, as
the panel shows them. V-Rand and V-Info are those of thinned lines at the best threshold, F1 that of pixels.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from emkit_widgets.learn import LearnPanel
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import route_through_array

from benchmarks.segmentation import run, sections
from emkit.blocks import Block
from emkit.io.voxels import open_voxels
from emkit.measure.membranes import THRESHOLDS, PixelCounts, components, line_scores
from emkit.measure.partitions import mean_scores
from emkit.membrane.targets import INTERIOR, MEMBRANE
from emkit.server.easel import Easel, Window

NM = (50.0, 4.6, 4.6)
LEARNED, PAINTED, SCORED = range(2), 8, (12, 14)
RADIUS_PX, LONGEST_PX, LEAST_PX = 2.0, 80.0, 30
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("--seed", type=int, default=0, help="of the first training")
    parse.add_argument("--rounds", type=int, default=2)
    parse.add_argument("--strokes", type=int, default=40, help="of each round")
    parse.add_argument("--cpu-seconds", type=float, default=60.0, help="of the first training; each round takes 30")
    parse.add_argument("--keep", type=Path, help="keep models here, and do not train the first if it is there")
    parse.add_argument("--json", type=Path)
    asked = parse.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = [*measured(asked, Path(os.environ["EMKIT_DATA_DIR"]) / "vnc/stack1", asked.keep or Path(place))]
    if asked.json:
        asked.json.write_text(json.dumps({"seed": asked.seed, "rows": rows}, indent=1) + "\n")


def measured(asked: argparse.Namespace, data: Path, place: Path) -> Iterator[dict[str, Any]]:
    """A row for the first model, and one for each round, printed as they come."""
    model = place / f"base-{asked.seed}"
    if not model.is_dir():
        labels = sections(data / "membranes", LEARNED, place / "labels")
        run(
            "train-membranes", "--images", data / "raw", "--labels", labels, "--label-kind", "membrane", "--voxel-size-nm", *NM,
            "--cpu-seconds", asked.cpu_seconds, "--seed", asked.seed, "-o", model,
        )  # fmt: skip
    panel = LearnPanel(data / "raw", place / "corrected", model, NM)
    truth = open_voxels(data / "membranes")
    _, height, width = truth.shape
    membranes = {z: truth.read(Block((z, z + 1), (0, height), (0, width)))[0] != 0 for z in (PAINTED, *SCORED)}
    sys.stdout.write(f"{'':10}{'strokes':>8}{'section':>9}{'V-Rand':>9}{'V-Info':>9}{'F1':>9}\n")
    for number in range(asked.rounds + 1):
        painted = panel.easel.strokes.round.strokes
        if number:
            painted = paint(panel.easel, membranes[PAINTED], asked.strokes)
            if (ended := panel.train()) is None or ended.result() or panel.last_model() != place / "corrected" / f"round_{number}":
                raise SystemExit(f"round {number}: {panel.message.value}")
        for name, zs in ((f"{PAINTED}", (PAINTED,)), (", ".join(map(str, SCORED)), SCORED)):
            scores = scored([(predicted(panel.easel, z, (height, width)), membranes[z]) for z in zs])
            shown = "".join(f"{scores[key]:9.4f}" for key in ("v_rand", "v_info", "f1"))
            sys.stdout.write(f"{f'round {number}' if number else 'before':10}{painted:8}{name:>9}{shown}\n")
            sys.stdout.flush()
            yield {"round": number, "strokes": painted, "sections": zs, "scores": scores}


def predicted(easel: Easel, z: int, shape: tuple[int, int]) -> Floats:
    """What the model of the easel says of a section, (y, x), from 0 to 1."""
    window = Window(z, 0, 0, *shape)
    easel.predict(window)
    found: Floats = easel.look(window).probability.astype(np.float32) / np.float32(255)
    return found


def paint(easel: Easel, membrane: Mask, count: int) -> int:
    """Paint where the model is wrong; how many strokes."""
    found, done = predicted(easel, PAINTED, (membrane.shape[0], membrane.shape[1])) >= 0.5, 0
    window = Window(PAINTED, 0, 0, *membrane.shape)
    for value, true in ((MEMBRANE, membrane), (INTERIOR, ~membrane)):
        wrong = true & (found != membrane)
        for points in strokes(wrong, true, count // 2):
            done += easel.paint("brush", value, points, RADIUS_PX, window)
    return done


def strokes(wrong: Mask, true: Mask, count: int) -> Iterator[list[tuple[int, int]]]:
    """Ways (y, x) through the largest patches that are wrong, as deep within what is `true` as they can be."""
    deep = ndimage.distance_transform_edt(true)
    patches = ndimage.label(wrong & (deep >= min(RADIUS_PX, deep[wrong].max(initial=1.0))))[0]
    sizes = np.bincount(patches.ravel())
    sizes[0] = 0
    for patch in np.argsort(sizes)[::-1][:count]:
        if sizes[patch] < LEAST_PX:
            return
        places = np.argwhere(patches == patch)
        middle = places[np.argmin(((places - places.mean(0)) ** 2).sum(1))]
        near = places[np.hypot(*(places - middle).T) <= LONGEST_PX / 2]
        along = (near - near.mean(0)) @ np.linalg.svd(near - near.mean(0), full_matrices=False)[2][0]
        ends = near[along.argmin()], near[along.argmax()]
        way, _ = route_through_array(np.where(true, 1 / (1 + deep), 1e3), *ends)
        yield [(int(y), int(x)) for y, x in way]


def scored(pairs: list[tuple[Floats, Mask]]) -> dict[str, float]:
    """V-Rand and V-Info at the best threshold of these sections, and F1 at its own."""
    tables = [line_scores(found, np.where(true, 0, components(~true)), THRESHOLDS) for found, true in pairs]
    means = [mean_scores(at) for at in zip(*tables, strict=True)]
    f1 = 0.0
    for threshold in THRESHOLDS:
        first, *others = (PixelCounts.of(found, true, threshold) for found, true in pairs)
        f1 = max(f1, sum(others, first).f1)
    return {name: max(one[name] for one in means if name in one) for name in ("v_rand", "v_info")} | {"f1": f1}


if __name__ == "__main__":
    main()
