"""The pages guests see: the gallery, a dashboard, the queue; and the state of a place."""

import json
from pathlib import Path
from typing import Any

import jinja2
from tornado import web
from tornado.iostream import StreamClosedError

from emkit_hub.dashboards.gallery import NAME, PICTURES, Dashboard, Gallery
from emkit_hub.dashboards.guard import Guard
from emkit_hub.dashboards.places import Full
from emkit_hub.dashboards.pool import Pool
from emkit_hub.dashboards.settings import DashboardSettings
from emkit_hub.overview.announcements import Announcements

PAGES = Path(__file__).parent / "pages"
RETRY_AFTER_S = 5
_PAGE_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
# Widgets bring their code as text, so a dashboard needs inline scripts, eval and blobs; it may speak to nobody but this site.
_DASHBOARD_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data: blob:; media-src 'self' data: blob:; worker-src 'self' blob:; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class Page(Guard, web.RequestHandler):
    """A page of the service itself."""

    @property
    def gallery(self) -> Gallery:
        """The allowlist."""
        gallery: Gallery = self.settings["gallery"]
        return gallery

    @property
    def pool(self) -> Pool:
        """The kernels."""
        pool: Pool = self.settings["pool"]
        return pool

    @property
    def site(self) -> DashboardSettings:
        """The site's settings."""
        site: DashboardSettings = self.settings["dashboards"]
        return site

    def set_default_headers(self) -> None:
        """Nothing of a page is kept, framed or loaded from elsewhere."""
        self.set_header("Content-Security-Policy", _PAGE_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def page(self, template: str, **values: Any) -> None:
        """Answer with one of the templates of this service."""
        environment: jinja2.Environment = self.settings["pages"]
        self.finish(environment.get_template(template).render(base=self.settings["base_url"], guest=self.guest, **values))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """One sentence, and the way back."""
        texts = {403: "You may not open this.", 404: "There is nothing here."}
        self.page(
            "error.html", status=status_code, text=texts.get(status_code, "This could not be done. The log of the hub says why.")
        )

    def dashboard(self, name: str) -> Dashboard:
        """The listed dashboard of this name; a name, never a path."""
        found = self.gallery.read().get(name) if NAME.fullmatch(name) else None
        if found is None:
            raise web.HTTPError(404)
        return found


class GalleryPage(Page):
    """All dashboards, with the places that are free."""

    def get(self) -> None:
        """The gallery."""
        places = self.pool.places
        own = [claim.dashboard for claim in places.claims.values() if claim.guest == self.guest]
        dashboards = self.gallery.read().values()
        self.page(
            "gallery.html",
            dashboards=dashboards,
            free=places.free,
            cap=places.cap,
            waiting=len(places.queue),
            own=own,
            note=self.site.account_note,
            announcements=Announcements(self.site.announcements).current() if self.site.announcements else (),
        )


class Picture(Page):
    """The picture on a dashboard's card."""

    def get(self, name: str) -> None:
        """The picture's file, as it is."""
        picture = self.dashboard(name).picture
        if picture is None:
            raise web.HTTPError(404)
        self.set_header("Content-Type", PICTURES[picture.suffix.lower()])
        self.set_header("Cache-Control", "private, max-age=300")
        self.set_header(
            "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        )  # an SVG runs no script
        self.finish(picture.read_bytes())


class OpenDashboard(Page):
    """A dashboard in a kernel of the guest's own, or the queue."""

    async def get(self, name: str) -> None:
        """Streams the page; nothing of the request reaches the kernel, the query string least of all."""
        dashboard = self.dashboard(name)
        try:
            rendering = self.pool.take(dashboard, self.guest)
        except Full as full:
            self.set_status(503)
            self.set_header("Retry-After", str(RETRY_AFTER_S))
            self.set_header("Refresh", str(RETRY_AFTER_S))
            places = self.pool.places
            waited = (
                f"{full.waited_s:.0f}\N{NO-BREAK SPACE}s"
                if full.waited_s < 90
                else f"{full.waited_s / 60:.0f}\N{NO-BREAK SPACE}min"
            )
            self.page("full.html", dashboard=dashboard, full=full, waited=waited, cap=places.cap, retry_s=RETRY_AFTER_S)
            return
        self.set_header("Content-Security-Policy", _DASHBOARD_POLICY)
        try:
            async for piece in rendering.page():
                self.write(piece)
                await self.flush()
        except StreamClosedError:
            self.pool.drop(rendering.kernel_id, "its page was closed")


class Place(Page):
    """One kernel's place: the page asks whether it still has it, and gives it back when it closes."""

    owners_only = False  # asked about also after it was given back; the answer then holds only the reason

    def get(self, kernel_id: str) -> None:
        """`{"held": bool, "reason": str}`, to the owner; to anybody else it is not held."""
        held = self.pool.places.owner(kernel_id) == self.guest
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"held": held, "reason": "" if held else self.pool.reasons.get(kernel_id, "")}))

    def post(self, kernel_id: str) -> None:
        """Give it back; Voila's page calls this when it is left."""
        if self.pool.places.owner(kernel_id) != self.guest:
            raise web.HTTPError(404)
        self.pool.drop(kernel_id, "its page was closed")
        self.set_status(204)


class Asset(Page):
    """The style sheets and the script of our own pages."""

    def get(self, name: str) -> None:
        """One of the files that the route names."""
        self.set_header("Content-Type", "text/javascript" if name.endswith(".js") else "text/css")
        self.set_header("Cache-Control", "private, no-cache")
        self.finish((PAGES / name).read_bytes())


class NotFound(Page):
    """Everything else."""

    async def prepare(self) -> None:
        """404 to guests; the guard answers the others."""
        await super().prepare()
        if not self._finished:
            raise web.HTTPError(404)
