"""The wait for the first sign of emkit: `import emkit` and `emkit --help`, beside a bare interpreter and `import numpy`.

    python benchmarks/startup.py [--rounds 15] [--json FILE]

Whole processes, wall time, interleaved in one run; the ratio is to the bare interpreter of the same round.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

EMKIT = str(Path(sys.executable).with_name("emkit"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import emkit": [sys.executable, "-c", "import emkit"],
    "emkit --help": [EMKIT, "--help"],
    "emkit align-sections --help": [EMKIT, "align-sections", "--help"],
}


def seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    for argv in COMMANDS.values():
        seconds(argv)  # the first one compiles and fills the page cache
    rounds = [{name: seconds(argv) for name, argv in COMMANDS.items()} for _ in range(given.rounds)]
    found = {}
    for name in COMMANDS:
        walls = sorted(r[name] for r in rounds)
        ratio = statistics.median(r[name] / r["python -c pass"] for r in rounds)
        median = statistics.median(walls)
        found[name] = {"median_s": median, "range_s": [walls[0], walls[-1]], "ratio": ratio}
        print(f"{name:28} {median:.3f} s ({walls[0]:.3f}–{walls[-1]:.3f}), × {ratio:.1f} of a bare interpreter")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
