"""The matrix runs for our spawner on a Slurm of one machine; a campaign adds plain batchspawner, whose failures are only recorded."""

import os
from collections.abc import Iterator

import pytest
from emkit_hub.cluster import Cluster

from tests.faults.contenders import OURS, PLAIN, Contender
from tests.faults.site import Site

COMPARED = [pytest.mark.campaign, pytest.mark.xfail(reason="plain batchspawner: recorded, not judged", strict=False)]
CONTENDERS = [pytest.param(OURS, id=OURS.name), pytest.param(PLAIN, id=PLAIN.name, marks=COMPARED)]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if os.geteuid() != 0:
        pytest.skip("Slurm starts jobs as their users, which needs root")
    folder = tmp_path_factory.mktemp("slurm")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)  # munge runs under an account of its own
    found = Cluster(folder)
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
def whole_site(contender: Contender, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One hub for a module: it is cleaned after each fault, not started anew."""
    found = Site(tmp_path_factory.mktemp("faults"), cluster, contender)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    yield whole_site
    whole_site.clean()
