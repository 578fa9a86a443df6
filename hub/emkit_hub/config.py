"""JupyterHub's configuration from a settings file and a data folder: `configure(get_config())` is a site's whole config file."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from jupyterhub.scopes import get_scopes_for
from traitlets.config import Config

from emkit_hub import apart, kernels
from emkit_hub.authentication import configure_logins
from emkit_hub.authenticator import MEMBERS
from emkit_hub.culling import ENVIRONMENT_VARIABLE as CULLING_VARIABLE
from emkit_hub.culling import SCOPES as CULLING_SCOPES
from emkit_hub.culling import Culling
from emkit_hub.dashboards.settings import ENVIRONMENT_VARIABLE, DashboardSettings
from emkit_hub.data_folder import DataFolder
from emkit_hub.overview import routes
from emkit_hub.overview import settings as overview
from emkit_hub.overview.announcements import FILE_NAME as ANNOUNCEMENTS
from emkit_hub.overview.announcements import Announcements
from emkit_hub.overview.runs import FOLDER_NAME as RUNS
from emkit_hub.overview.runs import PostedRuns
from emkit_hub.settings import NetworkSettings, Settings, SettingsError

HOST = "127.0.0.1"
SERVICE_UP_S = 100  # a hub ends when a service of its own is not up in time: on a busy machine imports alone take half a minute
DASHBOARDS = "dashboards"
DASHBOARDS_PATH = f"/services/{DASHBOARDS}/"
CULLING = "culling"
METRICS = "prometheus"
OVERVIEW = "overview"
OVERVIEW_PATH = f"/services/{OVERVIEW}/"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"  # the curated ones, in a checkout
LAB_CONFIG = Path(__file__).parent / "lab_config"  # no question about news from the internet at every first start

# Redefining JupyterHub's role `user` takes everything away from everybody but admins; without the two `read:` scopes no login
# to a service succeeds.
ACCESS = [f"access:services!service={name}" for name in (DASHBOARDS, OVERVIEW)]
GUEST_SCOPES = [*ACCESS, "read:users:name!user", "read:users:groups!user"]
MEMBER_SCOPES = ["self", *ACCESS]
OVERVIEW_SCOPES = ["read:servers"]


def configure(c: Config, *, settings_file: Path | None = None, data: Path | None = None, port: int | None = None) -> None:
    """Fill `c`. What is not given comes from EMKIT_SETTINGS (a file, or none), EMKIT_DATA (a folder), EMKIT_PORT, or that file.

    SettingsError tells a mistake in the file.
    """
    settings, folder = site(settings_file, data)
    folder.prepare()
    port = port if port is not None else int(os.environ.get("EMKIT_PORT", settings.network.port))
    _hub(c, settings, folder, port)
    configure_logins(c, settings, folder)
    _roles(c, settings)
    _servers(c, settings, folder)
    c.JupyterHub.services = [_dashboards(settings, folder), _overview(settings, folder)]
    for service in c.JupyterHub.services:  # servers get the hub's options from the hub, services do not
        if "command" in service:
            service["environment"]["JUPYTERHUB_COOKIE_OPTIONS"] = json.dumps(cookie_options(settings.network))
    _culling(c, settings, port)
    _metrics(c, folder)
    _pages(c, settings, folder)


def site(settings_file: Path | None = None, data: Path | None = None) -> tuple[Settings, DataFolder]:
    """The settings and the data folder of a site, from what is given, else from the environment, else from the settings."""
    if settings_file is None and "EMKIT_SETTINGS" in os.environ:
        settings_file = Path(os.environ["EMKIT_SETTINGS"])
    settings = Settings.read(settings_file)
    if data is None and "EMKIT_DATA" in os.environ:
        data = Path(os.environ["EMKIT_DATA"])
    if (found := data or settings.data) is None:
        raise SettingsError("The hub's data folder is not known: set `data` in the settings file, or EMKIT_DATA.")
    return settings, DataFolder(found)


def database_url(settings: Settings, folder: DataFolder) -> str:
    return settings.database or f"sqlite:///{folder.database}"


def _hub(c: Config, settings: Settings, folder: DataFolder, port: int) -> None:
    network, ports = settings.network, folder.ports()
    c.JupyterHub.bind_url = f"{'https' if network.certificate else 'http'}://{network.listen}:{port}"
    c.JupyterHub.hub_bind_url = network.hub_url(ports["hub"])
    if network.public_url:
        c.JupyterHub.public_url = network.public_url
    c.JupyterHub.db_url = database_url(settings, folder)
    c.JupyterHub.cookie_secret_file = str(folder.secret_file("cookie-secret"))
    # The proxy stands apart from the hub, and servers are nobody's children: a hub that ends takes neither with it.
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = f"http://{HOST}:{ports['proxy_api']}"
    c.ConfigurableHTTPProxy.auth_token = folder.proxy_token
    c.JupyterHub.cleanup_proxy = False
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.init_spawners_timeout = 3  # a server that is still starting reports to a hub that listens
    # For the hub's own pages; cookies of servers and services follow them
    headers = {"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}
    c.JupyterHub.tornado_settings = {"cookie_options": cookie_options(network), "headers": headers}


def cookie_options(network: NetworkSettings) -> dict[str, object]:
    """Secure wherever people come by TLS: the proxy cannot tell when a web server ends it before."""
    tls = network.certificate is not None or network.public_url.startswith("https://")
    return {"samesite": "Lax", **({"secure": True} if tls else {})}


def _roles(c: Config, settings: Settings) -> None:
    """What a login gives. Everybody has the role `user`: where guests come, it is theirs, and accounts have more by their group."""
    guests = settings.login.method == "passwords" or settings.login.workshop
    user = {"name": "user", "description": "whoever logs in", "scopes": GUEST_SCOPES if guests else MEMBER_SCOPES}
    member = {"name": "member", "description": "an account of this host", "scopes": MEMBER_SCOPES, "groups": [MEMBERS]}
    service = {"name": OVERVIEW, "description": "the first page after login", "scopes": OVERVIEW_SCOPES, "services": [OVERVIEW]}
    c.JupyterHub.load_roles = [user, service, *([member] if settings.login.method == "pam" else [])]
    c.JupyterHub.default_url = _first_page


def _first_page(handler: Any) -> str:
    """Where a login leads: who may have a server to the overview, a guest to the dashboards."""
    if handler.current_user is None:
        return ""  # JupyterHub's own way: the login page
    held = {scope.partition("!")[0] for scope in get_scopes_for(handler.current_user)}  # at a login, the handler's are nobody's yet
    return OVERVIEW_PATH if {"servers", "admin-ui"} & held else DASHBOARDS_PATH


def _servers(c: Config, settings: Settings, folder: DataFolder) -> None:
    home = str(settings.lab.home or (folder.home if settings.one_account else ""))  # empty: each account's own
    c.JupyterHub.spawner_class = settings.spawner
    c.JupyterHub.allow_named_servers = settings.named_servers > 0
    c.JupyterHub.named_server_limit_per_user = settings.named_servers
    c.JobSpawner.profiles = {name: profile.model_dump() for name, profile in settings.profiles.items()}
    c.JobSpawner.home_folder = home
    c.JobSpawner.req_prologue = (
        settings.lab.prologue + "\n" + install_notebooks(template_folders(settings, folder), settings.lab.notebook)
    )
    c.JobSpawner.req_epilogue = settings.lab.epilogue
    c.LocalSpawner.jobs_folder = str(folder.jobs)
    c.SlurmSpawner.slurm_conf = str(settings.slurm.conf or "")
    c.SlurmSpawner.sudo = settings.slurm.sudo
    c.SlurmSpawner.ip = settings.slurm.listen
    c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
    c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
    c.Spawner.notebook_dir = home
    c.Spawner.default_url = f"/lab/tree/{settings.lab.notebook}" if settings.lab.notebook else "/lab"
    c.Spawner.environment = {"JUPYTER_CONFIG_PATH": str(LAB_CONFIG)}
    if settings.lab.kernels is not None:
        c.Spawner.environment = kernels.offer(settings.lab.kernels, folder.path / "kernels", c.Spawner.environment)
    c.Spawner.poll_interval = 5


def template_folders(settings: Settings, folder: DataFolder) -> tuple[Path, ...]:
    """Where curated notebooks are: the site's folders, the repository's, and the data folder's, where an instructor adds some."""
    return (*settings.dashboards.folders, *(path for path in (NOTEBOOKS, folder.dashboards) if path.is_dir()))


