"""Where a run's tasks are done, chosen at run time: `--on PLACE`, never in a step's code.

    local           processes of this machine, as many as cores and memory allow; local:N at most N at once
    serial          one after another in the driver's own process: for a debugger, and what the others are compared with
    slurm:PROFILE   the run is a job of its own, with the cores and the memory of this profile
    slurm:PROFILE:N the same, and N more jobs of this profile do its tasks; the first one only drives
    slurm           in a job (a hub's server): a job of its own like that one
    dask:ADDRESS    the workers of a dask scheduler that runs already; tcp://HOST:PORT alone says the same

The same bytes come out anywhere, by any number of workers.
"""

import re
from dataclasses import dataclass
from typing import Literal

from emkit.errors import ParameterError

KNOWN = "local, local:N, serial, slurm:PROFILE, slurm:PROFILE:N, dask:tcp://HOST:PORT"
ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d{1,5}")
PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Place:
    """`name`: of a profile, or the address of a scheduler. `count`: local tasks at once at most, or worker jobs; 0: not said.

    >>> Place.parse("slurm:big:4")
    Place(kind='slurm', name='big', count=4)
    >>> print(Place.parse("tcp://head:8786"))
    dask:tcp://head:8786
    """

    kind: Literal["local", "serial", "slurm", "dask"] = "local"
    name: str = ""
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> "Place":
        """ParameterError where the text names no place."""
        kind, _, rest = text.partition(":")
        match kind:
            case "local" | "serial" | "slurm" if not rest and text == kind:
                return cls(kind)
            case "local" if re.fullmatch(r"[1-9]\d{0,3}", rest):
                return cls("local", count=int(rest))
            case "slurm" if (parts := rest.split(":")) and PROFILE.fullmatch(parts[0]):
                if len(parts) == 1:
                    return cls("slurm", parts[0])
                if len(parts) == 2 and re.fullmatch(r"[1-9]\d{0,3}", parts[1]):
                    return cls("slurm", parts[0], int(parts[1]))
            case "dask" if ADDRESS.fullmatch(rest):
                return cls("dask", rest)
            case "tcp" | "tls" if ADDRESS.fullmatch(text):
                return cls("dask", text)
        raise ParameterError(f"on: found {text!r}, needed one of {KNOWN}.")

    def __str__(self) -> str:
        return ":".join([self.kind, *([self.name] if self.name else []), *([str(self.count)] if self.count else [])])


LOCAL = Place()
