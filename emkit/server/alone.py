"""The viewer without Jupyter: one volume, one page, on loopback, for who holds the address that is printed."""

import hmac
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tornado import httpserver, netutil, web

from emkit.errors import ParameterError
from emkit.server import handlers
from emkit.server.capability import provide_key
from emkit.server.corrected import correctable_scene
from emkit.server.predicted import predicted_layer
from emkit.server.scene import at, shapes_of, volume_scene

COOKIE = "emkit-view"


class _Token(web.RequestHandler):
    """Let in who brings the token, once in the address, from then on in a cookie."""

    def get_current_user(self) -> str | None:
        token: str = self.settings["token"]
        brought = self.get_query_argument("token", None) or self.get_cookie(f"{COOKIE}-{self.settings['port']}") or ""
        return "owner" if hmac.compare_digest(brought.encode(), token.encode()) else None

    def prepare(self) -> None:
        if not self.current_user:
            self.set_status(403)
            self.finish("Open the whole address that `emkit view` printed, token included.")


class _Door(_Token):
    def initialize(self, scene: dict[str, Any]) -> None:
        self.scene = scene

    def get(self) -> None:
        base = f"{self.request.protocol}://{self.request.host}/"
        self.set_cookie(f"{COOKIE}-{self.settings['port']}", self.settings["token"], httponly=True, samesite="Lax")
        self.redirect(f"{base}emkit/v/volume/#!{quote(json.dumps(at(self.scene, base)))}")


@asynccontextmanager
async def serving(
    volume: Path,
    *,
    before: Path | None = None,
    model: Path | None = None,
    box: str | None = None,
    image: Path | None = None,
    correct: bool = False,
    port: int = 0,
) -> AsyncIterator[str]:
    """Serve one volume while the context is open; yields the address that opens it. `port` 0 takes a free one.

    With a `model`, what it predicts where somebody looks, in a `box` if there is one, is laid over the volume; an `image` lies
    under it. With `correct`, cells of a segmentation are merged and split by click.

    Raises PathError if there is no such volume or folder, ParameterError if the port cannot be had.
    """
    scene = volume_scene(volume, before=before, key=provide_key())
    if model:
        scene["layers"].append(predicted_layer(volume, model, provide_key(), box))
    if image:
        scene["layers"][:0] = volume_scene(image, key=provide_key())["layers"]
    if correct:
        scene = correctable_scene(scene, volume, provide_key())
    granted = [folder.resolve() for folder in (volume, before, *shapes_of(volume), model, image) if folder is not None]
    try:
        sockets = netutil.bind_sockets(port, "127.0.0.1")
    except (OSError, OverflowError) as error:
        raise ParameterError(f"Port {port} cannot be listened on: {error}. Pass another --port, or none for a free one.") from error
    found: int = sockets[0].getsockname()[1]
    token = secrets.token_urlsafe(24)
    routes = [
        (pattern, type(cls.__name__, (_Token, cls), {}), given) for pattern, cls, given in handlers("/", granted, correct=correct)
    ]
    door = ("/", _Door, {"scene": scene})
    server = httpserver.HTTPServer(web.Application([door, *routes], token=token, port=found, log_function=_say_nothing))
    server.add_sockets(sockets)
    try:
        yield f"http://127.0.0.1:{found}/?token={token}"
    finally:
        server.stop()
        await server.close_all_connections()


def _say_nothing(handler: web.RequestHandler) -> None:
    """Requests are not logged: an address holds a capability."""
