"""One real Slurm for the whole run. It starts jobs as their users, so it needs root."""

import os
from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster


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
