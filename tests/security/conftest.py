"""One site for the whole room. It needs root: for accounts, and for a Slurm that starts jobs as them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.site import Site, site


@pytest.fixture(scope="session")
def people_site() -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("accounts, and jobs that run as them, need root")
    with tempfile.TemporaryDirectory(prefix="emkit-security-") as name:
        Path(name).chmod(0o755)
        with site(Path(name)) as found:
            yield found
