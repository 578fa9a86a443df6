"""Defocus and phase of a planted specimen by every method, for few and many electrons: python -m benchmarks.parallax

Needs the environment of scripts/py4dstem. Prints the table of docs/howto/see-phase.md.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from emkit.count import Orientation, reconstruct_parallax
from emkit.foreign import py4dstem
from emkit.phantoms import PhasePhantom

INSIDE = np.s_[5:-5, 5:-5]
TURN_DEG, DEFOCUS_NM = 20.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--electrons", type=float, nargs="+", default=[3000, 10_000])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [row for electrons in given.electrons for row in measured(electrons)]
    sys.stdout.write(f"planted: defocus {DEFOCUS_NM:g} nm, detector turned by {TURN_DEG:g}°\n\n")
    sys.stdout.write(f"{'method':34}{'electrons':>10}{'nm':>8}{'°':>8}{'correlation with the phase':>28}\n")
    for found in rows:
        told = ["given" if value is None else value for value in found.values()]
        sys.stdout.write(f"{told[0]:34}{told[1]:>10}{told[2]:>8}{told[3]:>8}{told[4]:>28}\n")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def measured(electrons: float) -> list[dict[str, object]]:
    turn = Orientation(TURN_DEG).matrix
    phantom = PhasePhantom((48, 40), turn=turn, defocus_nm=DEFOCUS_NM, phase_rad=0.15, electrons=electrons)
    scan, calibration = phantom.scan(), phantom.calibration
    ours = reconstruct_parallax(scan, calibration)
    seen = ours.aberrations
    rows = [row("parallax", phantom, ours.phase, seen.defocus_nm, seen.orientation.rotation_deg)]
    facts = (calibration.step_nm, calibration.pixel_mrad, calibration.energy_kev, phantom.semiangle_mrad)
    for name, job in {
        "py4dstem-parallax": py4dstem.Job("parallax", *facts),
        "py4dstem-parallax, single pixels": py4dstem.Job("parallax", *facts, least_bin=1),
        "py4dstem-ptychography": py4dstem.Job("ptychography", *facts, defocus_nm=DEFOCUS_NM, rotation_deg=TURN_DEG),
    }.items():
        found = py4dstem.reconstruct(scan.dense(), job)
        at = np.indices(phantom.scan_shape) * np.reshape([calibration.step_nm / nm for nm in found.pixel_nm], (2, 1, 1))
        phase = map_coordinates(found.phase, at, order=1, mode="nearest")
        rows.append(row(name, phantom, phase, found.defocus_nm, found.rotation_deg))
    return rows


def row(
    method: str, phantom: PhasePhantom, phase: NDArray[Any], defocus_nm: float | None, rotation_deg: float | None
) -> dict[str, object]:
    correlation = float(np.corrcoef(phase[INSIDE].ravel(), phantom.phase[INSIDE].ravel())[0, 1])
    found = {"defocus_nm": defocus_nm, "rotation_deg": rotation_deg, "correlation": correlation}
    rounded = {name: None if value is None else round(value, 2) for name, value in found.items()}
    return {"method": method, "electrons": round(phantom.electrons)} | rounded


if __name__ == "__main__":
    main()
