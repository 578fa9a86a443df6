"""The request handlers: Neuroglancer's client, files of a granted folder by range, and sections as the volume they will become.

They only read (GET, HEAD), and know tornado alone: who may ask is the business of a class mixed in before them
(`JupyterHandler` in a notebook server, the hub's in the dashboards, a token in `emkit view`), which sets `current_user`.
"""

import asyncio
import functools
import os
import threading
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tornado import web
from tornado.log import access_log

from emkit.errors import EmkitError
from emkit.server.capability import Grant, verify
from emkit.view.client import client_folder

if TYPE_CHECKING:
    from emkit.io.virtual import SectionsAsZarr

QUIET, CORRECT = (Path(__file__).with_name(name) for name in ("quiet.js", "correct.js"))
# All that the client page may do: run its own scripts and decoders, and fetch from its own origin. A prepared link cannot make it
# fetch from, or send to, anywhere else.
CLIENT_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; connect-src 'self' blob: data:; "
    "img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
)


@dataclass(frozen=True)
class Gate:
    """What this server accepts: grants signed with `key`, for folders at or below one of `roots`."""

    key: bytes
    roots: tuple[Path, ...]

    def open(self, capability: str) -> Grant:
        """The grant of a capability. Raises HTTP 403 if it is not one of ours, or its folder lies outside the roots."""
        grant = verify(capability, self.key)
        if grant is None or not all(map(self._holds, filter(None, (grant.folder, grant.model)))):
            raise web.HTTPError(403, "not a capability of this server")
        return grant

    def _holds(self, folder: Path) -> bool:
        return any(folder.resolve().is_relative_to(root.resolve()) for root in self.roots)


def jailed(folder: Path, relative: str) -> Path:
    """The file that a URL's path names below a resolved folder, links followed. Raises HTTP 403 if it leads out of the folder."""
    path = PurePosixPath(relative)
    if "\0" in relative or path.is_absolute() or ".." in path.parts:
        raise web.HTTPError(403, "%r is not a path inside the granted folder", relative)
    full = Path(os.path.realpath(folder / path))  # unlike Path.resolve it takes a circle of links for a missing file
    if not full.is_relative_to(folder):
        raise web.HTTPError(403, "%r links out of the granted folder", relative)
    return full


class Member(web.RequestHandler):
    """For who is logged in, and only to read."""

    async def prepare(self) -> None:
        await _done(super().prepare())
        if not self._finished and not self.current_user:
            raise web.HTTPError(403, "not logged in")

    def check_xsrf_cookie(self) -> None:
        """Nothing to protect: only GET and HEAD are answered, and data needs a capability (see capability.py)."""


async def _done(prepared: Awaitable[None] | None) -> None:
    if prepared is not None:
        await prepared


class Page(Member):
    """The viewer's page: the wheel's own, with `quiet.js` before its scripts, and an icon of nothing: else browsers ask for one."""

    def get(self) -> None:
        page = (client_folder() / "index.html").read_text()
        self.set_header("Content-Security-Policy", CLIENT_POLICY)
        self.set_header("Cache-Control", "private, no-cache")
        scripts = "".join(f'<script src="{script.name}"></script>' for script in (QUIET, CORRECT))
        self.finish(page.replace("<head>", f'<head><link rel="icon" href="data:,">{scripts}', 1))

    head = get


class Client(Member, web.StaticFileHandler):
    """The page's scripts, styles and decoders, each with a digest in its name."""

    def set_extra_headers(self, path: str) -> None:
        self.set_header(
            "Cache-Control", "private, no-cache" if path in (QUIET.name, CORRECT.name) else "private, max-age=31536000, immutable"
        )


class Data(Member, web.StaticFileHandler):
    """Files of a granted folder: `<capability>/<path>`. One range is answered by 206, several by the whole (as HTTP allows)."""

    def initialize(self, gate: Gate) -> None:  # type: ignore[override]  # tornado calls it with what the route says
        super().initialize(path="")
        self.gate = gate

    def parse_url_path(self, url_path: str) -> str:
        capability, _, relative = url_path.partition("/")
        folder = self.gate.open(capability).folder.resolve()
        self.root = str(folder)
        return str(jailed(folder, relative).relative_to(folder))

    def compute_etag(self) -> str:
        """By time and size: tornado would read each shard whole to digest it."""
        found = self._stat()
        return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", "private, no-cache")  # kept, but asked about: a run may have replaced the volume
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Type", "application/json" if path.endswith(".json") else "application/octet-stream")


_OPENING = threading.Lock()


@functools.lru_cache(maxsize=8)
def _volume(grant: Grant, changed_ns: int) -> "SectionsAsZarr":
    from emkit.io.sections import open_stack  # not when the extension loads: a server starts without zarr
    from emkit.io.virtual import SectionsAsZarr

    assert grant.voxel_size_nm is not None
    return SectionsAsZarr(open_stack(grant.folder, allow_gaps=True), grant.voxel_size_nm)


def _read_key(grant: Grant, key: str) -> bytes | None:
    with _OPENING:  # a viewer asks for many chunks at once: the headers of the stack are read for the first alone
        volume = _volume(grant, grant.folder.stat().st_mtime_ns)
    return volume.get(key)


class Keys(Member):
    """A granted folder as a zarr array whose keys are made on demand: `<capability>/<key>`."""

    def initialize(self, gate: Gate) -> None:
        self.gate = gate

    def read(self, grant: Grant, key: str) -> bytes | None:
        """The bytes under a key, None if there are none; in a thread. Raises HTTP 403 where the grant is for something else."""
        raise NotImplementedError

    async def get(self, path: str) -> None:
        capability, _, key = path.partition("/")
        grant = self.gate.open(capability)
        try:
            found = await asyncio.to_thread(self.read, grant, key)
        except (EmkitError, OSError) as error:
            access_log.warning("%s", error)
            raise web.HTTPError(404) from error
        if found is None:
            raise web.HTTPError(404)
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Type", "application/json" if key.endswith(".json") else "application/octet-stream")
        self.finish(found)

    def head(self, path: str) -> Awaitable[None]:
        return self.get(path)


class Sections(Keys):
    """Sections as the volume they will become, each chunk cut on demand."""

    def read(self, grant: Grant, key: str) -> bytes | None:
        if grant.voxel_size_nm is None:
            raise web.HTTPError(403, "the capability is for files, not for sections")
        return _read_key(grant, key)


class Predictions(Keys):
    """What a model predicts of a volume, each chunk when it is looked at."""

    gone = False

    def on_connection_close(self) -> None:
        """Who asked looks elsewhere by now."""
        self.gone = True

    def read(self, grant: Grant, key: str) -> bytes | None:
        from emkit.server.predicted import predicted  # not when the extension loads

        if grant.model is None:
            raise web.HTTPError(403, "the capability names no model")
        return predicted(grant.folder, grant.model, grant.box).get(key, lambda: self.gone)
