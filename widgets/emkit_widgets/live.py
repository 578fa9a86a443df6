"""A live scan in a notebook: start a streaming session with one click, and see the virtual image fill, with rate, lag and loss.

The page asks for news while it is in sight, and only then. All numbers are the aggregator's; nothing is computed here but the
grey values of the picture.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from emkit.errors import EmkitError, ParameterError, StreamError
from emkit.run.room import places
from emkit.stream.keys import Security
from emkit.stream.local import WATCHER
from emkit.stream.messages import How
from emkit.stream.session import IDLE_S, LIVING, Said, Session, Wishes, default_place, start_session
from emkit.stream.trying import send_phantom
from emkit.stream.viewing import Live, Watcher, watching
from emkit_widgets.assets import script, style

LONGEST_PX = 512  # of the picture: a larger scan is reduced before it is sent
PATIENCE_S = 0.3  # the kernel waits so long for an answer
SILENT_S = 5.0
NOTHING, PARTIAL, LIGHTEST = 0, 255, 254  # values of the picture: no frame, one that lacks sectors, the brightest grey
DARKEST = 10
LOST = 0.002  # of a phantom's sectors: so that it is seen what that looks like


class LiveScan(anywidget.AnyWidget):
    """The streaming session of a folder, and the scan that is under way.

        from emkit_widgets.live import LiveScan

        LiveScan("scans", background=28, xray=344, disk=(288, 288, 150))

    **Start** begins a session of receivers at `place` that counts with these thresholds; it goes on without this notebook, and
    ends when no scan came for `idle_s`. `disk`, (ky, kx, radius) px, is the bright field; without one all electrons are shown.
    With `phantom`, a scan shape, a second button streams one. With `address`, and `keys` where it is not this machine's loopback
    in clear, another's aggregator is watched instead.

    `scan` is the scan that is shown, empty: always the newest; `refused` says what was refused last, in words.
    """

    _esm = script("live.js")
    _css = style("live.css")
    places = traitlets.List(traitlets.Unicode()).tag(sync=True)
    place = traitlets.Unicode("").tag(sync=True)
    session = traitlets.Dict(help="how the session stands; empty where another's aggregator is watched").tag(sync=True)
    scan = traitlets.Unicode("").tag(sync=True)
    kind = traitlets.Enum(["bright", "all"], default_value="bright", help="which electrons").tag(sync=True)
    told = traitlets.Dict(help="the numbers of the scan that is shown").tag(sync=True)
    picture = traitlets.Bytes(b"", help="its image, a byte a pixel").tag(sync=True)
    refused = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        out: str | Path = "",
        *,
        background: float | None = None,
        xray: float = float("inf"),
        disk: tuple[float, float, float] | None = None,
        idle_s: float = IDLE_S,
        phantom: tuple[int, int] | None = None,
        address: str = "",
        keys: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._session = None if address else Session(Path(out).absolute())
        self._how = None if background is None else How(background=background, xray=xray, disk=disk)
        self._idle_s, self._phantom = idle_s, phantom
        self._sent: list[BaseProcess] = []
        self._line = _Line(address, Security(Path(keys) if keys else None, WATCHER)) if address else None
        self._pressure = _Pressure()
        self.places = places()
        self.place = self.place or default_place()
        self.look()
        self.observe(lambda _: self.look(), names=["scan", "kind"])
        self.on_msg(self._asked)

    def start(self) -> None:
        """Start a session at `place`; EmkitError where it is refused."""
        if self._how is None:
            raise ParameterError("background: found none; needed to count: LiveScan(folder, background=…, xray=…).")
        if self._session:
            start_session(self._session.out, Wishes(how=self._how, place=self.place, idle_s=self._idle_s))

    def send_phantom(self) -> None:
        """Stream a phantom to the session; PathError where none runs."""
        if self._session and self._phantom:
            self._sent += send_phantom(self._session.out, self._phantom, lost=LOST)

    def rehearse(self) -> None:
        """All of it without a person: start, stream the phantom, stop when it is over. What fails is raised."""
        self.start()
        self._until(lambda: self.session["state"] not in ("starting", "waiting"))
        self.send_phantom()
        self._until(lambda: not self.session["runs"] or not any(process.is_alive() for process in self._sent))
        self._until(lambda: not self.session["runs"] or self.session["report"] != "")
        self.stop()
        self._until(lambda: not self.session["runs"])

    def _until(self, true: Callable[[], bool]) -> None:
        self.look()
        while not true():
            time.sleep(PATIENCE_S)
            self.look()
        if self.session["state"] in ("failed", "interrupted"):
            raise StreamError(f"the streaming session {self.session['state']}: {self.session['message']}")

    def stop(self) -> None:
        """Ask the session to end; what is under way is joined."""
        if self._session:
            self._session.ask_to_stop()

    def look(self) -> None:
        """Show how session and scan stand now; what has not changed is not sent."""
        with self.hold_sync():
            if self._session:
                said = self._session.said()
                self.session = {**_of_session(self._session, said), "phantom": self._phantom is not None}
                self._connect(self._session, said)
            live = self._line.look(self.scan) if self._line else None
            if live:
                bright = live.bright if self.kind == "bright" and live.bright is not None else None
                self.picture, scale = _picture(live, live.image if bright is None else bright)
                self.told = {**_of_scan(live), **scale, "pressure": self._pressure.now(live)}
            elif self._line and time.monotonic() - self._line.watcher.silent_since > SILENT_S:
                self.told = {**self.told, "silent_s": round(time.monotonic() - self._line.watcher.silent_since)}

    def close(self) -> None:
        if self._line:
            self._line.close()
        super().close()

    def _connect(self, session: Session, said: Said) -> None:
        """One connection as long as the session has this address."""
        address = said.address if said.state in LIVING else ""
        if self._line and self._line.address != address:
            self._line.close()
            self._line = None
        if address and not self._line:
            self._line = _Line(address, session.security())

    def _asked(self, _: Any, message: dict[str, Any], __: list[memoryview]) -> None:
        try:
            for word, answer in (("start", self.start), ("stop", self.stop), ("phantom", self.send_phantom)):
                if word in message:
                    self.refused = ""
                    answer()
            self.look()
        except EmkitError as refused:
            self.refused = str(refused)
        self.send({"looked": True})


class _Line:
    """A connection to an aggregator."""

    def __init__(self, address: str, security: Security) -> None:
        self.address = address
        self._open = ExitStack()
        self.watcher: Watcher = self._open.enter_context(watching(address, security))

    def look(self, scan: str) -> Live | None:
        return self.watcher.look(scan or None, PATIENCE_S)

    def close(self) -> None:
        self._open.close()


@dataclass
class _Pressure:
    """The part of the time since the last look that senders waited for receivers."""

    scan: str = ""
    seconds: float = 0.0
    waited_s: float = 0.0

    def now(self, live: Live) -> float:
        told, before = live.told, self.waited_s if live.told.scan == self.scan else 0.0
        span = told.seconds - (self.seconds if told.scan == self.scan else 0.0)
        self.scan, self.seconds, self.waited_s = told.scan or "", told.seconds, told.waited_s
        return min(1.0, max(0.0, told.waited_s - before) / (span * max(told.sectors, 1))) if span > 0 else 0.0


def _of_session(session: Session, said: Said) -> dict[str, Any]:
    runs = said.state in LIVING
    send = f"emkit stream send RAW {said.address} --keys {session.keys}" if runs and said.address else ""
    facts = said.model_dump(include={"state", "message", "place", "receivers", "wanted", "ready_s", "news", "report"})
    return {**facts, "news": [*said.news], "runs": runs, "send": send}


def _of_scan(live: Live) -> dict[str, Any]:
    told = live.told.model_dump(exclude={"kind", "scan_shape", "scans", "silent"})
    shape, scans, silent = live.told.scan_shape, live.told.scans, live.told.silent
    missing = told["frames"] - told["whole"] - told["partial"] if live.told.over else 0
    return {**told, "scan": live.told.scan or "", "shape": [*shape], "scans": [*scans], "silent": [*silent], "missing": missing}


def _picture(live: Live, electrons: NDArray[np.int32]) -> tuple[bytes, dict[str, Any]]:
    """Grey values, (y, x) bytes, and their scale: electrons from `low`, dark, to `high`, light."""
    step = max(1, -(-max(electrons.shape, default=1) // LONGEST_PX))
    there, partial = _reduced(live.there, step), _reduced(live.partial, step) > 0
    grey = np.divide(_reduced(electrons * live.there, step), there, out=np.zeros(there.shape), where=there > 0)
    seen = grey[(there > 0) & ~partial] if ((there > 0) & ~partial).any() else grey[there > 0]
    low, high = (float(value) for value in np.percentile(seen, (0.5, 99.5))) if seen.size else (0.0, 0.0)
    scaled = np.clip((grey - low) / max(high - low, 1e-9), 0, 1) * (LIGHTEST - DARKEST) + DARKEST
    picture = np.where(there > 0, scaled, NOTHING).astype(np.uint8)
    picture[partial] = PARTIAL
    return picture.tobytes(), {"low": low, "high": high, "pixels": [*picture.shape]}


def _reduced(image: NDArray[Any], step: int) -> NDArray[np.float64]:
    """The mean of squares of `step` positions; the last ones may be smaller."""
    if step == 1:
        return image.astype(np.float64)
    height, width = image.shape
    padded = np.pad(image.astype(np.float64), ((0, -height % step), (0, -width % step)))
    means: NDArray[np.float64] = padded.reshape(-(-height // step), step, -(-width // step), step).mean((1, 3))
    return means
