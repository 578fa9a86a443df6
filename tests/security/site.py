"""A hub on a real Slurm where everybody has a Unix account of their own: two members, an administrator, two workshop guests.

Each has what another one could want: a server with a kernel and a secret file, tokens, a dashboard.
"""

import asyncio
import json
import re
import secrets
import subprocess
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import requests
from emkit_hub import proxy
from emkit_hub.accounts import dashboards_account
from emkit_hub.cluster import Cluster
from emkit_hub.config import template_folders
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.settings import Settings
from emkit_hub.visitor import NAVIGATION, Visitor
from emkit_jobs.slurm import Slurm, SlurmScheduler

SETTINGS = """
spawner = "emkit-slurm"
one_account = false
[login]
method = "pam"
workshop = true
admins = ["{chief}"]
users = ["{ann}", "{bob}"]
[slurm]
conf = "{conf}"
listen = "127.0.0.1"
[lab]
notebook = ""
kernels = "{kernels}"
[profiles.small]
title = "Small"
cpus = 1
memory_mb = 1000
[dashboards]
pool = 0
cap = 6
unseen_s = 3600
"""
KERNELS = """
slurm_conf = "{conf}"
[kernels.node]
title = "On a node"
"""
DASHBOARD = "notes"
SECRET = "what nobody else may read"
# In the owner's kernel: a secret file, a link for the viewer, and what a program in the job knows of itself
PREPARE = f"""
import json, os, pathlib
from emkit.server.capability import Grant, inherited_key, sign
pathlib.Path("secret.txt").write_text({SECRET!r})
told = {{name: os.environ[name] for name in ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_SERVICE_URL", "EMKIT_JOB", "SLURM_JOB_ID")}}
told["capability"] = sign(Grant(pathlib.Path.cwd()), inherited_key())
told["connection"] = __import__("ipykernel").get_connection_file()
print(json.dumps(told))
"""


@dataclass
class Person:
    """`known`: what stands for {words} in the paths that others try."""

    visitor: Visitor
    token: str = ""  # of the person's own making; guests can make none
    job_token: str = ""  # what code in the person's server holds
    known: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.visitor.name


@dataclass(frozen=True)
class Site:
    hub: RunningHub
    cluster: Cluster
    people: dict[str, Person]


@contextmanager
def account(name: str) -> Iterator[str]:
    """A Unix account with a closed home; gives its password."""
    password = secrets.token_urlsafe(16)
    subprocess.run(["useradd", "--create-home", "--key", "HOME_MODE=0700", "--shell", "/bin/bash", name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}", text=True, check=True)
        yield password
    finally:
        subprocess.run(["userdel", "--force", "--remove", name], check=True, capture_output=True)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """In `folder`, which other accounts must be able to pass."""
    ending = secrets.token_hex(3)
    names = {who: f"emkit-{who}-{ending}" for who in ("ann", "bob", "chief")}
    with ExitStack() as stack:
        passwords = {who: stack.enter_context(account(name)) for who, name in names.items()}
        cluster = Cluster(folder / "slurm")
        stack.callback(cluster.stop)
        cluster.start()
        hub = _hub(folder, names, cluster)
        asyncio.run(hub.__aenter__())
        stack.callback(lambda: asyncio.run(hub.stop()))
        people = {}
        for who in (*names, "guest", "other guest"):
            visitor = stack.enter_context(Visitor(hub.url))
            name, password = (names[who], passwords[who]) if who in names else (who, hub.folder.workshop_password)
            if not visitor.login(name, password):
                raise RuntimeError(f"{who} cannot log in: {hub.log('hub').read_text()[-3000:]}")
            people[who] = Person(visitor)
        with ThreadPoolExecutor() as pool:
            list(pool.map(_settle, (people[who] for who in names)))
        for who in ("guest", "other guest"):
            _open_dashboard(people[who])
        yield Site(hub, cluster, people)


def _hub(folder: Path, names: dict[str, str], cluster: Cluster) -> RunningHub:
    file = folder / "site.toml"
    conf, kernels = cluster.environment["SLURM_CONF"], folder / "kernels.toml"
    kernels.write_text(KERNELS.format(conf=conf))
    file.write_text(SETTINGS.format(**names, conf=conf, kernels=kernels))
    data = DataFolder(folder / "data")
    data.prepare()
    cells = [nbformat.v4.new_code_cell("import ipywidgets; ipywidgets.IntSlider()")]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "emkit": {"dashboard": True, "title": "Notes", "summary": "A dashboard."},
    }
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), data.dashboards / f"{DASHBOARD}.ipynb")
    proxy.install()
    dashboards = dashboards_account(template_folders(Settings.read(file), data))
    environment = {"EMKIT_SETTINGS": str(file), "EMKIT_DASHBOARDS_ACCOUNT": dashboards}
    servers = SlurmScheduler(Slurm(cluster.environment, tick_s=0.2))
    return RunningHub(data, free_ports(1)[0], environment=environment, servers=servers)


def _settle(person: Person) -> None:
    """Start the person's server and a kernel, and gather what others will try to reach."""
    visitor = person.visitor
    if not (last := visitor.start_server()[-1]).get("ready"):
        raise RuntimeError(f"{visitor.name}: {last}")
    made = visitor.call("POST", f"/hub/api/users/{visitor.name}/tokens", {"note": "of the test"}).json()
    person.token = made["token"]
    with visitor.kernel() as kernel:
        told = json.loads(kernel.run(textwrap.dedent(PREPARE)))
    terminal = visitor.call("POST", f"{visitor.server}api/terminals", {}).json()["name"]
    person.job_token = told["JUPYTERHUB_API_TOKEN"]
    person.known = {
        "owner": visitor.name,
        "server": visitor.name,
        "kernel": kernel.id,
        "terminal": terminal,
        "token_id": made["id"],
        "capability": told["capability"],
        "address": told["JUPYTERHUB_SERVICE_URL"],
        "connection": told["connection"],
        "job": told["EMKIT_JOB"],
        "job_number": told["SLURM_JOB_ID"],
    }


def _open_dashboard(person: Person) -> None:
    page = person.visitor.get(f"/services/dashboards/open/{DASHBOARD}")
    found = re.search(r'"kernelId": "([0-9a-f-]{36})"', page.text)
    if found is None:
        raise RuntimeError(f"{page.status_code} {page.text[-1000:]}")
    person.known = {"owner": person.name, "place": found[1]}


def ask(
    url: str, method: str, path: str, *, visitor: Visitor | None = None, token: str = "", body: object = None
) -> requests.Response:
    """One request with a visitor's cookies, with a token, or with nothing; a GET follows its redirects, as a browser does."""
    with requests.Session() as session:  # of its own: no request sees the cookies that another one got
        session.trust_env = False
        headers = dict(NAVIGATION) if method == "GET" else {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"token {token}"
        if visitor is not None:
            session.cookies.update(visitor.session.cookies)
            below = "/hub/" if path.startswith("/hub/") else "/" + "/".join(path.split("/")[1:3]) + "/"
            headers |= {"X-XSRFToken": visitor.cookie("_xsrf", below), "Referer": url + below}
        return session.request(
            method,
            url + path,
            data=None if body is None else json.dumps(body),
            headers=headers,
            allow_redirects=method == "GET",
            timeout=60,
        )
