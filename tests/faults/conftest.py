"""The matrix runs for our spawner on a Slurm of one machine; a campaign adds plain batchspawner, whose failures are only recorded."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from emkit_hub.cluster import Cluster

from tests.faults.contenders import OURS, PLAIN, Contender
from tests.faults.site import Site

COMPARED = [pytest.mark.campaign, pytest.mark.xfail(reason="plain batchspawner: recorded, not judged", strict=False)]
CONTENDERS = [pytest.param(OURS, id=OURS.name), pytest.param(PLAIN, id=PLAIN.name, marks=COMPARED)]


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that other accounts can pass: munge has one, and so have people. (pytest closes its own to them at any start.)"""
    with tempfile.TemporaryDirectory(prefix="emkit-faults-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def cluster(open_folder: Path) -> Iterator[Cluster]:
    if os.geteuid() != 0:
        pytest.skip("Slurm starts jobs as their users, which needs root")
    found = Cluster(open_folder / "slurm")
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module", params=CONTENDERS)
def contender(request: pytest.FixtureRequest) -> Contender:
    found: Contender = request.param
    return found


@pytest.fixture(scope="module")
def site_folder(open_folder: Path, contender: Contender) -> Path:
    """Of a module and a contender."""
    made = Path(tempfile.mkdtemp(dir=open_folder, prefix=f"{contender.name}-"))
    made.chmod(0o755)
    return made


@pytest.fixture(scope="module")
def whole_site(contender: Contender, cluster: Cluster, site_folder: Path) -> Iterator[Site]:
    """One hub for a module: it is cleaned after each fault, not started anew."""
    found = Site(site_folder / "shared", cluster, contender)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    yield whole_site
    whole_site.clean()
