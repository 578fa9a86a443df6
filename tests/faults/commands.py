"""A fault proxy in front of Slurm's own commands: each call goes through to the real one, unless a test has said otherwise."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUERIES = ("squeue", "scontrol", "sacct", "sinfo", "sstat")
NAMES = ("sbatch", "scancel", *QUERIES)
HOLD, LATE = "hold", "late"
SAID = "slurm_load_jobs error: Zero Bytes were transmitted or received"  # what squeue says when a controller drops a connection

# A submission that has begun has its script, whoever is killed meanwhile
TAKE_INPUT = 'cat > "$0.$$" && exec < "$0.$$" && rm "$0.$$"'
# A fault is a file: "hold" lets a call wait until the file is gone, "late" lets it do its work and then not come back until then,
# any other text is what the failing command says.
SHIM = """#!/bin/bash
{first}
echo "$EPOCHREALTIME" >> {calls}
while [[ -e {fault} ]]; do
    text=$(< {fault}) 2> /dev/null
    [[ $text == late ]] && break
    [[ -z $text || $text == hold ]] || {{ echo "$text" >&2; exit 1; }}
    sleep 0.05
done
{real} "$@"
status=$?
while [[ -e {fault} && $(< {fault}) == late ]]; do sleep 0.05; done
exit $status
"""


class Faults:
    """`path`: the folder to put first on the PATH of whoever shall meet the faults."""

    def __init__(self, folder: Path) -> None:
        self.path, self.folder = folder / "bin", folder
        self.path.mkdir(parents=True)
        for name in NAMES:
            program = self.path / name
            first = TAKE_INPUT if name == "sbatch" else ""
            program.write_text(
                SHIM.format(first=first, calls=folder / f"{name}.calls", fault=folder / name, real=shutil.which(name))
            )
            program.chmod(0o755)

    def calls(self, name: str) -> list[float]:
        """When this command was called, in POSIX seconds."""
        file = self.folder / f"{name}.calls"
        return [float(line) for line in file.read_text().split()] if file.exists() else []

    def lift(self) -> None:
        for name in NAMES:
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def failing(self, *names: str, said: str = SAID) -> Iterator[None]:
        """Within: these commands fail, and say so."""
        self._set(names, said)
        yield
        self.lift()

    @contextmanager
    def holding(self, *names: str) -> Iterator[None]:
        """Within: these commands do not come to an end; after it they do what they were called for."""
        self._set(names, HOLD)
        yield
        self.lift()

    @contextmanager
    def late(self, *names: str) -> Iterator[None]:
        """Within: these commands do what they were called for, and do not come back."""
        self._set(names, LATE)
        yield
        self.lift()

    def _set(self, names: tuple[str, ...], text: str) -> None:
        for name in names:
            new = self.folder / f"{name}.new"
            new.write_text(text)
            new.rename(self.folder / name)
