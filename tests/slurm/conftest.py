"""One real Slurm for the whole run. It starts jobs as their users, so it needs root."""

import os
from collections.abc import Iterator

import pytest

from tests.slurm.accounts import open_folder
from tests.slurm.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if os.geteuid() != 0:
        pytest.skip("Slurm starts jobs as their users, which needs root")
    with open_folder() as folder:  # munge and users run under accounts of their own
        found = Cluster(folder)
        try:
            found.start()
            yield found
        finally:
            found.stop()
