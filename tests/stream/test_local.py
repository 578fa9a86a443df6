"""Real processes and sockets: killed, restarted, encrypted."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zmq

from emkit.count import CountedScan, Thresholds, count_frames
from emkit.errors import ParameterError, PathError, StreamError
from emkit.io.counted import read_counted
from emkit.io.sectors import open_sectors, write_sectors
from emkit.phantoms import ScanPhantom
from emkit.stream import messages as m
from emkit.stream.finalising import StreamReport
from emkit.stream.keys import Security, is_loopback, make_keys
from emkit.stream.local import LocalStream, local_stream
from emkit.stream.sources import RawSource
from emkit.stream.viewing import partial_image
from emkit.stream.wire import connected, send
from tests.stream.scans import same

THRESHOLDS, HOW = Thresholds(28, 344), m.How(background=28, xray=344)
SHAPE = (8, 8)
PATIENCE_S = 180.0
Raw = tuple[Path, CountedScan]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    """A small scan in raw files, and what counting the files gives."""
    folder = tmp_path_factory.mktemp("raw")
    phantom = ScanPhantom(SHAPE)
    made = [phantom.frame(k)[0] for k in range(8)]
    frames = {k: np.roll(made[k % 8], k, axis=0) for k in range(64)}
    write_sectors(folder, frames, SHAPE, "data")
    return folder, count_frames(np.stack(list(frames.values())), THRESHOLDS, scan_shape=SHAPE)


def source(raw: Raw, scan: str = "one") -> RawSource:
    return RawSource(open_sectors(raw[0]), scan, batch=4)


def until(true: Callable[[], bool]) -> None:
    last = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < last
        time.sleep(0.02)


def finalised(stream: LocalStream, scans: int = 1) -> dict[str, StreamReport]:
    found: dict[str, StreamReport] = {}
    stream.finalise(lambda report: found.__setitem__(report.scan, report), scans)
    return found


def test_killed_and_restarted_nothing_is_lost(raw: Raw, tmp_path: Path) -> None:
    with local_stream(tmp_path, HOW, receivers=2) as stream:
        aggregator, first, _ = stream.processes
        for sector in range(4):
            stream.begin_sender(source(raw), sector, window=4, rate=40)
        until(lambda: partial_image(stream.address).told.whole >= 8)
        os.kill(first.pid or 0, signal.SIGKILL)
        stream.begin_receiver("second")
        until(lambda: partial_image(stream.address).told.whole >= 24)
        os.kill(aggregator.pid or 0, signal.SIGKILL)
        aggregator.join()
        stream.begin_aggregator()
        report = finalised(stream)["one"]
        live = partial_image(stream.address)
    assert (report.complete, report.partial, report.missing, report.differing) == (64, 0, 0, ())
    found = read_counted(tmp_path / "one" / "counted")
    assert same(found, raw[1]) and found.complete is None
    assert live.told.over and np.array_equal(live.image, raw[1].sum("frame"))
    assert json.loads((tmp_path / "one" / "report.json").read_text())["electrons"] == raw[1].events


def test_scan_back_to_back_with_scan_and_a_stalled_sector(raw: Raw, tmp_path: Path) -> None:
    with local_stream(tmp_path, HOW, silent_s=1.5) as stream:
        for scan in ("one", "two"):
            for sector in range(4):
                sender = stream.begin_sender(source(raw, scan), sector, window=2, rate=100)
                if (scan, sector) == ("two", 3):
                    until(lambda: partial_image(stream.address, "two").told.whole >= 4)
                    os.kill(sender.pid or 0, signal.SIGSTOP)
        reports = finalised(stream, 2)
    assert same(read_counted(tmp_path / "one" / "counted"), raw[1]) and not reports["one"].lacking
    two, counted = reports["two"], read_counted(tmp_path / "two" / "counted")
    assert two.silent == (3,) and {sectors for _, sectors in two.lacking} == {(3,)} and two.complete + two.partial == 64
    assert counted.complete is not None
    assert np.array_equal(np.flatnonzero(~counted.complete), [frame for frame, _ in two.lacking])
    whole = np.flatnonzero(counted.complete).tolist()
    assert all(np.array_equal(counted.frame(*divmod(k, 8)), raw[1].frame(*divmod(k, 8))) for k in whole)


def test_encrypted_for_those_on_the_list_alone(raw: Raw, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    made = make_keys(keys, ["sender", "receiver", "finaliser", "watcher", "stranger"])
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    (keys / "allowed" / "stranger.public").unlink()
    stream = LocalStream(tmp_path, HOW, security=Security(keys))
    try:
        stream.begin_aggregator()
        stream.begin_receiver("receiver")
        for sector in range(4):
            stream.begin_sender(source(raw), sector)
        assert finalised(stream)["one"].complete == 64
        assert partial_image(stream.address, security=Security(keys, "watcher")).told.over
        for outside in (Security(keys, "stranger"), Security(None)):
            with pytest.raises(StreamError, match="no aggregator answered.*is this key allowed"):
                partial_image(stream.address, security=outside, patience_s=1)
    finally:
        stream.close()
    assert same(read_counted(tmp_path / "one" / "counted"), raw[1])


def test_hostile_bytes_on_the_socket(raw: Raw, tmp_path: Path) -> None:
    with local_stream(tmp_path, HOW) as stream, connected(stream.address, Security(None)) as hostile:
        for parts in ([b"cos\nsystem\n(S'true'\ntR."], [b"", b""], [b"x"] * 9, [b"\x81" * 70000, b"y" * 10**7]):
            hostile.send_multipart(parts)
        send(hostile, m.Data(scan="unknown", sector=0, group=0, frames=(0,)), b"z" * 10)
        until(lambda: partial_image(stream.address).told.refused >= 5)
        with zmq.Context() as context, context.socket(zmq.STREAM) as plain:  # not even ZeroMQ
            plain.connect(stream.address)
            peer = plain.recv_multipart()[0]
            plain.send_multipart([peer, b"GET / HTTP/1.1\r\n\r\n"])
        for sector in range(4):
            stream.begin_sender(source(raw), sector)
        report = finalised(stream)["one"]
    assert report.complete == 64 and sum(report.refused.values()) >= 5 and "messages refused" in str(report)
    assert same(read_counted(tmp_path / "one" / "counted"), raw[1])


def test_keys_that_others_can_read_or_that_are_not_there(tmp_path: Path) -> None:
    make_keys(tmp_path, ["sender"])
    with pytest.raises(PathError, match="sender.secret exists"):
        make_keys(tmp_path, ["sender"])
    (tmp_path / "sender.secret").chmod(0o640)
    with pytest.raises(PathError, match="chmod 600"), connected("tcp://127.0.0.1:9", Security(tmp_path, "sender")):
        pass
    with pytest.raises(PathError, match="cannot be read as a key"), connected("tcp://127.0.0.1:9", Security(tmp_path, "nobody")):
        pass
    with pytest.raises(ParameterError, match="no name of a key"):
        make_keys(tmp_path, ["../x"])


@pytest.mark.parametrize("address", ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://node7:5555", "tcp://10.0.0.1:5555", "udp://x"])
def test_in_clear_on_the_loopback_alone(address: str) -> None:
    assert not is_loopback(address)
    with pytest.raises(ParameterError, match="loopback"):
        Security(None).check(address)


def test_nobody_there() -> None:
    with pytest.raises(StreamError, match="no aggregator answered"):
        partial_image("tcp://127.0.0.1:9", patience_s=0.2)
    assert is_loopback("tcp://[::1]:0") and is_loopback("ipc:///x")


def test_a_dark_of_another_shape_ends_the_stream_with_a_word(raw: Raw, tmp_path: Path) -> None:
    with local_stream(tmp_path, HOW, dark=np.zeros((2, 2))) as stream:
        stream.begin_sender(source(raw), 0)
        with pytest.raises(StreamError, match="ended early"):
            finalised(stream)
