"""The service: its routes, and what they share."""

import asyncio
import os
import secrets
import signal
from typing import Any
from urllib.parse import urlsplit

import jinja2
from emkit_jobs.efficiency import advice
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from jupyterhub.utils import make_ssl_context
from tornado import httpserver, web

from emkit_hub.overview import handlers, told, wording
from emkit_hub.overview.announcements import FILE_NAME, Announcements
from emkit_hub.overview.runs import FOLDER_NAME, PostedRuns
from emkit_hub.overview.settings import Service
from emkit_hub.overview.storage import Storage
from emkit_hub.overview.watch import Watch

BODY_BYTES = 256 * 1024  # of any request: more is refused before it is read
KNOWN_S = 60  # how long the hub's word on who somebody is holds


def application(service: Service, hub_auth: HubOAuth, base_url: str) -> web.Application:
    """All routes there are."""
    certificates = None
    if hub_auth.certfile:
        certificates = make_ssl_context(hub_auth.keyfile, hub_auth.certfile, cafile=hub_auth.client_ca)
    hub_api = hub_auth.api_url.rstrip("/")
    routes: list[Any] = [
        ("", handlers.Overview),
        ("live", handlers.Live),
        ("stop", handlers.Stop),
        ("start", handlers.Start),
        ("announce", handlers.Announce),
        ("withdraw", handlers.Withdraw),
        ("api/announcements", handlers.AnnouncementList),
        (r"api/announcements/([^/]+)", handlers.OneAnnouncement),
        ("api/runs", handlers.Runs),
        (f"({'|'.join(handlers.ASSETS)})", handlers.Asset),
        ("oauth_callback", HubOAuthCallbackHandler),
    ]
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(handlers.PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"duration": wording.duration, "memory": wording.memory, "size": wording.size}
    pages.filters |= {"cpu_share": told.cpu_share, "memory_share": told.memory_share, "advice": advice}
    folders = service.site.file_systems or (service.folder,)
    return web.Application(
        [(base_url + route, handler) for route, handler in routes],
        default_handler_class=handlers.NotFound,
        cookie_secret=secrets.token_bytes(32),  # a restart asks the hub again who somebody is, without a question to them
        hub_auth=hub_auth,
        hub_api=hub_api,
        hub_url=f"{hub_auth.hub_host}{hub_auth.hub_prefix}",
        base_url=base_url,
        root_url=f"{hub_auth.hub_host}{os.environ.get('JUPYTERHUB_BASE_URL', '/')}",
        certificates=certificates,
        service=service,
        announcements=Announcements(service.folder / FILE_NAME),
        runs=PostedRuns(service.folder / FOLDER_NAME, service.site.keep_runs_s),
        storage=Storage(folders),
        watch=Watch(f"{hub_api}/emkit/system", hub_auth.api_token, service.site.tick_s, certificates),
        pages=pages,
    )


async def serve(service: Service) -> None:
    """Run until told to stop; the hub's environment variables say where and as whom."""
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    app = application(service, HubOAuth.instance(cache_max_age=KNOWN_S), os.environ["JUPYTERHUB_SERVICE_PREFIX"])
    app.settings["runs"].forget_old()
    server = httpserver.HTTPServer(app, max_body_size=BODY_BYTES, xheaders=True)
    server.listen(address.port or 80, address.hostname or "127.0.0.1")
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    server.stop()
