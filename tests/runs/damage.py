"""What can happen to a file."""

import random
from collections.abc import Callable
from pathlib import Path

from emkit.provenance import files


def flip(file: Path) -> None:
    """One bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1 << 3
    file.unlink()  # what is linked elsewhere stays as it is
    file.write_bytes(content)


def truncate(file: Path) -> None:
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])


def delete(file: Path) -> None:
    file.unlink()


DAMAGES: tuple[Callable[[Path], None], ...] = (flip, truncate, delete)


def contents(out: Path) -> dict[str, bytes]:
    """Every file of an output, the record's own among them, by name."""
    if out.is_file():
        return {out.name: out.read_bytes()}
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def cases(out: Path, sample: int | None) -> list[tuple[str, Callable[[Path], None]]]:
    """Every file damaged in every way; or a sample of so many, always the same."""
    names = [path.relative_to(out).as_posix() if out.is_dir() else path.name for path in files(out)]
    found = [(name, damage) for name in names for damage in DAMAGES]
    return found if sample is None else random.Random(5).sample(found, min(sample, len(found)))
