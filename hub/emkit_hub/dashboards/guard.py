"""Before any handler does anything: who is it, may they, where does the request come from, is the kernel theirs."""

import functools
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.auth import IdentityProvider, User
from jupyterhub.services.auth import HubOAuth, HubOAuthenticated, UserNotAllowed
from tornado import web
from tornado.httputil import HTTPServerRequest


class GuestIdentity(IdentityProvider):
    """Tells Jupyter's handlers the guest whom the guard let in; there is no login of its own."""

    def get_user(self, handler: web.RequestHandler) -> Any:
        """The guest as Jupyter's kind of user."""
        return User(handler.guest) if isinstance(handler, Guard) else None

    def get_handlers(self) -> list[Any]:
        """No login and logout pages: the hub has them."""
        return []


class Guard(HubOAuthenticated):
    """Mixed into every handler, in front of its other bases.

    Answers: 302 to the hub's login for a page, 403 for all else without a login, without the scope, or from a foreign
    origin; 404 for a kernel that is not the guest's own, so that nobody learns which kernels exist.
    """

    settings: dict[str, Any]
    request: HTTPServerRequest
    path_kwargs: dict[str, str]
    guest: str = ""
    owners_only = True  # a route with a kernel's id is for its owner; a handler that checks this by itself says False

    @property
    def hub_auth(self) -> HubOAuth:
        """The one connection to the hub; it holds the service's token."""
        auth: HubOAuth = self.settings["hub_auth"]
        return auth

    def check_xsrf_cookie(self) -> None:
        """Same origin instead of a token: Neuroglancer's workers and `sendBeacon` cannot send one."""
        headers = self.request.headers
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
        reading = self.request.method in ("GET", "HEAD") and "Upgrade" not in headers
        if origin is not None and urlsplit(origin).netloc != self.request.host:
            raise web.HTTPError(403, f"found a request from {origin}; needed one from this site")
        if reading and headers.get("Sec-Fetch-Mode") == "navigate":
            return  # a link from elsewhere may lead here
        if site not in (None, "none", "same-origin") or (not reading and origin is None and site != "same-origin"):
            raise web.HTTPError(403, f"found a request from another site ({site}); needed one from this site")

    async def prepare(self) -> None:
        """Let the guest in, or answer."""
        self.check_xsrf_cookie()
        model = await self.hub_auth.get_user(self, sync=False)
        try:
            model = model and self.check_hub_user(model)
        except UserNotAllowed as error:
            raise web.HTTPError(403, "this login may not open dashboards") from error
        if not model:
            headers = self.request.headers
            if (
                self.request.method == "GET"
                and "Upgrade" not in headers
                and headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
            ):
                self.redirect(self.get_login_url())
                return
            raise web.HTTPError(403, "log in first")
        self.guest = model["name"]
        kernel_id = self.path_kwargs.get("kernel_id")
        if kernel_id is not None and self.owners_only and self.settings["places"].owner(kernel_id) != self.guest:
            raise web.HTTPError(404)
        prepared = super().prepare()
        if prepared is not None:
            await prepared

    def get_current_user(self) -> str | None:
        """For `tornado.web.authenticated`."""
        return self.guest or None


@functools.cache
def guarded(handler: type[web.RequestHandler]) -> type[web.RequestHandler]:
    """The handler class behind the guard."""
    return handler if issubclass(handler, Guard) else type(f"Guarded{handler.__name__}", (Guard, handler), {})
