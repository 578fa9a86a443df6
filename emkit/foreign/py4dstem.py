"""Reconstructions by py4DSTEM, which needs numpy < 2 and so an environment of its own. Axis order is (sy, sx, ky, kx).

`scripts/py4dstem` makes the environment beside our packages; EMKIT_PY4DSTEM names another one. py4DSTEM is under the GPL, and is
never imported here: a script is run by the Python of that environment, reads the job and the electrons from its standard input and
writes what it found to its standard output. It ends with the process that asked.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.errors import EmkitError, ParameterError

PLACE = "EMKIT_PY4DSTEM"
SCRIPT = Path(__file__).with_name("py4dstem_script.py")
LAST_LINES = 3


@dataclass(frozen=True)
class Job:
    """What py4DSTEM is told: the microscope, where the beam is not left to be found, and how long it works.

    `least_bin`, of parallax, joins that many pixels of the detector, squared, as images are noisy; `iterations`, of ptychography.
    """

    method: Literal["parallax", "ptychography"]
    step_nm: float
    pixel_mrad: float
    energy_kev: float
    semiangle_mrad: float
    defocus_nm: float = 0.0
    rotation_deg: float = 0.0
    transposed: bool = False
    iterations: int = 8
    least_bin: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Reconstruction:
    """`phase`, rad: (sy, sx), or finer by ptychography, along the scan's axes, pixels of `pixel_nm`; what else was found, and by
    which version."""

    phase: NDArray[np.float32]
    pixel_nm: tuple[float, float]
    version: str
    defocus_nm: float | None = None
    rotation_deg: float | None = None


def reconstruct(electrons: NDArray[Any], job: Job) -> Reconstruction:
    """What py4DSTEM makes of a scan, (sy, sx, ky, kx). Raises EmkitError where it is not installed, or fails."""
    if electrons.ndim != 4 or not electrons.size or electrons.max() > np.iinfo(np.uint16).max:
        raise ParameterError(f"electrons: found shape {electrons.shape}; needed (sy, sx, ky, kx), and at most 65535 in a pixel.")
    told = json.dumps(asdict(job) | {"shape": electrons.shape}).encode()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [python(), "-I", SCRIPT], input=told + b"\n" + electrons.astype("<u2").tobytes(), capture_output=True, env=environment
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        raise EmkitError(f"py4DSTEM failed ({python()}, exit code {done.returncode}): {' / '.join(last) or 'it said nothing'}")
    head, _, values = done.stdout.partition(b"\n")
    found = json.loads(head)
    phase = np.frombuffer(values, "<f4").reshape(found.pop("shape"))
    return Reconstruction(phase.astype(np.float32), tuple(found.pop("pixel_nm")), **found)


def python() -> Path:
    """The Python that has py4DSTEM. Raises EmkitError where there is none."""
    folder = Path(os.environ.get(PLACE) or Path(sys.prefix) / "py4dstem")
    found = folder / "bin" / "python"
    if not found.is_file():
        raise EmkitError(
            f"py4DSTEM needs an environment of its own, and there is none in {folder}. Make it with scripts/py4dstem, or name "
            f"one by {PLACE}=FOLDER."
        )
    return found
