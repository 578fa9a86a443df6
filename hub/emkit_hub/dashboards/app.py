"""The service: Voila with its own list of routes, the guard in front of each, and kernels from the pool only."""

import asyncio
import os
import resource
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.kernels.handlers import KernelHandler
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from jupyterlab_server.themes_handler import ThemesHandler
from traitlets.config import Config
from voila.app import Voila
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.utils import get_page_config

from emkit_hub.dashboards import handlers
from emkit_hub.dashboards.channels import MAX_BYTES, MESSAGES, Channels
from emkit_hub.dashboards.confinement import hide
from emkit_hub.dashboards.extensions import ExtensionHost, load_extensions
from emkit_hub.dashboards.gallery import Dashboard, Gallery, imported_modules
from emkit_hub.dashboards.guard import GuestIdentity, guarded
from emkit_hub.dashboards.kernels import ForkProvisioner, ForkServer, Kernels
from emkit_hub.dashboards.places import Places
from emkit_hub.dashboards.pool import Pool
from emkit_hub.dashboards.rendering import SiteRenderer
from emkit_hub.dashboards.settings import DashboardSettings
from emkit_hub.dashboards.warden import Warden

_ID = r"(?P<kernel_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH")  # all that kernels get of the service's environment
# Threads of a pool do not survive the fork; and the debugger, which kernels never use, need not warn of itself.
_FORKABLE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
PING_MS = 15_000
_FILES, _FILES_PER_GUEST = 100, 20  # 17 were counted while a page connects: six zmq sockets, the websocket, the kernel itself
FRONT_END = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]


class ModelOnly(KernelHandler):
    """GET of a kernel's model, which the page needs; no DELETE."""

    SUPPORTED_METHODS = ("GET",)


def routes(base_url: str, static_paths: list[str], labextensions_path: list[str], themes_dir: str) -> list[Any]:
    """All routes of the service but those of its extensions, each behind the guard."""
    themes = {"themes_url": "/voila/api/themes", "path": themes_dir, "labextensions_path": labextensions_path}
    pages: list[Any] = [
        ("", handlers.GalleryPage),
        (r"picture/([^/]+)", handlers.Picture),
        (r"open/([^/]+)", handlers.OpenDashboard),
        (f"place/{_ID}", handlers.Place),
        (f"voila/api/shutdown/{_ID}", handlers.Place),
        (f"api/kernels/{_ID}", ModelOnly),
        (f"api/kernels/{_ID}/channels", Channels),
        (r"(style\.css|dashboard\.css|place\.js)", handlers.Asset),
        (r"voila/templates/(.*)", TemplateStaticFileHandler),
        (r"voila/static/(.*)", MultiStaticFileHandler, {"paths": static_paths}),
        (r"voila/api/themes/(.*)", ThemesHandler, themes),
        (r"voila/labextensions/(.*)", FileFindHandler, {"path": labextensions_path}),
    ]
    behind_guard = [(base_url + route, guarded(handler), *rest) for route, handler, *rest in pages]
    return [*behind_guard, (f"{base_url}oauth_callback", HubOAuthCallbackHandler)]


