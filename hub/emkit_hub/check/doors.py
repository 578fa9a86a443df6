"""The doors that need no browser: logins, the scheduler, a server, a kernel, ranged data."""

import re

from emkit_hub.check.table import CheckFailed, Table
from emkit_hub.own_cluster import OwnCluster, ServerJob
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Kernel, Visitor

NOTEBOOK = "align_sections.ipynb"


def owner_without_browser(table: Table, hub: RunningHub, name: str, own: OwnCluster | None) -> None:
    with Visitor(hub.url) as owner:
        with table.row("wrong passwords stay outside"):
            for wrong, password in ((name, hub.folder.workshop_password), ("ann", hub.folder.owner_password), (name, "")):
                if owner.login(wrong, password):
                    raise CheckFailed(f"{wrong} was let in with a password that is not theirs")
        with table.row("the owner logs in"):
            if not owner.login(name, hub.folder.owner_password):
                raise CheckFailed("the owner's password was refused")
        if own is not None:
            with table.row("a job behind another one waits") as saw:
                saw(_queue(owner, own))
        with table.row("spawn: JupyterLab by our spawner") as saw:
            last = owner.start_server()[-1]
            saw(str(last["message"]))
            if not last.get("ready"):
                raise CheckFailed(str(last["message"]))
        if own is not None:
            with table.row("the server is a job of Slurm") as saw:
                job = _only(own, "RUNNING")
                saw(f"job {job.number} of {job.account} on {job.node}")
        with owner.kernel() as kernel:
            with table.row("a kernel runs the notebook") as saw:
                saw(_run_notebook(owner, kernel))
            with table.row("ranged data") as saw:
                saw(_ranged(owner, kernel))


def _run_notebook(owner: Visitor, kernel: Kernel) -> str:
    """Every code cell of the copy in the owner's home, with `run = True` after its parameters; then the size of the volume."""
    found = owner.call("GET", f"{owner.server}api/contents/{NOTEBOOK}?content=1")
    if found.status_code != 200:
        raise CheckFailed(f"{NOTEBOOK} is not in the owner's home: {found.status_code} {found.text}")
    for cell in found.json()["content"]["cells"]:
        if cell["cell_type"] == "code":
            code = cell["source"] + ("\nrun = True" if "parameters" in cell["metadata"].get("tags", ()) else "")
            printed = kernel.run(code)
            if "Traceback" in printed:
                raise CheckFailed(printed.splitlines()[-1])
    return kernel.run("volume = emkit.open_volume(out); print(out, volume.shape, volume.dtype)").strip()


def _ranged(owner: Visitor, kernel: Kernel) -> str:
    """Part of a shard of the volume, as the viewer asks for it: from the address in the viewer's state, through the hub."""
    code = "from emkit_widgets.viewer import NeuroglancerView; import json; print(json.dumps(NeuroglancerView(out).state))"
    source = re.search(r"\{base\}([^|\"]*)", kernel.run(code))
    shard = kernel.run("print(next(p.relative_to(out) for p in sorted(Path(out).glob('*/c/*/*/*')) if p.is_file()))").strip()
    if source is None:
        raise CheckFailed("the viewer's state names no data")
    answer = owner.get(f"{owner.server}{source[1]}{shard}", headers={"Range": "bytes=0-15"})
    if answer.status_code != 206 or len(answer.content) != 16:
        raise CheckFailed(f"{answer.status_code} and {len(answer.content)} bytes, not 206 and 16, for a range of {shard}")
    refused = owner.get(f"{owner.server}{source[1]}..%2f..%2fetc/passwd").status_code
    if refused < 400:
        raise CheckFailed(f"{refused} for a path outside the volume")
    return f"206 for 16 bytes of {shard}, {refused} for a path outside"


def _queue(owner: Visitor, own: OwnCluster) -> str:
    """Ask for the node that a neighbour holds: the job waits, and is gone when its owner has thought better of it."""
    asked = owner.call("POST", f"/hub/api/users/{owner.name}/server", {"profile": "queued"})
    if asked.status_code not in (201, 202):
        raise CheckFailed(f"{asked.status_code} {asked.text}")
    job = _only(own, "PENDING")
    owner.stop_server()
    if left := own.jobs():
        raise CheckFailed(f"cancelled, but still there: {left}")
    return f"job {job.number}: {job.reason}, then cancelled"


def _only(own: OwnCluster, state: str) -> ServerJob:
    """The one job there is; CheckFailed for none, for more, or for another state."""
    jobs = own.jobs()
    if [job.state for job in jobs] != [state]:
        raise CheckFailed(f"one job that is {state} was needed, and there is {jobs}")
    return jobs[0]
