"""A workshop begins: everybody opens the dashboard at the same moment, and everybody is served."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from emkit_hub import proxy
from emkit_hub.dashboards.kernels import ForkedProcess
from emkit_hub.dashboards.settings import ENVIRONMENT_VARIABLE, DashboardSettings

from tests.dashboards.conftest import SLIDER
from tests.dashboards.site import Guest, Site, write_notebook


@pytest.fixture
def few_files() -> Iterator[None]:
    """The usual low limit of open files: under it some handshakes of a full house fail, unless the service raises its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.hub
@pytest.mark.asyncio
@pytest.mark.parametrize("part_warm", [pytest.param(1.0, marks=pytest.mark.campaign), 0.2])
async def test_all_at_once_are_all_served(tmp_path: Path, campaign: bool, part_warm: float, few_files: None) -> None:
    count, runs = (50, 5) if campaign else (10, 1)
    pool = round(count * part_warm)
    proxy.install()
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks" / "slider.ipynb", [SLIDER])
    settings = DashboardSettings(folders=(tmp_path / "notebooks",), pool=pool, cap=count, unseen_s=600)
    with Site(tmp_path, settings) as site:
        async with AsyncExitStack() as stack:
            await site.ready(warm=pool)
            guests = [await stack.enter_async_context(await site.guest(f"g{number}")) for number in range(count)]

            async def be_served(guest: Guest) -> tuple[str, int]:
                kernel = await guest.open("slider")
                async with guest.channels(kernel) as channels:
                    return kernel, len(await channels.models())

            for _ in range(runs):
                served = await asyncio.gather(*(be_served(guest) for guest in guests))
                assert len({kernel for kernel, _ in served}) == count, "each has a kernel of their own"
                assert {models for _, models in served} == {9}, "with all its widgets"
                await asyncio.gather(*(guest.leave() for guest in guests))
                await site.all_free(guests[0])


def test_too_few_files_for_the_cap_are_refused_at_the_start(tmp_path: Path) -> None:
    settings = DashboardSettings(cap=100_000)
    environment = {**os.environ, ENVIRONMENT_VARIABLE: settings.model_dump_json()}
    environment |= {"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:1", "JUPYTERHUB_SERVICE_PREFIX": "/x/", "JUPYTERHUB_API_TOKEN": "x"}
    environment |= {"JUPYTERHUB_CLIENT_ID": "x", "JUPYTERHUB_API_URL": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-m", "emkit_hub.dashboards"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "2000100" in done.stderr and "lower `cap`" in done.stderr and "Traceback" not in done.stderr


def test_a_kernel_is_watched_over_any_file_number() -> None:
    """Sixty guests hold more than 1023 files open, and select() raises for such numbers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    child = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    handle = os.pidfd_open(child)
    high = os.dup2(handle, 2000)
    os.close(handle)
    try:
        process = ForkedProcess(child, high)
        assert process.poll() is None
        process.kill()
        os.waitid(os.P_PID, child, os.WEXITED)
        assert process.poll() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
