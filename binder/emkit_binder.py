"""The gallery of dashboards in Binder: a Jupyter server extension, since there is no hub of ours and its one user owns the server.

<base>emkit/gallery/                the page of the dashboards service
<base>emkit/gallery/open/<name>     sends on to Voila, which runs the notebook in a kernel of this server
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import emkit_hub.dashboards
import jinja2
from emkit_hub.dashboards.gallery import PICTURES, Dashboard, Gallery
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from markupsafe import Markup
from tornado import web

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PAGES = Path(emkit_hub.dashboards.__file__).parent / "pages"
NOTE = Markup(
    'In Binder the whole server is yours, and goes when you leave. <a href="{}lab">JupyterLab</a> holds the notebooks themselves.'
)


class Page(JupyterHandler):
    """What the pages of the gallery share; every one wants the token of the server, as Lab does."""

    def initialize(self, gallery: Gallery, base: str) -> None:
        self.gallery, self.base = gallery, base

    def dashboard(self, name: str) -> Dashboard:
        found = self.gallery.read().get(name)
        if found is None:
            raise web.HTTPError(404)
        return found


class GalleryPage(Page):
    @web.authenticated
    def get(self) -> None:
        pages = jinja2.Environment(loader=jinja2.FileSystemLoader(PAGES), autoescape=True)
        found = self.gallery.read().values()
        self.finish(
            pages.get_template("gallery.html").render(
                base=self.base, dashboards=found, cap=None, own=(), note=NOTE.format(self.base_url)
            )
        )


class Open(Page):
    @web.authenticated
    def get(self, name: str) -> None:
        path = self.dashboard(name).path.relative_to(Path(self.settings["server_root_dir"]).expanduser().resolve())
        self.redirect(f"{self.base_url}voila/render/{quote(str(path))}")


class Picture(Page):
    @web.authenticated
    def get(self, name: str) -> None:
        picture = self.dashboard(name).picture
        if picture is None:
            raise web.HTTPError(404)
        self.set_header("Content-Type", PICTURES[picture.suffix.lower()])
        self.finish(picture.read_bytes())


class Style(Page):
    def get(self) -> None:
        self.set_header("Content-Type", "text/css")
        self.finish((PAGES / "style.css").read_bytes())


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "emkit_binder"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    base = f"{app.base_url}emkit/gallery/"
    given: dict[str, Any] = {"gallery": Gallery([NOTEBOOKS]), "base": base}
    routes = [("", GalleryPage), ("open/([^/]+)", Open), ("picture/([^/]+)", Picture), (r"style\.css", Style)]
    app.web_app.add_handlers(".*$", [(base + route, handler, given) for route, handler in routes])
    app.web_app.add_handlers(".*$", [(base.rstrip("/"), web.RedirectHandler, {"url": base, "permanent": False})])
