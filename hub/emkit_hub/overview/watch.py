"""The one question to the hub that serves everybody's pages, and the age of its answer."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from ssl import SSLContext

import aiohttp
from pydantic import ValidationError

from emkit_hub.overview.told import System

log = logging.getLogger(__name__)
PATIENCE_S = 20.0  # for the hub's answer
GONE_S = 15.0  # after so long without a look, a page is closed
NEWCOMER_S = 0.3  # however many open their page at the same time, one question serves them
GRACE_S = 1.5  # how long a page waits for it before it shows the answer before


@dataclass(frozen=True)
class Answer:
    """`system` is what the hub told last, at `at` (POSIX seconds); `silence` is why it has told nothing since, or ""."""

    system: System | None = None
    at: float = 0.0
    silence: str = ""


class Watch:
    """Asks `url` at most every `tick_s` (for a newcomer, every NEWCOMER_S), and only while somebody looks."""

    def __init__(self, url: str, token: str, tick_s: float, certificates: SSLContext | None = None) -> None:
        self.url, self.tick_s = url, tick_s
        self._headers = {"Authorization": f"token {token}"}
        self._certificates = certificates
        self._answer = Answer()
        self._asked_at = float("-inf")
        self._question: asyncio.Task[None] | None = None
        self._looking: dict[str, float] = {}  # user → when they looked last, on the monotonic clock

    async def now(self, looking: str) -> Answer:
        """The newest answer, for a page of the user `looking`: it has the details of those who looked before it was asked for.

        It is older than a tick only when the hub is slow or silent; without any, waits for the first.
        """
        now = time.monotonic()
        due_s = self.tick_s if looking in self._looking else NEWCOMER_S
        self._looking[looking] = now
        if self._question is None and now - self._asked_at >= due_s:
            self._asked_at = now
            self._question = asyncio.create_task(self._ask())
            self._question.add_done_callback(self._asked)
        if self._question is not None:
            known = self._answer.system is not None or self._answer.silence
            await asyncio.wait({self._question}, timeout=GRACE_S if known else None)
        return self._answer

    def forget(self) -> None:
        """What was told is out of date: somebody has stopped a server here."""
        self._asked_at = float("-inf")

    def _viewers(self) -> list[tuple[str, str]]:
        """The users who look now, for the question: the hub tells more of them than of the others."""
        gone = time.monotonic() - max(GONE_S, 3 * self.tick_s)
        self._looking = {name: at for name, at in self._looking.items() if at > gone}
        return [("of", name) for name in self._looking]

    def _asked(self, question: "asyncio.Task[None]") -> None:
        self._question = None
        question.result()  # a fault of ours is not to pass in silence

    async def _ask(self) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.get(self.url, params=self._viewers(), ssl=self._certificates or True) as answer,
            ):
                answer.raise_for_status()
                system = System.read(await answer.json())
        except TimeoutError:
            self._silent(f"it did not answer within {PATIENCE_S:.0f} s")
        except aiohttp.ClientResponseError as error:
            self._silent(f"it answered {error.status}")
        except (aiohttp.ClientError, OSError):
            self._silent("it cannot be reached")
        except ValidationError as error:
            log.error("%s told something else than expected: %s", self.url, error)
            self._silent("its answer could not be read")
        else:
            self._answer = Answer(system, time.time())

    def _silent(self, why: str) -> None:
        log.warning("The hub at %s told nothing: %s.", self.url, why)
        self._answer = replace(self._answer, silence=why)
