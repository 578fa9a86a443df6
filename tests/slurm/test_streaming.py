"""A streaming session whose receivers are jobs of a real Slurm: ready, lost, replaced, taken back."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from emkit.io.counted import read_counted
from emkit.stream.local import send_all
from emkit.stream.messages import How
from emkit.stream.session import Session, Wishes, default_place, start_session
from tests.slurm.cluster import Cluster
from tests.stream.scans import same
from tests.stream.test_local import Raw, raw, source, until

__all__ = ["raw"]

PROFILES = """
slurm_conf = "{conf}"
[kernels.realtime]
title = "Beside the microscope"
cpus = 2
memory_mb = 1500
runtime = "0:30:00"
[kernels.closed]
title = "In a partition that is closed"
partition = "closed"
"""
LIVE = ("starting", "waiting", "ready")


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with profiles, whose session is ended at the end."""
    (tmp_path / "kernels.toml").write_text(PROFILES.format(conf=cluster.environment["SLURM_CONF"]))
    monkeypatch.setenv("EMKIT_PROFILES", str(tmp_path / "kernels.toml"))
    yield tmp_path
    session = Session(tmp_path / "scans")
    if session.said().state in LIVE:
        session.ask_to_stop()
        until(lambda: session.said().state not in LIVE)


def jobs_of(cluster: Cluster) -> list[str]:
    lines = cluster.run("squeue", "--noheader", "--format=%i %j").splitlines()
    return [line.split()[0] for line in lines if "emkit-receivers-" in line]


def test_receivers_are_jobs_that_are_replaced_and_end_with_the_session(cluster: Cluster, site: Path, raw: Raw) -> None:
    assert default_place() == "slurm:realtime"
    session = start_session(site / "scans", Wishes(how=How(background=28, xray=344), place=default_place(), silent_s=2.0))
    until(lambda: session.said().receivers == 2)
    said = session.said()
    print(f"ready after {said.ready_s:.1f} s")
    (first,) = jobs_of(cluster)
    secret = (session.keys / "receiver.secret").read_text()[20:50]
    for words in (("show", "job", first), ("write", "batch_script", first, "-")):
        assert secret not in cluster.run("scontrol", *words)

    cluster.run("scancel", "--signal=KILL", "--full", first)
    until(lambda: any(f"its job {first} has ended" in line for line in session.said().news))
    send_all(said.address, session.security("sender"), source(raw), window=4, rate=None)  # waits for the next job
    until(lambda: "64 of 64 frames are whole" in session.said().report)
    assert same(read_counted(session.out / "one" / "counted"), raw[1])

    session.ask_to_stop()
    until(lambda: session.said().state == "ended")
    assert not jobs_of(cluster)


def test_a_job_that_waits_says_why_and_is_taken_back(cluster: Cluster, site: Path) -> None:
    session = start_session(site / "scans", Wishes(how=How(background=28, xray=344), place="slurm:closed"))
    until(lambda: "its partition is closed" in session.said().message)
    assert session.said().state == "waiting" and len(jobs_of(cluster)) == 1
    os.kill(session.said().processes["driver"], signal.SIGTERM)
    until(lambda: session.said().state == "ended")
    assert not jobs_of(cluster) and session.said().ready_s is None and session.said().news == ()
