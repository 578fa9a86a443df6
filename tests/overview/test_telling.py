"""A run that a notebook left to itself, on the page of a real hub: while its server tells of it, and when the server is gone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor

from emkit.run.folder import RunFolder, State

pytestmark = pytest.mark.hub

PAGE = "/services/overview/"
KEEP = """
import emkit
from emkit_widgets.form import StepForm
form = StepForm(emkit.make_phantom, out="kept", sections=300, size_px=256)
form.keep.value = True
form.start()
print(form._followed.folder.path)
"""


def until(visitor: Visitor, path: str, condition: Callable[[Any], Any]) -> Any:
    """What this path answers, once the condition holds of it."""
    last = time.monotonic() + 90
    while not condition(answer := visitor.call("GET", path).json()):
        assert time.monotonic() < last, answer
        time.sleep(0.2)
    return answer


def test_a_kept_run_is_told_of_and_outlives_kernel_and_server(hub: RunningHub, ann: Visitor) -> None:
    assert ann.start_server({"profile": "small"})[-1]["ready"]
    activity = f"{ann.server}api/emkit/activity"
    with ann.kernel() as kernel:
        folder = RunFolder(Path(kernel.run(KEEP).strip()))
        until(ann, activity, lambda told: told["processes"])  # while its kernel lives it keeps the session from being culled
        assert ann.call("DELETE", f"{ann.server}api/kernels/{kernel.id}").status_code == 204
    told = until(ann, f"{PAGE}api/runs", lambda told: told and told["runs"] and told["runs"][0].get("done"))["runs"][0]
    assert (told["id"], told["step"], told["state"]) == (folder.id, "make_phantom", "running")
    assert told["title"].endswith("kept") and "sections" in told["message"]
    until(ann, activity, lambda told: not told["processes"])  # now it needs no session, and keeps none
    ann.stop_server()
    assert folder.state is State.RUNNING
    page = ann.call("GET", f"{PAGE}live").text
    assert "As your server told" in page and "draw: " in page, "the last known state, with its age"
    folder.ask_to_cancel()
    while folder.state is State.RUNNING:
        time.sleep(0.1)
    assert folder.state is State.CANCELLED