def install_notebooks(folders: tuple[Path, ...], first: str) -> str:
    """Shell text that brings copies of the curated notebooks into the job's HOME.

    The server waits for it only when the notebook `first`, which it opens with, is not there yet. A full disk must not keep the
    user out.
    """
    program = ["nice", str(Path(sys.executable).with_name("emkit")), "install-notebooks", *map(str, folders), "--into"]
    command, opened = f'{shlex.join(program)} "$HOME"', f'"$HOME"/{shlex.quote(first)}'
    return f"""install_notebooks() {{ {command} || echo 'The curated notebooks could not be copied: see above.' >&2; }}
if [[ -f {opened} ]]; then install_notebooks & else install_notebooks; fi"""


def dashboards_settings(settings: Settings, folder: DataFolder) -> DashboardSettings:
    """What the service of the dashboards is told, by whatever account it runs."""
    chosen = settings.dashboards.model_dump()
    chosen["folders"] = template_folders(settings, folder)
    chosen["extensions"] = settings.dashboards.extensions or ("emkit.server",)
    chosen["announcements"] = folder.overview / ANNOUNCEMENTS
    return DashboardSettings.model_validate(chosen)


def _dashboards(settings: Settings, folder: DataFolder) -> dict[str, Any]:
    service = _service(DASHBOARDS, folder.ports()["dashboards"])
    if settings.dashboards_token_file is not None:  # `emkit-hub dashboards` runs it, under an account of its own
        del service["command"]
        return service | {"api_token": apart.token(settings.dashboards_token_file)}
    service["environment"] = {ENVIRONMENT_VARIABLE: dashboards_settings(settings, folder).model_dump_json()}
    account = os.environ.get("EMKIT_DASHBOARDS_ACCOUNT", settings.dashboards_account)
    return service | ({"user": account} if account else {})


