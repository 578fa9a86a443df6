"""How sections with planted defects are judged, on real nerve cord, and whence the limits of `emkit.align.defects` come.

    EMKIT_DATA_DIR=… python -m benchmarks.quality [--fit 909 917] [--report 5100 5108] [--json FILE]

Seeds are those of `make_qc` of the judge (tests/judges/alignment_harness.py), both ends included. On the seeds of ``--fit`` it
prints, for each statistic, what good sections reach at most, what its defect reaches at least, and their middle: a limit lies near
it. On those of ``--report``, which nobody looked at while limits were set: AUC, recall at 5 % false alarms, the share of defects
named rightly, and of good sections flagged. Last, how many sections of whole stacks without planted defects are flagged.
"""

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from emkit.align import measure_quality
from emkit.align.defects import LIMITS
from emkit.io.sections import open_stack, read_section

JUDGE = Path(__file__).parents[1] / "tests/judges/alignment_harness.py"
OWN = {  # statistic: the defect it is for
    "blur": "defocus",
    "spread": "contrast",
    "stripes": "charging",
    "dark_line": "fold",
    "bright_line": "tear",
    "same": "duplicate",
    "loss": "gap",
}


def judge() -> Any:
    spec = importlib.util.spec_from_file_location("alignment_harness", JUDGE)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{JUDGE} cannot be read")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.DATA = str(Path(os.environ["EMKIT_DATA_DIR"]) / "vnc")  # type: ignore[attr-defined]
    return module


def tables(harness: Any, seeds: Iterable[int]) -> pd.DataFrame:
    """Every section of every seed, its truth in `truth` and whether it counts as good: neither bad nor beside a bad one."""
    found = []
    for seed in seeds:
        sections, truth = harness.make_qc(seed)
        began = time.process_time()
        table = measure_quality(sections)
        table["seconds"] = (time.process_time() - began) / len(sections)
        beside = {z + step for z, defect in enumerate(truth) if defect for step in (-1, 1)}
        table["truth"] = truth
        table["good"] = [not defect and z not in beside for z, defect in enumerate(truth)]
        table["blur"] = table["sharpness"].median() - table["sharpness"]
        table["spread"] = (table["spread"] - table["spread"].median()).abs()
        found.append(table.assign(seed=seed))
    return pd.concat(found, ignore_index=True)


def limits(table: pd.DataFrame) -> pd.DataFrame:
    """What good sections reach at most, and each statistic's own defect at least."""
    rows = []
    for name, defect in OWN.items():
        most, least = table.loc[table["good"], name].max(), table.loc[table["truth"] == defect, name].min()
        rows.append({"statistic": name, "defect": defect, "good, at most": most, "defect, at least": least,
                     "middle": (most + least) / 2, "limit": LIMITS[name]})  # fmt: skip
    return pd.DataFrame(rows)


def marks(table: pd.DataFrame) -> dict[str, Any]:
    """The figures of the issue, from the judge's definitions."""
    bad, good = table[table["truth"] != ""], table[table["good"]]
    over = bad["score"].to_numpy()[:, None] - good["score"].to_numpy()
    named = (bad["defect"] == bad["truth"]).groupby(bad["truth"]).mean()
    return {
        "sections": len(table),
        "bad": len(bad),
        "good": len(good),
        "auc": float((over > 0).mean() + (over == 0).mean() / 2),
        "recall_at_5pct": float((bad["score"] > good["score"].quantile(0.95)).mean()),
        "named_rightly": float((bad["defect"] == bad["truth"]).mean()),
        "named": {str(defect): float(share) for defect, share in named.items()},
        "good_flagged": float((good["defect"] != "").mean()),
        "beside_flagged": float((table[(table["truth"] == "") & ~table["good"]]["defect"] != "").mean()),
        "cpu_seconds_a_section": float(table["seconds"].mean()),
    }


def real(folder: Path) -> dict[str, int]:
    stack = open_stack(folder)
    table = measure_quality([read_section(stack, z) for z in range(len(stack.files))])
    return {str(name): int(count) for name, count in table["defect"].value_counts().items()}


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("--fit", type=int, nargs=2, default=(909, 917))
    parse.add_argument("--report", type=int, nargs=2, default=(5100, 5108))
    parse.add_argument("--json", type=Path)
    asked = parse.parse_args()
    harness, data = judge(), Path(os.environ["EMKIT_DATA_DIR"])
    found = limits(tables(harness, range(asked.fit[0], asked.fit[1] + 1)))
    print(found.round(2).to_string(index=False), flush=True)
    told = marks(tables(harness, range(asked.report[0], asked.report[1] + 1)))
    print(json.dumps(told, indent=1), flush=True)
    stacks = {name: real(data / name) for name in ("vnc/stack1/raw", "vnc/stack2/raw", "isbi2012/image") if (data / name).is_dir()}
    print(json.dumps(stacks, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps({"fit": asked.fit, "report": asked.report, **told, "real": stacks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
