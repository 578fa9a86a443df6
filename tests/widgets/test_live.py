"""The live view: one click, a scan that fills, what is refused; a real session on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emkit_widgets.live import NOTHING, PARTIAL, LiveScan

from emkit.stream.messages import View
from emkit.stream.session import LIVING, Session
from emkit.stream.tally import Tally
from emkit.stream.trying import DISK, send_phantom
from emkit.stream.viewing import Live
from tests.stream.test_local import until


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """A folder of scans, whose session is ended at the end."""
    yield tmp_path / "scans"
    if (session := Session(tmp_path / "scans")).said().state in LIVING:
        session.ask_to_stop()
        until(lambda: session.said().state not in LIVING)


def press(live: LiveScan, **message: Any) -> bool:
    """As the page does it; False, to be followed by what is then waited for."""
    live._handle_custom_msg(message, [])
    return False


def test_started_filled_watched_by_another_and_stopped(out: Path) -> None:
    live = LiveScan(out, background=28, xray=344, disk=DISK, phantom=(6, 7), place="local:1")
    assert live.session["state"] == "none" and live.told == {} and "local" in live.places
    press(live, phantom=True)
    assert "has no streaming session that runs" in live.refused
    press(live, start=True)
    assert live.refused == ""
    until(lambda: press(live) or live.session["state"] == "ready")
    press(live, start=True)
    assert "has a streaming session already" in live.refused
    for name, lost in (("clean", 0.0), ("lossy", 0.5)):
        for process in send_phantom(out, (6, 7), name, lost=lost):
            process.join()
        until(lambda name=name: press(live) or (live.told.get("scan"), live.told.get("over")) == (name, True))  # type: ignore[misc]
    assert live.told["scans"] == ["clean", "lossy"] and live.told["shape"] == [6, 7] and live.told["bright"]
    values = np.frombuffer(live.picture, np.uint8)
    assert (values == PARTIAL).sum() == live.told["partial"] > 0 and (values == NOTHING).sum() == live.told["missing"] > 0
    address = Session(out).said().address
    other = LiveScan(address=address, keys=Session(out).keys, scan="clean")
    assert other.session == {} and other.told["scan"] == "clean" and other.told["whole"] == 42
    bright = other.told["high"]
    other.kind = "all"
    assert other.told["high"] > bright and PARTIAL not in np.frombuffer(other.picture, np.uint8)
    press(live, stop=True)
    until(lambda: press(live) or not live.session["runs"])
    assert live.session["state"] == "ended" and "lossy: " in live.session["report"] and live.told["scan"] == "lossy"
    press(live, stop=True)
    assert "no streaming session that runs" in live.refused
    other.close()
    live.close()


def test_it_rehearses_without_a_person(out: Path) -> None:
    live = LiveScan(out, background=28, xray=344, phantom=(3, 4))
    live.rehearse()
    assert live.session["state"] == "ended" and "12 frames are whole" in live.session["report"] and not live.told["bright"]


def test_without_thresholds_nothing_is_counted(out: Path) -> None:
    live = LiveScan(out)
    press(live, start=True)
    assert live.refused.startswith("background: found none") and live.session["state"] == "none"


def test_a_large_scan_is_reduced_to_the_mean_of_what_is_there(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from emkit_widgets import live

    monkeypatch.setattr(live, "LONGEST_PX", 2)
    electrons = np.array([[1, 3, 5, 5], [1, 3, -1, 5], [7, -1, -1, -1]], np.int32).ravel()
    masks = np.where(electrons >= 0, 1, 0).astype(np.uint8)
    told = View(scan="a", receivers=1, refused=0, scan_shape=(3, 4), sectors=1, frames=12)
    seen = Live.of(told, Tally(masks, electrons, electrons * 0).packed())
    picture, scale = live._picture(seen, seen.image)
    assert scale["pixels"] == [2, 2] and abs(scale["low"] - 2) < 0.1 and abs(scale["high"] - 7) < 0.1
    shown = np.frombuffer(picture, np.uint8).reshape(2, 2).astype(int)
    assert shown[0, 0] == live.DARKEST and shown[1, 0] == live.LIGHTEST and shown[1, 1] == NOTHING
    assert abs(shown[0, 1] - (live.DARKEST + 0.6 * (live.LIGHTEST - live.DARKEST))) < 4
