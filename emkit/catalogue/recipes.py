"""Recipes over scans of the catalogue: each counted, and a series of them measured."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emkit.catalogue.entry import Entry
from emkit.catalogue.things import COUNTED_NAME
from emkit.errors import ParameterError


def recipe_over(root: Path, entries: Sequence[Entry], series: Path | None) -> str:
    """The recipe (TOML) that counts what is not counted yet, each beside its raw frames, and measures all as a series.

    `series`: the folder for the table and the plot; None where they are only to be counted. ParameterError names what cannot be.
    """
    import tomli_w

    labels = {entry.name: f"{k}-{re.sub(r'[^A-Za-z0-9_-]', '-', entry.name)}" for k, entry in enumerate(entries, 1)}
    steps = [_count(root, entry, labels[entry.name]) for entry in entries if not entry.counted]
    if series:
        if len(entries) < 2:
            raise ParameterError(f"series: found {len(entries)} scans, needed 2 or more to compare.")
        told = sorted(entries, key=lambda entry: entry.at)
        scans = [str(root / entry.counted[0]) if entry.counted else f"@{labels[entry.name]}" for entry in told]
        times = [round(entry.at - told[0].at, 3) for entry in told]
        arguments: dict[str, Any] = {"scans": scans, "at_s": times, "out": str(series)}
        steps.append({"name": "series", "step": "measure_series", "arguments": arguments})
    if not steps:
        raise ParameterError(f"{', '.join(entry.name for entry in entries) or 'nothing'}: there is nothing to count.")
    return tomli_w.dumps({"step": steps})


def _count(root: Path, entry: Entry, label: str) -> dict[str, Any]:
    if entry.raw is None:
        raise ParameterError(f"{entry.name}: there are no raw frames to count.")
    arguments = {"source": str(root / entry.raw), "out": str(root / f"{entry.name}{COUNTED_NAME}")}
    return {"name": label, "step": "count_scan", "arguments": arguments}
