"""Pixels a core-second of predict-membranes and of MONAI's sliding window, all else alike: python -m benchmarks.inference

MONAI is fetched alone, without its dependencies (it needs torch, which is here), into a folder of its own. Rounds are interleaved,
on one thread; times are those of the processor. The network has random weights unless --model names one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.membrane.inference import Predictor, fastest_precision
from emkit.membrane.model import Configuration, Model, Target, build_network, load_model
from emkit.phantoms.sections import SectionPhantom

MONAI = "monai==1.6.0"
REGION_PX, BATCH = 256, 8  # of MONAI's windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a folder of train-membranes; else the default network with random weights")
    parser.add_argument("--side", type=int, default=1536, help="of the square section, px")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(given.model) if given.model else untrained()
    gray = SectionPhantom(shape=(given.side, given.side), count=1, seed=0).render_section(0)
    with tempfile.TemporaryDirectory() as place:
        doors = peers(model, gray, Path(place)) | {
            "emkit, tiles of 512": ours(model, gray, 512),
            "emkit (tiles of 1024)": ours(model, gray, 1024),
        }
        rows = measured(doors, gray.size, given.rounds)
    seam = seam_error(model, gray)
    sys.stdout.write(f"{given.side}² px, one thread; halo {model.halo[1]} px; seam error of emkit's blocks: {seam:g}\n\n")
    sys.stdout.write(f"{'':44}{'Mpx/core-s':>11}{'ratio':>8}{'spread':>14}\n")
    for row in rows:
        spread = "{:.2f}–{:.2f}".format(*row["spread"])
        sys.stdout.write(f"{row['door']:44}{row['mpx_per_core_s']:>11.2f}{row['ratio']:>8.2f}{spread:>14}\n")
    if given.json:
        given.json.write_text(json.dumps({"side_px": given.side, "seam_error": seam, "rows": rows}, indent=1) + "\n")


def untrained() -> Model:
    """The default network of sections, its batch statistics those of noise."""
    torch.manual_seed(0)
    told = Configuration("unet2d", {}, 2, (50.0, 4.0, 4.0), (Target("membrane"),), 128.0, 40.0)
    network = build_network(told)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 1, 128, 128))
    return Model(network.eval(), told)


def peers(model: Model, gray: NDArray[Any], place: Path) -> dict[str, Callable[[], Any]]:
    """MONAI at half overlap, as it is used, and with what else makes the same network faster."""
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), MONAI], check=True)
    sys.path.insert(0, str(place))
    from monai.inferers import sliding_window_inference  # type: ignore[import-not-found]

    image = ((torch.from_numpy(gray).float() - model.mean) / model.std)[None, None]
    fast = Predictor(model, precision=fastest_precision("cpu"))

    def slide(network: Callable[[torch.Tensor], torch.Tensor], overlap: float) -> Callable[[], Any]:
        def run() -> Any:
            with torch.inference_mode():
                return sliding_window_inference(image, (REGION_PX, REGION_PX), BATCH, network, overlap=overlap, mode="gaussian")

        return run

    def quick(batch: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(
            fast.network(batch.to(getattr(torch, fast.precision)).contiguous(memory_format=torch.channels_last)).float()
        )

    return {
        "MONAI, overlap 0.5": slide(lambda batch: torch.sigmoid(model.network(batch)), 0.5),
        f"MONAI, overlap 0.5, our {fast.precision} network": slide(quick, 0.5),
    }


def ours(model: Model, gray: NDArray[Any], tile: int) -> Callable[[], Any]:
    predictor = Predictor(model, precision=fastest_precision("cpu"), tile=(1, tile, tile))
    every = Block((0, 1), (0, gray.shape[0]), (0, gray.shape[1]))
    _ = predictor.proof  # found out now: once a model, not once a section
    return lambda: predictor.predict(gray[None], every, every, (1, *gray.shape))


def seam_error(model: Model, gray: NDArray[Any]) -> float:
    """By how much blocks differ from the whole at most."""
    return float(np.abs(ours(model, gray, 512)() - ours(model, gray, max(gray.shape))()).max())


def measured(doors: dict[str, Callable[[], Any]], size: int, rounds: int) -> list[dict[str, Any]]:
    """Each door's rate, and how many times the first door's it is: the median over rounds, and the least and the most."""
    for run in doors.values():
        run()
    spent: dict[str, list[float]] = {name: [] for name in doors}
    for _ in range(rounds):
        for name, run in doors.items():
            began = time.process_time()
            run()
            spent[name].append(time.process_time() - began)
    first = next(iter(spent.values()))
    rows = []
    for name, seconds in spent.items():
        ratios = [a / b for a, b in zip(first, seconds, strict=True)]
        rate = size / median(seconds) / 1e6
        rows.append({"door": name, "mpx_per_core_s": rate, "ratio": median(ratios), "spread": [min(ratios), max(ratios)]})
    return rows


if __name__ == "__main__":
    main()