def _overview(settings: Settings, folder: DataFolder) -> dict[str, Any]:
    site = overview.Service(
        site=settings.overview,
        folder=folder.overview,
        title=settings.title,
        dashboards_url=DASHBOARDS_PATH,
        named_servers=settings.named_servers > 0,
        announcement=settings.announcement,
    )
    return _service(OVERVIEW, folder.ports()["overview"]) | {
        "environment": {overview.ENVIRONMENT_VARIABLE: site.model_dump_json()},
        # what a visit may do, of what its user may: stop an own server, and see the parts for admins
        "oauth_client_allowed_scopes": ["delete:servers!user", "admin-ui"],
    }


def _service(name: str, port: int | None = None) -> dict[str, Any]:
    """A process that the hub starts; with a port, people visit it."""
    visited = {"url": f"http://{HOST}:{port}", "oauth_no_confirm": True, "display": False, "timeout": SERVICE_UP_S}
    return ({} if port is None else visited) | {
        "name": name,
        # without pdeathsig a killed hub leaves it behind, and the next hub finds its port taken
        "command": ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", f"emkit_hub.{name}"],
    }


def _culling(c: Config, settings: Settings, port: int) -> None:
    """Adds the service that stops servers nobody uses, where a site has such limits."""
    network = settings.network
    here = HOST if network.listen in ("", "0.0.0.0", "::") else network.listen
    chosen = Culling.of(settings, network.public_url.rstrip("/") if network.certificate else f"http://{here}:{port}")
    if chosen is None:
        return
    service = _service(CULLING) | {"environment": {CULLING_VARIABLE: chosen.model_dump_json()}}
    c.JupyterHub.services = [*c.JupyterHub.services, service]
    role = {"name": CULLING, "description": "stops servers that nobody uses", "scopes": CULLING_SCOPES, "services": [CULLING]}
    c.JupyterHub.load_roles = [*c.JupyterHub.load_roles, role]


def _metrics(c: Config, folder: DataFolder) -> None:
    """Who may read /hub/metrics: admins, and a Prometheus that holds the token of this service."""
    c.JupyterHub.services = [*c.JupyterHub.services, {"name": METRICS, "api_token": folder.metrics_token, "display": False}]
    role = {"name": METRICS, "description": "reads the hub's metrics", "scopes": ["read:metrics"], "services": [METRICS]}
    c.JupyterHub.load_roles = [*c.JupyterHub.load_roles, role]


def _pages(c: Config, settings: Settings, folder: DataFolder) -> None:
    announcements = Announcements(folder.overview / ANNOUNCEMENTS)
    routes.install(announcements, PostedRuns(folder.overview / RUNS, settings.overview.keep_runs_s))
    c.JupyterHub.template_paths = [str(Path(__file__).parent / "templates")]
    c.JupyterHub.template_vars = {
        "site_title": settings.title,
        "owner": settings.owner,
        "one_account": settings.one_account,
        "login_method": settings.login.method,
        "workshop": settings.login.workshop,
        "dashboards_url": DASHBOARDS_PATH,
        "overview_url": OVERVIEW_PATH,
        "announcements": lambda user: announcements.current(),
        "announcement": settings.announcement,
    }
