"""Before any handler does anything: who is it, may they, and did the request come from one of our own pages."""

from jupyterhub.services.auth import HubOAuth, HubOAuthenticated, UserNotAllowed
from tornado import web

from emkit_hub.overview.view import Visitor

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Visit(HubOAuthenticated, web.RequestHandler):
    """Base of every handler. `self.visitor` is set before its method runs.

    Answers: 302 to the hub's login for a page, 403 for all else without a login or without the scope, or (by JupyterHub's rules,
    with the token of `xsrf_token` in the header X-XSRFToken or the field `_xsrf`) for a request that no page of ours made; 503
    when the hub does not say who it is.
    """

    visitor: Visitor
    leads_to_login = False  # a page that people type or click, rather than its script

    @property
    def hub_auth(self) -> HubOAuth:
        """The one connection to the hub; it holds the service's token."""
        auth: HubOAuth = self.settings["hub_auth"]
        return auth

    def set_default_headers(self) -> None:
        """Nothing of a page is kept, framed or loaded from elsewhere."""
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        """Let the visitor in, or answer."""
        try:
            model = await self.hub_auth.get_user(self, sync=False)
        except web.HTTPError as error:
            if error.status_code >= 500:
                raise web.HTTPError(503, reason="The hub does not answer") from error
            raise
        try:
            model = model and self.check_hub_user(model)
        except UserNotAllowed as error:
            raise web.HTTPError(403, reason="This login may not open the overview") from error
        if not model or model["kind"] != "user":
            if model or not self.leads_to_login or "Authorization" in self.request.headers:
                raise web.HTTPError(403, reason="Log in first, and use the page of this site: reload it")
            self.redirect(self.get_login_url())
            return
        self.visitor = Visitor(str(model["name"]), frozenset(model["scopes"]))

    def get_current_user(self) -> str | None:
        """For JupyterHub's XSRF token, which asks whether there is one."""
        visitor: Visitor | None = getattr(self, "visitor", None)
        return None if visitor is None else visitor.name

    def require_admin(self) -> None:
        """403 for everybody else."""
        if not self.visitor.admin:
            raise web.HTTPError(403, reason="Only administrators of this hub may do this")
