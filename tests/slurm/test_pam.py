"""A site as the docs describe it: an unprivileged hub (group shadow, a sudoers file), PAM, real Slurm jobs of others."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from emkit_hub.visitor import Kernel, Visitor

from tests.hub.site import Site, running
from tests.hub.test_logins import FORBIDDEN
from tests.slurm.accounts import Accounts, accounts, allowed, open_folder
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.hub

SETTINGS = """
spawner = "emkit-slurm"
one_account = false
[slurm]
conf = "{conf}"
accounts = "{group}"
listen = "127.0.0.1"
[profiles.small]
title = "Small"
partition = "main"
memory_mb = 1000
[lab]
notebook = ""
[dashboards]
pool = 0
[login]
method = "pam"
admins = ["{bob}"]
groups = ["{group}"]
workshop = true
"""


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Accounts]:
    with open_folder() as folder, accounts(folder, cluster.environment) as found, allowed(found, folder / "log"):
        yield found


@pytest.fixture(scope="module")
def password(made: Accounts) -> str:
    """One for all; every account has it."""
    word = secrets.token_urlsafe(12)
    for name in (made.ann, made.bob, made.eve):
        made.password(name, word)
    return word


@pytest.fixture(scope="module")
def site(made: Accounts, cluster: Cluster) -> Iterator[Site]:
    (folder := made.homes / "site").mkdir()
    values = {"conf": cluster.environment["SLURM_CONF"], "group": made.group, "bob": made.bob}
    with running(Site(folder, SETTINGS.format(**values), account=made.hub, groups=("shadow",))) as found:
        yield found
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


@pytest.fixture
def ann(site: Site, made: Accounts, password: str) -> Iterator[Visitor]:
    with Visitor(site.url) as visitor:
        assert visitor.login(made.ann, password)
        yield visitor


def test_an_account_has_a_server_of_its_own_and_the_hub_reads_nothing_of_it(
    site: Site, made: Accounts, ann: Visitor, cluster: Cluster
) -> None:
    assert ann.name == made.ann
    last = ann.start_server()[-1]
    assert last.get("ready"), last
    assert cluster.run("squeue", "--noheader", "--format=%u %P").split() == [made.ann, "main"]
    with ann.kernel() as kernel:
        assert _told(kernel) == {"user": made.ann, "home": str(made.homes / made.ann), "cwd": str(made.homes / made.ann)}
        token = kernel.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'], end='')")
    assert len(token) == 32 and token not in (made.homes / "log").read_text()  # sudo's log
    ann.stop_server()
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "its job is cancelled")


def _told(kernel: Kernel) -> dict[str, str]:
    code = (
        "import getpass, json, os; print(json.dumps({'user': getpass.getuser(), 'home': os.environ['HOME'], 'cwd': os.getcwd()}))"
    )
    found: dict[str, str] = json.loads(kernel.run(code))
    return found


def test_the_hub_itself_is_nobody_special(site: Site, made: Accounts) -> None:
    """What runs as the hub: its account, and no capability of root's."""
    pids = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and _words(path)[1:3] == ["-m", "jupyterhub"] and str(site.folder) in _environment(path)
    ]
    assert pids
    for pid in pids:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert "0" not in status["Uid"].split() and int(status["CapEff"], 16) == 0


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text().split("\0")
    except OSError:
        return []


def _environment(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:
        return ""


def test_who_gets_in(site: Site, made: Accounts, password: str) -> None:
    workshop = site.data.workshop_password
    tried = [
        (made.ann, password, made.ann),
        (made.ann, "wrong", ""),
        (made.ann, "", ""),
        (made.eve, password, ""),  # an account, of no group that may
        ("root", password, ""),
        ("root", "", ""),
        (f"{made.ann}\n", "x", ""),
        (made.bob, workshop, "w-"),  # a name is no proof: with the workshop's password everybody is a new guest
        ("root", workshop, "w-"),
    ]
    for name, typed, expected in tried:
        with Visitor(site.url) as visitor:
            assert visitor.login(name, typed) is bool(expected), (name, typed)
            assert visitor.name.startswith(expected) and (expected != "w-" or visitor.name not in (made.bob, "root"))


def test_a_workshops_guest_of_such_a_hub_reaches_dashboards_alone(site: Site, made: Accounts) -> None:
    with Visitor(site.url) as guest, Visitor(site.url) as other:
        assert guest.login(made.bob, site.data.workshop_password) and other.login("other", site.data.workshop_password)
        assert guest.get("/").url.startswith(f"{site.url}/services/dashboards/")
        for method, path in FORBIDDEN:
            path = path.replace("NAME", guest.name).replace("OTHER", other.name).replace("/owner", f"/{made.ann}")
            answer = guest.call(method, path, None if method == "GET" else {})
            assert answer.status_code in (403, 404), (method, path, answer.text)


def test_admin_pages_are_for_the_admins_of_the_settings(site: Site, made: Accounts, password: str, ann: Visitor) -> None:
    assert ann.get("/hub/admin").status_code == 403
    assert ann.call("GET", "/hub/api/users").status_code == 403
    with Visitor(site.url) as admin:
        assert admin.login(made.bob, password)
        assert admin.get("/hub/admin").status_code == 200


def test_unix_groups_are_groups_of_the_hub(made: Accounts, ann: Visitor) -> None:
    groups = ann.call("GET", "/hub/api/user").json()["groups"]
    assert {made.group, "emkit:members"} <= set(groups)


def test_the_first_page_says_which_password(site: Site) -> None:
    with Visitor(site.url) as visitor:
        text = visitor.get("/hub/login").text
    assert (
        "password of your account on this system" in text and "Attendees of a workshop" in text and "Owner's password" not in text
    )
