"""How exactly pairs and stacks are aligned, as the judge measures it (tests/judges/alignment_harness.py), beside the goals.

    EMKIT_DATA_DIR=… python -m benchmarks.alignment_accuracy [--seed 7] [--pairs 12] [--json FILE]

Errors are px of the moving section. Settings were tuned with seeds 101 to 104 and 201, which are not to be used here.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
JUDGE, ENTRY = TESTS / "judges" / "alignment_harness.py", TESTS / "align" / "entry.py"


def judged(task: str, level: str, tier: str, seed: int, *size: str) -> dict[str, Any]:
    if not (named := os.environ.get("EMKIT_DATA_DIR")):
        sys.exit("EMKIT_DATA_DIR is not set: it names the folder of real data, see CONTRIBUTING.md")
    command = [sys.executable, str(JUDGE), task, "--entry", f"{ENTRY}:{task}", "--level", level, "--tier", tier]
    environment = {**os.environ, "EMKIT_ALIGN_DATA": str(Path(named) / "vnc")}
    asked = [*command, "--seed", str(seed), *size]
    ran = subprocess.run(asked, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pairs = ("--n", str(options.pairs))
    rows = []
    print(f"{'work':22} {'median':>7} {'p95':>7} {'seconds':>8}  goal")
    for name, score, goal, asked in (
        ("affine pair, exact", "err", "0.075 / 0.20", ("pair", "affine", "exact", options.seed, *pairs)),
        ("affine pair, real", "equiv", "0.50", ("pair", "affine", "real", options.seed, *pairs)),
        ("elastic pair", "err", "0.55 / 1.5", ("pair", "elastic", "exact", options.seed, *pairs)),
        ("stack affine, 20", "neighbour", "0.08, worst section 0.35", ("stack", "affine", "exact", options.seed, "--z", "20")),
        ("stack elastic, 10", "neighbour", "0.70, drift 1.0", ("stack", "elastic", "exact", options.seed, "--z", "10")),
    ):
        row = judged(*asked)
        rows.append({"work": name, "goal": goal, **row})
        more = f"  (worst section {row['worst_section']:.2f}, drift {row['drift']['median']:.2f})" if "drift" in row else ""
        print(f"{name:22} {row[score]['median']:7.3f} {row[score]['p95']:7.3f} {row['sec']:8.2f}  {goal}{more}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
