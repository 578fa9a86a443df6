"""The routes of corrections: cells as edits make them (GET), and the edits (GET, POST). Only servers of their owner have them.

A page of another site can make a browser that is logged in send a form, but none in JSON without asking first, which is not
answered; and it would need the capability in the address. That is signed with a key of its own: one that grants reading grants no
edit.
"""

import asyncio
import hashlib
import hmac
import json

from tornado import web

from emkit.errors import EmkitError
from emkit.io.edits import edits_of, read_edits
from emkit.server.capability import Grant
from emkit.server.serving import Gate, Keys, Member

LONGEST = 4096  # bytes of a question


def correcting_key(key: bytes) -> bytes:
    """What capabilities for edits are signed with, by a server of this key."""
    return hmac.digest(key, b"correct", hashlib.sha256)


class CorrectedCells(Keys):
    """`<capability>/<number of edits>/<key>`: the cells after so many edits."""

    def read(self, grant: Grant, key: str) -> bytes | None:
        from emkit.server.corrected import corrected  # not when the extension loads: it imports numpy and zarr

        edits, _, rest = key.partition("/")
        return corrected(grant.folder).get(int(edits), rest) if edits.isdecimal() and len(edits) < 10 else None


class Edits(Member):
    """`<capability>/edits`: how many there are; a POST of JSON adds one, as this account."""

    def initialize(self, gate: Gate) -> None:
        self.gate = gate

    async def get(self, capability: str) -> None:
        grant = self.gate.open(capability)
        await self._answer(grant, "")

    async def post(self, capability: str) -> None:
        grant = self.gate.open(capability)
        if self.request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise web.HTTPError(415, "edits are asked for in JSON")
        if len(self.request.body) > LONGEST:
            raise web.HTTPError(413, "no edit is that long")
        try:
            asked = json.loads(self.request.body)
            said = await asyncio.to_thread(_edit, grant, asked)
        except (ValueError, OSError) as error:
            raise web.HTTPError(400, "%s", error) from error
        except EmkitError as refused:
            self.set_status(409)
            said = str(refused)
        await self._answer(grant, said)

    async def _answer(self, grant: Grant, said: str) -> None:
        try:
            edits = await asyncio.to_thread(read_edits, edits_of(grant.folder))
        except EmkitError as refused:
            self.set_status(409)
            said, edits = str(refused), ()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Type", "application/json")
        await self.finish(json.dumps({"edits": len(edits), "said": said}))


def _edit(grant: Grant, asked: object) -> str:
    from emkit.server.corrected import corrected

    return corrected(grant.folder).edit(asked)
