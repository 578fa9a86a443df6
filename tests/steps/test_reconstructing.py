"""The phase of a planted specimen by the step, in its faces; what it refuses before it reads."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

import emkit
from emkit.cli import main
from emkit.count import Orientation
from emkit.errors import ParameterError
from emkit.io.counted import write_counted
from emkit.phantoms import PhasePhantom


def test_a_planted_defocus_by_function_and_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantom = PhasePhantom((40, 44), turn=Orientation(20).matrix, defocus_nm=-22.0, phase_rad=0.15, electrons=3000)
    write_counted(phantom.scan(), tmp_path / "counted")
    report = emkit.reconstruct_phase(tmp_path / "counted", out=tmp_path / "phase.tif", step_nm=0.1, pixel_mrad=1.0)
    assert report.defocus_nm == pytest.approx(-22, rel=0.1) and report.rotation_deg == pytest.approx(20, abs=4)
    assert not report.transposed and report.snr > 4 and "defocus -2" in str(report)
    phase = tifffile.imread(tmp_path / "phase.tif")
    assert phase.shape == report.shape == (40, 44) and phase.dtype == np.float32
    words = ["-o", str(tmp_path / "again.tif"), "--step-nm", "0.1", "--pixel-mrad", "1"]
    assert main(["reconstruct-phase", str(tmp_path / "counted"), *words]) == 0
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "phase.tif").read_bytes()
    assert "underfocus is positive" in capsys.readouterr().out
    turned = [*words, "--rotation-deg=-160", "--overwrite"]
    assert main(["reconstruct-phase", str(tmp_path / "counted"), *turned]) == 0  # the other of the two that fit
    assert "defocus 2" in capsys.readouterr().out
    assert np.allclose(tifffile.imread(tmp_path / "again.tif"), -phase, atol=1e-5)


def test_deflection_with_joined_pixels(tmp_path: Path) -> None:
    phantom = PhasePhantom((24, 20), defocus_nm=0, phase_rad=1.0, blob_nm=0.2, cover=0.02, electrons=2000)
    write_counted(phantom.scan(), tmp_path / "counted")
    report = emkit.reconstruct_phase(
        tmp_path / "counted", out=tmp_path / "p.tif", step_nm=0.1, pixel_mrad=1.0, method="deflection", bin_px=2, rotation_deg=0
    )
    phase = tifffile.imread(tmp_path / "p.tif")
    assert report.defocus_nm is None and report.rotation_deg == 0
    assert np.corrcoef(phase.ravel(), phantom.phase.ravel())[0, 1] > 0.9


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phantom = PhasePhantom((4, 4), 16, defocus_nm=0, semiangle_mrad=5, electrons=10)
    write_counted(phantom.scan(), tmp_path / "counted")
    with pytest.raises(ParameterError, match="ends in .tif"):
        emkit.reconstruct_phase(tmp_path / "counted", out=tmp_path / "p.png", step_nm=0.1, pixel_mrad=1.0)
    monkeypatch.setenv("EMKIT_PY4DSTEM", str(tmp_path / "nowhere"))
    with pytest.raises(emkit.EmkitError, match="Make it with scripts/py4dstem"):
        emkit.reconstruct_phase(
            tmp_path / "counted", out=tmp_path / "p.tif", step_nm=0.1, pixel_mrad=1.0, method="py4dstem-parallax"
        )
