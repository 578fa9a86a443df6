"""Faults of the hub and its proxy: killed at any moment, without a database to write to, with a clock that jumps."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.clusters import OneHost
from tests.faults.contenders import Contender
from tests.faults.site import POLL_S, Site, check_clear

pytestmark = pytest.mark.hub
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
DATABASE_MB = 4


def test_killed_while_it_submits(site: Site) -> None:
    """Hub SIGKILLed while it submits"""
    ann = site.person()
    with site.faults.holding("sbatch"):
        asked = len(site.faults.calls("sbatch"))
        ann.press_start()
        site.until(lambda: len(site.faults.calls("sbatch")) > asked, "sbatch is called")
        site.kill("hub")
        there = site.jobs(ended=True)
    site.until(lambda: site.jobs(ended=True) - there, "the submission, which nobody waits for any more, comes through")
    site.start_hub()
    site.no_orphans()
    ann.is_not_stuck()


def test_killed_while_it_submits_late(site: Site) -> None:
    """Hub SIGKILLed while it submits, the job comes after the next hub"""
    ann = site.person()
    with site.faults.holding("sbatch"):
        asked = len(site.faults.calls("sbatch"))
        ann.press_start()
        site.until(lambda: len(site.faults.calls("sbatch")) > asked, "sbatch is called")
        site.kill("hub")
        site.start_hub()
        there = site.jobs(ended=True)
    site.until(lambda: site.jobs(ended=True) - there, "the submission, which nobody waits for any more, comes through")
    site.no_orphans()
    ann.is_not_stuck()


def test_killed_while_queued(site: Site) -> None:
    """Hub SIGKILLed while a job is queued"""
    ann, bob = site.person(), site.person()
    for person in (ann, bob):
        person.press_start(site.contender.queued)
    site.until(lambda: len(site.jobs()) == 2, "the jobs are queued")
    site.kill("hub")
    site.start_hub()
    ann.stop()  # who does not want to wait any longer
    site.no_orphans()
    site.cluster.run("scontrol", "update", "PartitionName=closed", "State=UP")
    try:
        bob.is_not_stuck()
    finally:
        site.cluster.run("scontrol", "update", "PartitionName=closed", "State=DOWN")
    ann.is_not_stuck()


def test_killed_while_starting(site: Site) -> None:
    """Hub SIGKILLed while a server starts"""
    ann = site.person()
    ann.on_start.write_text("wait")
    ann.press_start()
    site.until(lambda: ann.state() == "RUNNING", "the job runs")
    site.kill("hub")
    ann.on_start.unlink()  # the server comes up while there is no hub
    site.start_hub()
    site.no_orphans()
    ann.is_not_stuck()


def test_killed_while_running(site: Site) -> None:
    """Hub SIGKILLed while servers run"""
    ann, bob = site.person(), site.person()
    anns, bobs = ann.start(), bob.start()
    site.kill("hub")
    ann.still_serves(anns)  # through the proxy, while there is no hub
    bob.still_serves(bobs)
    site.start_hub()
    ann.keeps(anns)
    bob.keeps(bobs)
    ann.is_not_stuck()
    bob.is_not_stuck()


def test_killed_while_it_stops(site: Site) -> None:
    """Hub SIGKILLed while it stops a server"""
    ann = site.person()
    ann.start()
    with site.faults.holding("scancel"):
        asked = len(site.faults.calls("scancel"))
        ann.call("DELETE", ann.path)
        site.until(lambda: len(site.faults.calls("scancel")) > asked, "scancel is called")
        site.kill("hub")
    site.start_hub()
    site.no_orphans()
    ann.is_not_stuck()


def test_killed_after_a_stop_that_failed(site: Site) -> None:
    """Hub SIGKILLed after a stop that the scheduler did not take, with nobody else there"""
    ann = site.person()
    ann.start()
    with site.faults.failing("scancel"):
        ann.call("DELETE", ann.path)
        site.until(lambda: ann.model() is None, "the server counts as stopped")
        site.kill("hub")
    site.start_hub()
    site.no_orphans()  # nobody starts anything
    ann.is_not_stuck()


def test_job_ends_while_the_hub_is_down(site: Site) -> None:
    """Job ends while there is no hub"""
    ann = site.person()
    before = ann.start()
    site.kill("hub")
    site.cluster.run("scancel", before.job)
    site.start_hub()
    ann.ends()
    ann.is_not_stuck()


def test_proxy_killed(site: Site) -> None:
    """Proxy killed"""
    ann = site.person()
    before = ann.start()
    site.kill("proxy")
    site.start_proxy()
    ann.keeps(before)
    ann.is_not_stuck()


# --- a hub of its own: on a disk that can be filled, under a clock that can be set


@pytest.fixture(scope="module")
def whole_small_disk(contender: Contender, cluster: OneHost, site_folder: Path) -> Iterator[Site]:
    """A site whose hub keeps its database on a file system of a few megabytes."""
    found = Site(site_folder / "disk", cluster, contender)
    disk = found.database.parent
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DATABASE_MB}m", "emkit-test", str(disk)]).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        found.start()
        yield found
    finally:
        found.stop()
        subprocess.run(["umount", "--recursive", str(disk)], check=True)


@pytest.fixture
def small_disk(whole_small_disk: Site) -> Iterator[Site]:
    yield whole_small_disk
    whole_small_disk.clean()


def test_database_full(small_disk: Site) -> None:
    """Hub database full"""
    site, filler = small_disk, small_disk.database.parent / "filler"
    ann, bob = site.person(), site.person()
    before = ann.start()
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    try:
        assert shutil.disk_usage(filler.parent).free == 0
        told = bob.refused()
        site.asked_again(3)
        ann.still_serves(before)
    finally:
        filler.unlink()
    check_clear(told, "")
    ann.keeps(before)
    site.no_orphans()
    ann.is_not_stuck()
    bob.is_not_stuck()


def test_database_read_only(small_disk: Site) -> None:
    """Hub database read-only"""
    site, disk = small_disk, str(small_disk.database.parent)
    ann, bob = site.person(), site.person()
    before = ann.start()
    subprocess.run(["mount", "--bind", disk, disk], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
    try:
        told = bob.refused()
        site.asked_again(3)
        ann.still_serves(before)
    finally:
        subprocess.run(["umount", disk], check=True)
    check_clear(told, "")
    ann.keeps(before)
    site.no_orphans()
    ann.is_not_stuck()
    bob.is_not_stuck()


def test_clock_jumps(contender: Contender, cluster: OneHost, site_folder: Path) -> None:
    """Clock of the hub jumps by three days, forward and back"""
    if not FAKETIME.exists():
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    clock = site_folder / "clock"
    clock.write_text("+0")
    fake = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    site = Site(site_folder / "jumps", cluster, contender, environment=fake)
    try:
        site.start()
        ann = site.person()
        before = ann.start()
        for jump in ("+3d", "-3d"):
            bob = site.person()
            bobs = bob.start()
            clock.write_text(jump)
            time.sleep(3 * POLL_S)  # a timer that stands still has nothing more on its way then
            site.cluster.run("scancel", bobs.job)
            bob.ends()
            ann.keeps(before)
        ann.is_not_stuck()
        site.clean()
    finally:
        site.stop()


def test_the_clock_is_faked(tmp_path: Path) -> None:
    """What the test above relies on: libfaketime moves the time of day of one process, and not its monotonic clock."""
    if not FAKETIME.exists():
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    (tmp_path / "clock").write_text("+3d")
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    code = "import time; print(time.time(), time.monotonic())"
    told = [
        subprocess.run(["python3", "-c", code], env={**os.environ, **more}, capture_output=True, text=True, check=True).stdout
        for more in ({}, fake)
    ]
    (real, steady), (faked, still) = ((float(word) for word in line.split()) for line in told)
    assert faked - real > 2 * 86400 and still - steady < 3600
