"""Processes that learn from one batch together do what one does; nobody waits for a meeting that is over."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from emkit.membrane import ranks
from tests.membrane.rank import begun, learn

TOLERANCE = 0.03  # of the way that all weights have gone: activations are rounded to bfloat16, and sums have another order


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    commands = [
        [sys.executable, "-m", "tests.membrane.rank", str(tmp_path / "meeting"), str(rank), "2", str(tmp_path / "two.safetensors")]
        for rank in (0, 1)
    ]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    told = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    threads = torch.get_num_threads()
    learn(tmp_path / "none", 0, 1, tmp_path / "one.safetensors")
    torch.set_num_threads(threads)
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    first = begun().state_dict()
    apart, gone = (
        sum(float((here[f"network.{name}"] - there(name)).square().sum()) for name in first) ** 0.5
        for here, there in ((one, lambda name: two[f"network.{name}"]), (one, lambda name: first[name]))
    )
    assert apart <= TOLERANCE * gone, (apart, gone)


def test_nobody_waits_for_a_meeting_that_is_over(tmp_path: Path) -> None:
    (tmp_path / "meeting").write_text("localhost 1")  # where nobody listens
    with ranks.meeting(tmp_path / "meeting", 1, 2, "cpu", ended=lambda: True) as here:
        assert not here
