"""Accuracy on real sections with an inserted, exactly known warp, as the judge measures it, on a few of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

JUDGE = Path(__file__).parents[1] / "judges" / "alignment_harness.py"
ENTRY = Path(__file__).with_name("entry.py")


def judged(data_dir: Path, task: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(JUDGE), task, "--entry", f"{ENTRY}:{task}", "--level", "affine", "--tier", "exact", *options]
    ran = subprocess.run(command, env={**os.environ, "EMKIT_ALIGN_DATA": str(data_dir / "vnc")}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def test_pairs_are_matched_to_a_tenth_of_a_pixel(data_dir: Path) -> None:
    result = judged(data_dir, "pair", "--n", "4", "--seed", "5")
    assert result["err"]["median"] <= 0.12
    assert result["err"]["p95"] <= 0.4
    assert result["fail5px"] == 0


def test_a_stack_neither_drifts_nor_shrinks(data_dir: Path) -> None:
    result = judged(data_dir, "stack", "--z", "8", "--seed", "3")
    assert result["valid"]
    assert result["neighbour"]["median"] <= 0.09
    assert result["worst_section"] <= 0.35
