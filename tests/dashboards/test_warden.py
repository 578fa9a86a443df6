"""When a kernel is given back, and what the guest is told."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from emkit_hub.dashboards import warden
from emkit_hub.dashboards.kernels import ForkServer
from emkit_hub.dashboards.places import Claim
from emkit_hub.dashboards.settings import DashboardSettings
from emkit_hub.dashboards.warden import Usage, Warden, broken_rule, folder_bytes, usage_by_session

SETTINGS = DashboardSettings(cull_s=600, closed_s=20, unseen_s=60, age_s=7200, memory_gb=1, disk_gb=1, processes=4)
NOW = 10_000.0
FITS = Usage(memory=2**29, processes=4)


@pytest.mark.parametrize(
    ("claim", "idle_s", "used", "disk", "reason"),
    [
        (Claim("ann", "d", NOW - 300, connections=1), 300, FITS, 2**29, ""),
        (Claim("ann", "d", NOW - 700, connections=1), 601, FITS, 0, "nothing happened in it for 10 minutes"),
        (Claim("ann", "d", NOW - 5, connections=1), 9000, FITS, 0, ""),  # it was idle while it was warm, and nobody's
        (Claim("ann", "d", NOW - 300, connections=1, left_s=NOW - 200), 1, FITS, 0, ""),  # one of two tabs was closed
        (Claim("ann", "d", NOW - 300, connections=0, left_s=NOW - 19), 1, FITS, 0, ""),
        (Claim("ann", "d", NOW - 300, connections=0, left_s=NOW - 21), 1, FITS, 0, "its page was closed or lost the connection"),
        (Claim("ann", "d", NOW - 59), 1, FITS, 0, ""),
        (Claim("ann", "d", NOW - 61), 1, FITS, 0, "its page never connected"),
        (Claim("ann", "d", NOW - 7201, connections=1), 1, FITS, 0, "it was open for 2 hours"),
        (Claim("ann", "d", NOW - 10, connections=1), 1, Usage(2**30 + 1, 1), 0, "it used more than 1 GiB of memory"),
        (Claim("ann", "d", NOW - 10, connections=1), 1, Usage(1, 5), 0, "it started more than 4 processes"),
        (Claim("ann", "d", NOW - 10, connections=1), 1, FITS, 2**30 + 1, "it wrote more than 1 GiB"),
    ],
)
def test_rules(claim: Claim, idle_s: float, used: Usage, disk: int, reason: str) -> None:
    assert broken_rule(SETTINGS, claim, NOW, idle_s, used, disk) == reason


class Server(ForkServer):
    """A fork server that has not ended."""

    def __init__(self) -> None:
        pass

    def ended(self) -> bool:
        return False


class FailingRounds(Warden):
    """A warden whose rounds go as they are told: `x` fails, `.` passes."""

    def __init__(self, rounds: str) -> None:
        self.rounds = list(rounds)
        self._server = Server()

    async def round(self) -> None:
        if self.rounds.pop(0) == "x":
            raise KeyError("a kernel that went away")


def test_a_failed_round_is_told_and_many_in_a_row_end_the_warden(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warden, "ROUND_S", 0.0)
    failing = FailingRounds("x.xxxx.xxxxx.")
    with pytest.raises(KeyError):
        asyncio.run(failing.run())
    assert failing.rounds == ["."] and caplog.text.count("the round of the warden failed") == 10


def test_a_session_is_measured_with_all_its_processes() -> None:
    start = "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print('up', flush=True)"
    code = f"{start}; sys.stdin.read(); child.kill(); child.wait()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"up\n"
        measured = usage_by_session()[leader.pid]
        leader.communicate()
    assert measured.processes == 2
    assert 2**20 < measured.memory < 2**28
    assert leader.pid not in usage_by_session()


def test_a_folder_is_measured_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_bytes(b"x" * 1000)
    (tmp_path / "b").write_bytes(b"x" * 500)
    os.symlink("/usr", tmp_path / "link")
    assert 1500 <= folder_bytes(tmp_path) < 1600
