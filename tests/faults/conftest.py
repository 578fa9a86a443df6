"""The matrix runs for our spawner on a Slurm of one machine. A campaign adds plain batchspawner, whose failures are only recorded,
and for both a Slurm in network namespaces, with accounting.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.clusters import Namespaces, OneHost
from tests.faults.contenders import OURS, PLAIN, Contender
from tests.faults.site import Site

COMPARED = [pytest.mark.campaign, pytest.mark.xfail(reason="plain batchspawner: recorded, not judged", strict=False)]
CLUSTERS = [pytest.param(OneHost, id="one-host"), pytest.param(Namespaces, id="namespaces", marks=pytest.mark.campaign)]
CONTENDERS = [pytest.param(OURS, id=OURS.name), pytest.param(PLAIN, id=PLAIN.name, marks=COMPARED)]


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that other accounts can pass: munge has one, and so have people. (pytest closes its own to them at any start.)"""
    with tempfile.TemporaryDirectory(prefix="emkit-faults-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session", params=CLUSTERS)
def cluster(request: pytest.FixtureRequest, open_folder: Path) -> Iterator[OneHost]:
    if os.geteuid() != 0:
        pytest.skip("Slurm starts jobs as their users, which needs root")
    kind: type[OneHost] = request.param
    if kind is Namespaces and not all(map(shutil.which, ("mariadb-install-db", "slurmdbd", "ip"))):
        pytest.skip("Slurm with accounting needs Debian's packages slurmdbd, mariadb-server and iproute2")
    found = kind(open_folder / kind.__name__)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session", params=CONTENDERS)
def contender(request: pytest.FixtureRequest) -> Contender:
    found: Contender = request.param
    return found


@pytest.fixture(scope="session")
def site_folder(open_folder: Path, contender: Contender) -> Path:
    """Of a contender."""
    made = Path(tempfile.mkdtemp(dir=open_folder, prefix=f"{contender.name}-"))
    made.chmod(0o755)
    return made


@pytest.fixture(scope="session")
def whole_site(contender: Contender, cluster: OneHost, site_folder: Path) -> Iterator[Site]:
    """One hub for all tests: it is cleaned after each fault, not started anew."""
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
