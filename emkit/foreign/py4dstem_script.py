"""Run by the Python of an environment that has py4DSTEM, never by emkit's; `emkit.foreign.py4dstem` asks it.

Standard input is a line of JSON, the job, then the electrons (sy, sx, ky, kx), uint16; standard output a line of JSON, what was
found, then the phase, float32. py4DSTEM calls (sy, sx) (x, y): its rotation is emkit's, its C1 is minus the defocus.
"""

import contextlib
import ctypes
import importlib.metadata
import json
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
parent = os.getppid()
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # whoever asked is killed when a run is cancelled
if os.getppid() != parent:
    sys.exit("whoever asked is gone")

import matplotlib  # noqa: E402

matplotlib.use("agg")  # it draws whether it is asked to or not

import numpy as np  # noqa: E402
import py4DSTEM  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

ANGSTROM_PER_NM = 10.0
Found = dict[str, Any]


def main() -> None:
    job = json.loads(sys.stdin.buffer.readline())
    electrons = np.frombuffer(sys.stdin.buffer.read(), "<u2").reshape(job["shape"])
    with contextlib.redirect_stdout(sys.stderr):
        cube = py4DSTEM.DataCube(electrons.astype(np.float32))
        cube.calibration.set_R_pixel_size(job["step_nm"] * ANGSTROM_PER_NM)
        cube.calibration.set_R_pixel_units("A")
        cube.calibration.set_Q_pixel_size(job["pixel_mrad"])
        cube.calibration.set_Q_pixel_units("mrad")
        phase, found = {"parallax": parallax, "ptychography": ptychography}[job["method"]](cube, job)
    found |= {"shape": phase.shape, "version": importlib.metadata.version("py4DSTEM")}
    sys.stdout.buffer.write(json.dumps(found).encode() + b"\n" + phase.astype("<f4").tobytes())


def parallax(cube: Any, job: Found) -> tuple[NDArray[Any], Found]:
    """The aligned bright field corrected for the aberrations that were fitted to its shifts."""
    work = py4DSTEM.process.phase.Parallax(
        datacube=cube, energy=job["energy_kev"] * 1000, object_padding_px=(16, 16), verbose=False
    )
    work.preprocess(edge_blend=4, threshold_intensity=0.5, plot_average_bf=False)
    work.reconstruct(
        min_alignment_bin=job["least_bin"],
        regularize_shifts=True,
        plot_aligned_bf=False,
        plot_convergence=False,
        progress_bar=False,
    )
    work.aberration_fit(max_radial_order=2, max_angular_order=2, force_transpose=job["transposed"])
    work.aberration_correct(use_CTF_fit=False, plot_corrected_phase=False)
    found = {
        "defocus_nm": -float(work.aberrations_C1) / ANGSTROM_PER_NM,
        "rotation_deg": float(np.rad2deg(work.rotation_Q_to_R_rads)),
        "pixel_nm": [job["step_nm"]] * 2,
    }
    return work.object_cropped, found


def ptychography(cube: Any, job: Found) -> tuple[NDArray[Any], Found]:
    """The phase of one thin slice, by gradient descent on the amplitudes, from a probe of the given aperture and defocus."""
    work = py4DSTEM.process.phase.SingleslicePtychography(
        datacube=cube, energy=job["energy_kev"] * 1000, semiangle_cutoff=job["semiangle_mrad"],
        defocus=job["defocus_nm"] * ANGSTROM_PER_NM, object_type="potential", verbose=False,
    )  # fmt: skip
    work.preprocess(
        plot_center_of_mass=False, plot_rotation=False, plot_probe_overlaps=False, force_com_rotation=job["rotation_deg"],
        force_com_transpose=job["transposed"],
    )  # fmt: skip
    work.reconstruct(num_iter=job["iterations"], seed_random=job["seed"], max_batch_size=128, progress_bar=False)
    return work.object_cropped, {"pixel_nm": [float(value) / ANGSTROM_PER_NM for value in work.sampling]}


if __name__ == "__main__":
    main()
