"""Numbers in a CSV file: named columns in any order, among others, which are kept."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError

LARGEST = 500_000_000  # bytes of a table
FIRST_LINE = 2  # of a file, after its head


@dataclass(frozen=True)
class Table:
    """A CSV file: its columns, its rows as they stand, and the numbers (rows, asked columns) that were asked for."""

    columns: list[str]
    rows: list[dict[str, str]]
    numbers: NDArray[np.float64]


def read_table(path: Path, columns: Sequence[str], counted: int) -> Table:
    """The numbers of ``columns``, the first of which counts sections from 0 to ``counted`` - 1.

    DataError with the line of what does not fit.
    """
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path} holds more than {LARGEST:,} bytes; needed: a table of points. Cut it in parts.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            present = list(reader.fieldnames or ())
            if missing := [name for name in columns if name not in present]:
                raise DataError(f"{path} has no column {', '.join(missing)}; needed: {', '.join(columns)}.")
            rows = list(reader)
    except UnicodeDecodeError as wrong:
        raise DataError(f"{path} is no text: {wrong.reason} at byte {wrong.start}. Needed: UTF-8.") from None
    numbers = np.empty((len(rows), len(columns)))
    for line, (row, into) in enumerate(zip(rows, numbers, strict=True), FIRST_LINE):
        try:
            into[:] = [float(row[name] or "") for name in columns]
        except ValueError:
            found = [row[name] for name in columns]
            raise DataError(f"{path}, line {line}: found {found}; needed: {len(columns)} numbers.") from None
        if not np.isfinite(into).all() or not 0 <= round(into[0]) < counted:
            raise DataError(
                f"{path}, line {line}: found {columns[0]} = {row[columns[0]]}; "
                f"needed: finite numbers, {columns[0]} of 0 to {counted - 1}."
            )
    return Table(present, rows, numbers)
