"""What becomes of a kernel, told to people: in the server's log, in `reason` of /api/kernels/ID, and as an event of the server.

JupyterLab shows the events (`lab/`); `Board` keeps the last of each kernel for a page that opens later.
"""

import time
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from emkit_jobs.scheduler import Waiting
    from jupyter_events import EventLogger

EVENT = "https://emkit.readthedocs.io/events/kernel-on-a-node/v1"
State = Literal["queued", "starting", "running", "unknown", "dead", "gone"]
_TEXT, _NUMBER = {"type": "string"}, {"type": ["number", "null"]}
SCHEMA: dict[str, Any] = {
    "$id": EVENT,
    "version": "1",
    "title": "What becomes of a kernel on a node",
    "personal-data": False,
    "type": "object",
    "required": ["kernel_id", "kernel_name", "state", "text", "told_at"],
    "properties": {
        **dict.fromkeys(("kernel_id", "kernel_name", "display_name", "state", "text", "job_id", "document"), _TEXT),
        **dict.fromkeys(("told_at", "expected_at", "asked_at", "position"), _NUMBER),
    },
}


def words(job_id: str, waiting: "Waiting | None") -> str:
    """A waiting job in one line, without times: those are for the reader's own clock."""
    if waiting is None:
        return f"Queued as job {job_id}."
    place = f" Number {waiting.position} in its queue." if waiting.position is not None else ""
    return f"Queued as job {job_id}: {waiting.reason.rstrip('.')}.{place}"


def tell(manager: Any, state: State, text: str, *, job_id: str = "", document: str = "", waiting: "Waiting | None" = None) -> None:
    """Tell what is new. `manager` is any KernelManager; one without a server has only a log."""
    before = getattr(manager, "emkit_told", None)
    if (state, text, waiting) == before:
        return
    manager.emkit_told = (state, text, waiting)
    if before is None or before[:2] != (state, text):
        manager.log.info("Kernel %s: %s: %s", manager.kernel_id, state, text)
    if not hasattr(manager, "event_logger"):
        return
    manager.reason = "" if state == "running" else text
    manager.emit(
        schema_id=EVENT,
        data={
            "kernel_id": manager.kernel_id,
            "kernel_name": manager.kernel_name,
            "display_name": manager.kernel_spec.display_name,
            "state": state,
            "text": text,
            "job_id": job_id,
            "document": document,
            "told_at": time.time(),
            "position": waiting.position if waiting else None,
            "expected_at": waiting.expected_at if waiting else None,
            "asked_at": waiting.asked_at if waiting else None,
        },
    )


class Board:
    """The last event of each kernel that waits or died; one that runs or was ended by its user needs no words."""

    def __init__(self, events: "EventLogger") -> None:
        self.last: dict[str, dict[str, Any]] = {}
        events.register_event_schema(SCHEMA)  # before anybody subscribes: a subscriber gets only the schemas it finds
        events.add_listener(schema_id=EVENT, listener=self._take)

    async def _take(self, logger: "EventLogger", schema_id: str, data: dict[str, Any]) -> None:
        self.last.pop(data["kernel_id"], None)
        if data["state"] not in ("running", "gone"):
            self.last[data["kernel_id"]] = data
