"""A workshop begins: everybody opens the dashboard at the same moment, and everybody is served."""

import asyncio
import os
import resource
from pathlib import Path

import pytest
from emkit_hub import proxy
from emkit_hub.dashboards.kernels import ForkedProcess
from emkit_hub.dashboards.settings import DashboardSettings

from tests.dashboards.conftest import SLIDER
from tests.dashboards.site import Guest, Site, write_notebook


@pytest.mark.hub
@pytest.mark.asyncio
@pytest.mark.parametrize("part_warm", [1.0, 0.2])
async def test_all_at_once_are_all_served(tmp_path: Path, campaign: bool, part_warm: float) -> None:
    count, runs = (50, 5) if campaign else (10, 1)
    pool = round(count * part_warm)
    proxy.install()
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks" / "slider.ipynb", [SLIDER])
    settings = DashboardSettings(folders=(tmp_path / "notebooks",), pool=pool, cap=count, unseen_s=600)
    with Site(tmp_path, settings) as site:
        await site.ready(warm=pool)
        guests = [await site.guest(f"g{number}") for number in range(count)]

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
        for guest in guests:
            await guest.http.close()


def test_a_kernel_is_watched_over_any_file_number() -> None:
    """Fifty guests hold more than 1023 files open, where select() raises: kernels then looked dead, and handshakes failed."""
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
