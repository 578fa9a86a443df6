"""py4DSTEM in its own environment finds a planted defocus as we do, and refuses in one message. `scripts/py4dstem` makes it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from emkit.count import Orientation
from emkit.errors import EmkitError, ParameterError
from emkit.foreign import py4dstem
from emkit.phantoms import PhasePhantom

PLANTED = Orientation(20)
PHANTOM = PhasePhantom((36, 32), turn=PLANTED.matrix, defocus_nm=20.0, phase_rad=0.15, electrons=4000)
INSIDE = np.s_[5:-5, 5:-5]
INSTALLED = pytest.mark.skipif(not (Path(sys.prefix) / "py4dstem").is_dir(), reason="scripts/py4dstem has not been run")


def job(**given: object) -> py4dstem.Job:
    told = {"step_nm": 0.1, "pixel_mrad": 1.0, "energy_kev": 300.0, "semiangle_mrad": 20.0, "rotation_deg": 20.0}
    return py4dstem.Job(**told | given)  # type: ignore[arg-type]


@INSTALLED
def test_parallax_finds_the_planted_defocus() -> None:
    electrons = np.random.default_rng(1).poisson(PHANTOM.expected() * PHANTOM.electrons).astype(np.uint16)
    found = py4dstem.reconstruct(electrons, job(method="parallax"))
    assert found.defocus_nm == pytest.approx(20, rel=0.15) and found.rotation_deg == pytest.approx(20, abs=8)
    assert found.phase.shape == PHANTOM.scan_shape and found.pixel_nm == (0.1, 0.1) and found.version
    assert np.corrcoef(found.phase[INSIDE].ravel(), PHANTOM.phase[INSIDE].ravel())[0, 1] > 0.5


@INSTALLED
def test_ptychography_finds_the_phase() -> None:
    from scipy.ndimage import map_coordinates

    electrons = np.random.default_rng(1).poisson(PHANTOM.expected() * PHANTOM.electrons).astype(np.uint16)
    found = py4dstem.reconstruct(electrons, job(method="ptychography", defocus_nm=20.0, iterations=3))
    at = np.indices(PHANTOM.scan_shape) * 0.1 / found.pixel_nm[0]
    phase = map_coordinates(found.phase, at, order=1, mode="nearest")
    assert np.corrcoef(phase[INSIDE].ravel(), PHANTOM.phase[INSIDE].ravel())[0, 1] > 0.6


def test_no_environment_and_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    electrons = np.ones((2, 2, 4, 4), np.uint16)
    monkeypatch.setenv(py4dstem.PLACE, str(tmp_path))
    with pytest.raises(EmkitError, match="Make it with scripts/py4dstem"):
        py4dstem.reconstruct(electrons, job(method="parallax"))
    monkeypatch.setenv(py4dstem.PLACE, sys.prefix)  # ours, which cannot have it
    with pytest.raises(EmkitError, match="exit code 1.*ModuleNotFoundError"):
        py4dstem.reconstruct(electrons, job(method="parallax"))
    with pytest.raises(ParameterError, match="65535"):
        py4dstem.reconstruct(np.full((1, 1, 1, 1), 70_000), job(method="parallax"))
