"""What the SNRs of an alignment are on real sections: neighbours, with sections missing between, and strangers.

    EMKIT_DATA_DIR=… python -m benchmarks.alignment [--sizes 1024 512 256] [--every 2] [--json FILE]

`emkit.align.quality.CALIBRATION` and its docstring come from this table: for the middle of each section of both stacks of nerve
cord, in several sizes, the 0, 10, 50, 90 and 100 % points of the SNR of patches, the SNR of whole sections, the residual, and
the seconds of one match.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.align import Match, match_pair
from emkit.io.sections import open_stack, read_section

Image = NDArray[np.uint8]
POINTS = (0, 0.1, 0.5, 0.9, 1)


def sections(folder: Path) -> list[Image]:
    stack = open_stack(folder)
    return [read_section(stack, z) for z in range(len(stack.files))]


def middle(image: Image, size: int) -> Image:
    y, x = ((n - size) // 2 for n in image.shape)
    return image[y : y + size, x : x + size]


def pairs(stacks: list[list[Image]], apart: int, every: int) -> list[tuple[Image, Image]]:
    """Sections `apart` of one stack; 0 is sections of one stack against those of the other."""
    if apart:
        return [(stack[z], stack[z + apart]) for stack in stacks for z in range(0, len(stack) - apart, every)]
    return list(zip(stacks[0][::every], stacks[1][::-every], strict=True))


def points(values: list[float]) -> list[float]:
    return [round(float(value), 2) for value in np.quantile(values, POINTS)]


COLUMNS = "".join(f"  {title:>18}" for title in ("SNR of patches", "SNR of the whole", "residual, px"))
HEAD = f"{'size':>5} {'patches':>7}  {'apart':9}{COLUMNS}  seconds a pair"


def line(row: dict[str, Any]) -> str:
    """One row for people: the 10, 50 and 90 % points of each number."""
    told = ["  ".join(f"{value:.1f}" for value in row[name][1:-1]) for name in ("snr", "whole_snr", "residual_px")]
    spread = "  ".join(f"{text:>18}" for text in told)
    return f"{row['size_px']:>5} {row['window_px']:>7}  {row['apart']!s:9}  {spread}  {row['seconds']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 512, 256, 200, 128, 96, 64])
    parser.add_argument("--every", type=int, default=2, help="take every n-th section")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (named := os.environ.get("EMKIT_DATA_DIR")):
        sys.exit("EMKIT_DATA_DIR is not set: it names the folder of real data, see CONTRIBUTING.md")
    stacks = [sections(Path(named) / "vnc" / name / "raw") for name in ("stack1", "stack2")]
    rows = []
    print(HEAD)
    for size in options.sizes:
        for apart in (1, 2, 3, 0):
            matches: list[Match] = []
            began = time.perf_counter()
            for fixed, moving in pairs(stacks, apart, options.every):
                matches.append(match_pair(middle(fixed, size), middle(moving, size)))
            row = {
                "size_px": size,
                "window_px": matches[0].window_px,
                "apart": apart or "strangers",
                "snr": points([match.snr for match in matches]),
                "whole_snr": points([match.whole_snr for match in matches]),
                "residual_px": points([match.residual_px for match in matches]),
                "seconds": round((time.perf_counter() - began) / len(matches), 3),
            }
            rows.append(row)
            print(line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
