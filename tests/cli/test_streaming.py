"""`emkit stream …` as people type it: each part a process of its own, with keys."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from emkit.cli import main
from emkit.cli.sessions import picture
from emkit.count import Thresholds, count_frames
from emkit.io.counted import read_counted
from emkit.io.sectors import write_sectors
from emkit.phantoms import ScanPhantom
from emkit.stream.keys import Security
from emkit.stream.viewing import partial_image

EMKIT = [sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())", "stream"]
PATIENCE_S = 120


def test_every_part_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantom = ScanPhantom((2, 4))
    frames = {k: phantom.frame(k)[0] for k in range(8)}
    (tmp_path / "raw").mkdir()
    write_sectors(tmp_path / "raw", frames, (2, 4), "data")
    keys, out = tmp_path / "keys", tmp_path / "out"
    assert main(["stream", "keys", str(keys), "sender", "receiver", "finaliser", "watcher"]) == 0
    secure = ["--keys", str(keys)]
    with ExitStack() as stack:

        def begin(*words: str) -> subprocess.Popen[str]:
            process = stack.enter_context(subprocess.Popen([*EMKIT, *words, *secure], stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        aggregator = begin("aggregate", "tcp://127.0.0.1:0", "--background", "28", "--xray", "344")
        assert aggregator.stdout
        address = aggregator.stdout.readline().removeprefix("listening on ").strip()
        begin("receive", address, "--out", str(out))
        finaliser = begin("finalise", address, "--out", str(out), "--scans", "1")
        sender = begin("send", str(tmp_path / "raw"), address, "--scan", "one", "--batch", "4")
        told, _ = finaliser.communicate(timeout=PATIENCE_S)
        assert sender.wait(PATIENCE_S) == 0 and "8 of 8 frames are whole" in told
        capsys.readouterr()
        assert main(["stream", "watch", address, *secure]) == 0
        assert "one: 8 of 8 frames whole" in capsys.readouterr().out
        image = partial_image(address, security=Security(keys, "watcher")).image
    expected = count_frames(np.stack(list(frames.values())), Thresholds(28, 344), scan_shape=(2, 4))
    found = read_counted(out / "one" / "counted")
    assert np.array_equal(found.indices, expected.indices) and np.array_equal(found.offsets, expected.offsets)
    assert np.array_equal(image, expected.sum("frame"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["watch", "tcp://127.0.0.1:1"], "needed: --keys FOLDER, or on the loopback --clear"),
        (["watch", "tcp://node:1", "--clear"], "is not on this machine's loopback"),
        (["watch", "nonsense"], "nonsense has no streaming session. Start one"),
        (["stop", "nonsense"], "nonsense has no streaming session that runs"),
        (["phantom", "nonsense"], "nonsense has no streaming session that runs"),
        (["aggregate", "tcp://127.0.0.1:0", "--background", "9", "--xray", "3", "--clear"], "0 <= background < xray"),
        (["receive", "tcp://127.0.0.1:1", "--out", "x", "--dark", "none.npy", "--clear"], "cannot be read as .npy"),
        (["send", ".", "tcp://127.0.0.1:1", "--clear"], "holds no raw frames"),
    ],
)
def test_what_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stream", *words]) == 3
    assert message in capsys.readouterr().err


def test_a_picture_in_characters() -> None:
    image = np.zeros((8, 4), np.uint32)
    image[:4, 2:], image[4:, :2] = 10, 20
    assert picture(image, 2) == " .\n@ "
    assert picture(np.zeros((3, 3)), 80) == "   \n   "