class Dashboards(Voila):
    """The application; `serve` makes and runs it."""

    site: DashboardSettings
    hub_auth: HubOAuth
    template_paths: list[str]
    kernel_environment: dict[str, str]

    def setup_template_dirs(self) -> None:
        """Voila's `lab` template, under ours."""
        super().setup_template_dirs()
        self.template_paths = [str(handlers.PAGES / "voila"), *self.template_paths]

    def init_settings(self) -> dict[str, Any]:
        """Tornado's settings, with what our handlers need."""
        settings: dict[str, Any] = super().init_settings()
        gallery = Gallery(self.site.folders)
        places = Places(self.site.cap, self.site.per_guest, asyncio.get_event_loop().time)
        pool = Pool(self.site, gallery, places, self.kernel_manager, self.renderer)
        pages = jinja2.Environment(
            loader=jinja2.FileSystemLoader(handlers.PAGES), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        ours = {
            "hub_auth": self.hub_auth,
            "dashboards": self.site,
            "gallery": gallery,
            "places": places,
            "pool": pool,
            "pages": pages,
        }
        limits = {
            "websocket_max_message_size": MAX_BYTES,
            "ws_ping_interval": PING_MS,
            "ws_ping_timeout": 3 * PING_MS,
            "default_handler_class": handlers.NotFound,
        }
        return {**settings, **ours, **limits}

    def init_handlers(self) -> list[Any]:
        """Our routes: none of Voila's own list, which has contents, files, a tree and a query socket."""
        settings = self.app.settings
        host = ExtensionHost(self.app, self.config)
        self.kernel_manager.kernel_environment = self.kernel_environment | load_extensions(self.site.extensions, host)
        self.kernel_manager.allowed_message_types = list(MESSAGES)
        warden = Warden(self.site, settings["pool"], self.kernel_manager, ForkProvisioner.server)
        self._warden = asyncio.get_event_loop().create_task(warden.run())
        self._warden.add_done_callback(lambda _: self.ioloop.stop())  # nothing would be given back: end, and the hub starts anew
        return routes(self.base_url, self.static_paths, self.labextensions_path, self.themes_dir)

    def renderer(self, dashboard: Dashboard) -> SiteRenderer:
        """Voila's renderer for one run of a dashboard."""
        voila: Any = self.voila_configuration
        settings = self.app.settings
        page_config = get_page_config(base_url=self.base_url, settings=settings, log=self.log, voila_configuration=voila)
        return SiteRenderer(
            voila_configuration=voila,
            traitlet_config=self.config,
            notebook_path=str(dashboard.path),
            template_paths=self.template_paths,
            contents_manager=AsyncLargeFileManager(parent=self, root_dir=str(dashboard.path.parent)),
            base_url=self.base_url,
            kernel_spec_manager=self.kernel_spec_manager,
            page_config=page_config,
            mathjax_config=settings["mathjax_config"],
            mathjax_url=settings["mathjax_url"],
        )


def serve(site: DashboardSettings) -> None:
    """Run the service until it is told to stop; the hub's environment variables say where and as whom."""
    hub_auth = HubOAuth.instance(cache_max_age=60)
    for name in hub_auth.trait_names():
        getattr(hub_auth, name)  # their defaults are read from the environment on first use: before it is emptied
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | _FORKABLE | site.environment
    os.environ.clear()  # Voila hands it to kernels, and the token of the service is in it
    os.environ.update(environment)
    hide()
    _allow_files(_FILES + _FILES_PER_GUEST * site.cap)
    with tempfile.TemporaryDirectory(prefix="emkit-dashboards-") as folder:
        os.environ["HOME"] = folder
        modules = sorted({*site.preload, *imported_modules(Gallery(site.folders).read().values())})
        server = ForkServer(site, modules, dict(os.environ), Path(folder))
        server.start()
        ForkProvisioner.register(server)
        app = Dashboards(config=_config(site, address.hostname or "127.0.0.1", address.port or 80, prefix, Path(folder)))
        app.site, app.hub_auth, app.kernel_environment = site, hub_auth, environment
        app.initialize([])
        app.start()


def _allow_files(needed: int) -> None:
    """Raise the limit of open files as far as it goes: where it is too low, some websockets of a full house fail, and no more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < needed:
        raise SystemExit(
            f"The dashboards may open {most} files, but this many guests need {needed}. Raise the hard limit (`ulimit -Hn`) of the "
            "account that runs the hub, or lower `cap` in the section [dashboards] of the site settings."
        )


def _config(site: DashboardSettings, host: str, port: int, prefix: str, scratch: Path) -> Config:
    config = Config()
    config.Voila.update(
        ip=host, port=port, port_retries=0, base_url=prefix, root_dir=str(scratch), open_browser=False, autoreload=False
    )
    config.Voila.update(identity_provider_class=GuestIdentity, connection_dir_root=str(scratch), config_file_paths=[])
    config.VoilaConfiguration.update(
        preheat_kernel=False,
        strip_sources=True,
        show_tracebacks=False,
        allow_template_override="NO",
        allow_theme_override="NO",
        multi_kernel_manager_class=Kernels,
        extension_allowlist=FRONT_END,
    )
    config.VoilaExecutor.update(cell_error_instruction="Please tell the person who runs this site; its log says more.")
    config.Kernels.update(scratch=str(scratch), buffer_offline_messages=False)
    config.KernelManager.update(autorestart=False, shutdown_wait_time=1, transport="ipc")
    # emkit.server shows guests these folders and no others, and they change nothing there
    config.ViewServer.update(roots=[str(scratch), *map(str, site.data_roots)], correct=False)
    return config
