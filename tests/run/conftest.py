"""A phantom and what comes of it undisturbed, once for all tests under fire."""

from pathlib import Path

import pytest

from tests.run.fire import SECTIONS, SIZE_PX, Alignment, emkit


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sections."""
    folder = tmp_path_factory.mktemp("phantom") / "sections"
    made = emkit("make-phantom", "-o", folder, "--sections", str(SECTIONS), "--size-px", str(SIZE_PX))
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def undisturbed(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Alignment:
    """The alignment of the phantom, done."""
    home = tmp_path_factory.mktemp("undisturbed")
    whole = Alignment(phantom, home / "aligned.ome.zarr", home / "runs")
    done = whole.call()
    assert done.returncode == 0, done.stderr
    return whole


@pytest.fixture
def alignment(phantom: Path, tmp_path: Path) -> Alignment:
    """The same, not begun."""
    return Alignment(phantom, tmp_path / "aligned.ome.zarr", tmp_path / "runs")
