"""How often two sections that share nothing are believed to be neighbours, by their size; and how often true neighbours are not.

    EMKIT_DATA_DIR=… python -m benchmarks.alignment_strangers [--sizes 128 192 256 384 512] [--pairs 40] [--seed 1] [--json FILE]

Strangers are a place of one stack of nerve cord and one of the other, turned or mirrored, and phantoms of two seeds; neighbours are
sections of one place, in these stacks as they were published and of phantoms. One in 1,000 is too rare to be counted here: beside
what was counted stands what a Gumbel distribution of each SNR, fitted to the strangers, tells of both reaching their limits at once
as if they did not depend on each other.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.align import Match, calibrated_threshold, judge_match, match_pair
from emkit.align.quality import FEW_ACROSS, FEW_SNR
from emkit.io.sections import open_stack, read_section
from emkit.phantoms import SectionPhantom

Image = NDArray[np.uint8]


def place(image: Image, size: int, draw: np.random.Generator) -> tuple[slice, slice]:
    y, x = (int(draw.integers(0, n - size + 1)) for n in image.shape)
    return slice(y, y + size), slice(x, x + size)


def pairs(
    stacks: list[list[Image]], size: int, count: int, strangers: bool, draw: np.random.Generator
) -> Iterator[tuple[Image, Image]]:
    """Two sections of `size`²: in turn real ones and phantoms."""
    for k in range(count):
        if k % 2:
            phantoms = [SectionPhantom(shape=(size, size), count=2, seed=int(draw.integers(1 << 30))) for _ in range(2)]
            yield phantoms[0].render_section(0), phantoms[strangers].render_section(1)
            continue
        first, second = stacks if strangers else [stacks[int(draw.integers(2))]] * 2
        z = int(draw.integers(len(first) - 1))
        here = place(first[z], size, draw)
        if not strangers:
            yield first[z][here], first[z + 1][here]
            continue
        other = np.rot90(second[z][place(second[z], size, draw)], int(draw.integers(4)))
        yield first[z][here], other[:, :: int(draw.choice([-1, 1]))]


def beyond(values: list[float], limit: float) -> float:
    """By a Gumbel distribution with the mean and the spread of these: how often it goes beyond the limit."""
    scale = float(np.std(values)) * np.sqrt(6) / np.pi
    return float(-np.expm1(-np.exp(-(limit - np.mean(values)) / scale - np.euler_gamma)))


def measured(stacks: list[list[Image]], size: int, count: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {"size_px": size, "pairs": count}
    threshold = calibrated_threshold((size, size))
    for name, strangers in (("strangers", True), ("neighbours", False)):
        draw = np.random.default_rng((seed, size, strangers))
        matches: list[Match] = [match_pair(*pair) for pair in pairs(stacks, size, count, strangers, draw)]
        judged = [judge_match(match, 0, 1, shape=(size, size), threshold=threshold) for match in matches]
        row[name] = {"flagged": sum(one.flagged for one in judged)}
        if strangers:
            seen = [match for match in matches if not match.failure]
            few = size < FEW_ACROSS * seen[0].window_px
            chance = beyond([one.snr for one in seen], threshold)
            row["chance"] = chance * (beyond([one.whole_snr for one in seen], FEW_SNR) if few else 1)
    return row


def line(row: dict[str, Any]) -> str:
    believed, lost = row["pairs"] - row["strangers"]["flagged"], row["neighbours"]["flagged"]
    return (
        f"{row['size_px']:5} px: {believed} of {row['pairs']} strangers believed ({row['chance']:.1e} by the fit), "
        f"{lost} of {row['pairs']} neighbours flagged"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 192, 256, 384, 512])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if not (named := os.environ.get("EMKIT_DATA_DIR")):
        sys.exit("EMKIT_DATA_DIR is not set: it names the folder of real data, see CONTRIBUTING.md")
    folders = [Path(named) / "vnc" / name / "raw" for name in ("stack1", "stack2")]
    stacks = [[read_section(stack, z) for z in range(len(stack.files))] for stack in map(open_stack, folders)]
    rows = []
    for size in asked.sizes:
        rows.append(measured(stacks, size, asked.pairs, asked.seed))
        print(line(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
