"""A streaming session as people use it: started, streamed to, parts of it killed, stopped; real processes on this machine."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from emkit.cli import main
from emkit.count import disk, virtual_image
from emkit.errors import ParameterError, PathError
from emkit.io.counted import read_counted
from emkit.stream.local import begin_senders, send_all
from emkit.stream.messages import How
from emkit.stream.session import Said, Session, Wishes, start_session
from emkit.stream.viewing import watching
from tests.stream.scans import same
from tests.stream.test_local import Raw, raw, source, until

__all__ = ["raw"]
HOW = How(background=28, xray=344, disk=(288, 288, 100))
Start = Callable[..., Session]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[Session] = []

    def started(**wishes: object) -> Session:
        begun.append(start_session(tmp_path / "scans", Wishes(how=HOW, **{"place": "local:1", **wishes})))  # type: ignore[arg-type]
        until(lambda: begun[-1].said().state not in ("starting", "waiting"))
        return begun[-1]

    yield started
    for session in begun:
        if session.said().state == "ready":
            session.ask_to_stop()
            until(lambda session=session: session.said().state == "ended")  # type: ignore[misc]


def send(session: Session, of: Raw, scan: str, rate: float | None = None) -> None:
    send_all(session.said().address, session.security("sender"), source(of, scan), 4, rate)


def test_two_scans_back_to_back(raw: Raw, start: Start) -> None:
    session = start()
    assert session.said().ready_s is not None and session.said().wanted == 1
    with watching(session.said().address, session.security()) as watcher:
        for scan in ("one", "two"):
            send(session, raw, scan)
        live = watcher.look()
    assert live and live.told.scans == ("one", "two") and live.told.over and live.there.all() and not live.partial.any()
    assert np.array_equal(live.image, raw[1].sum("frame"))
    assert live.bright is not None and np.array_equal(live.bright, virtual_image(raw[1], disk((576, 576), (288, 288), 100)))
    until(lambda: "two: 64 of 64 frames are whole" in session.said().report)
    assert all(same(read_counted(session.out / scan / "counted"), raw[1]) for scan in ("one", "two"))


def test_it_ends_when_it_is_idle(start: Start) -> None:
    session = start(idle_s=1.0)
    until(lambda: session.said().state == "ended")
    assert session.said().message == "no scan came for 1 s" and session.said().processes.keys() == {"driver"}


def test_whoever_is_killed_is_replaced_and_the_scan_is_whole(raw: Raw, start: Start) -> None:
    session = start(place="local:2")
    for part in ("receiver-0", "aggregator", "finaliser"):  # each in a scan of its own, which is not over before it is looked at
        scan = f"without-{part}"
        senders = begin_senders(session.said().address, session.security("sender"), source(raw, scan), 4, 12)
        until(lambda scan=scan: f"{scan}: " in (live := session.said().live) and "frames whole" in live)  # type: ignore[misc]
        os.kill(session.said().processes[part], signal.SIGKILL)
        until(lambda part=part: any(f"{part} was lost" in line for line in session.said().news))  # type: ignore[misc]
        for process in senders:
            process.join()
        until(lambda scan=scan: f"{scan}: 64 of 64 frames are whole" in session.said().report)  # type: ignore[misc]
        assert same(read_counted(session.out / scan / "counted"), raw[1])


def test_stopped_while_a_scan_runs_what_is_there_is_joined_and_what_lacks_is_named(
    raw: Raw, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    session = start()
    senders = begin_senders(session.said().address, session.security("sender"), source(raw, "one"), 4, 10)
    until(lambda: "frames whole" in session.said().live)
    assert main(["stream", "stop", str(session.out)]) == 0
    for process in senders:
        process.kill()
    told, found = capsys.readouterr().out, read_counted(session.out / "one" / "counted")
    assert "ended" in told and "lacks sector 0, 1, 2, 3" in told and found.complete is not None
    there = np.flatnonzero(found.complete)
    assert 0 < len(there) < 64
    assert all(np.array_equal(found.frame(*divmod(k, 8)), raw[1].frame(*divmod(k, 8))) for k in there.tolist())


@pytest.mark.campaign
def test_a_driver_that_is_killed_takes_its_processes_along_and_what_it_left_can_be_joined(
    raw: Raw, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    session = start()
    senders = begin_senders(session.said().address, session.security("sender"), source(raw, "one"), 4, 10)
    until(lambda: "frames whole" in session.said().live)
    processes = session.said().processes
    os.kill(processes["driver"], signal.SIGKILL)
    for process in senders:
        process.kill()
    until(lambda: session.said().state == "interrupted")
    until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in processes.values()))
    assert main(["stream", "stop", str(session.out)]) == 0
    assert "lacks sector" in capsys.readouterr().out and read_counted(session.out / "one" / "counted").complete is not None


def test_what_is_refused_at_once(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="needed local, local:N, slurm:PROFILE"):
        start_session(tmp_path / "scans", Wishes(how=HOW, place="serial"))
    with pytest.raises(ParameterError, match="HOST as receivers and senders reach it"):
        start_session(tmp_path / "scans", Wishes(how=HOW, listen="tcp://0.0.0.0:5600"))
    (tmp_path / "file").touch()
    with pytest.raises(PathError, match="cannot be written"):
        start_session(tmp_path / "file", Wishes(how=HOW))
    assert Session(tmp_path / "scans").said() == Said()
    session = start()
    with pytest.raises(PathError, match="has a streaming session already"):
        start_session(session.out, Wishes(how=HOW))
    with pytest.raises(PathError, match="joins its scans itself"):
        session.join_left()
    assert {path.stat().st_mode & 0o777 for path in session.keys.glob("*.secret")} == {0o600}
    assert session.folder.stat().st_mode & 0o777 == 0o700
    secret = (session.keys / "receiver.secret").read_text()
    words = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not any(secret[20:50].encode() in line for line in words)
    with pytest.raises(PathError, match="no streaming session that runs"):
        Session(tmp_path / "elsewhere").ask_to_stop()


def test_a_session_that_cannot_begin_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["stream", "start", str(tmp_path / "scans"), "--background", "28", "--xray", "344", "--dark", str(tmp_path / "no.npy")]
    assert main(words) == 3
    assert "failed" in capsys.readouterr().out and "no.npy" in Session(tmp_path / "scans").said().message
