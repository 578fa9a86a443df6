"""What people do: they change their mind, come all at once, stay too long, break their own shell, and send anything."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.faults.clusters import OneHost
from tests.faults.contenders import Contender
from tests.faults.site import Broken, Person, Site, check_clear

pytestmark = pytest.mark.hub
CROWD, SAMPLE = 100, 15  # people at once, in a campaign and in an ordinary run
TOO_LONG = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)  # how the proxy takes a megabyte of address
HOSTILE = (
    "$(touch canary)",
    "`touch canary`",
    "; touch canary #",
    "'; touch canary; '",
    "a\n#SBATCH --wrap=id\ntouch canary\n",
    "{{ cycler.__init__.__globals__.os.system('touch canary') }}",
    "--wrap=touch canary",
    "../../../../etc/passwd",
    "ünï\u202ecöde\u2028\U0001f600",
    "a\x00b\x1b[31mc\x7f",
    "x" * 2**20,
)


@pytest.fixture
def hostile(site: Site) -> Iterator[str]:
    """One text after the other, and after each a look whether it was run as a command: then there is a file.

    In small letters and without a slash: JupyterHub lets nothing else into a user's name.
    """

    def texts() -> Iterator[str]:
        for text in HOSTILE:
            yield text
            if left := [*site.folder.rglob("canary*")]:
                for file in left:
                    file.unlink()
                raise Broken(f"run as a command: {text[:80]!r}")

    return texts()


@pytest.mark.parametrize("phase", ["submitting", "queued", "starting", "up"])
def test_cancel_races_start(site: Site, phase: str) -> None:
    """Cancel racing start"""
    ann = site.person()
    ann.on_start.write_text("wait")
    asked = len(site.faults.calls("sbatch"))
    if phase == "submitting":
        with site.faults.holding("sbatch"):
            ann.press_start()
            site.until(lambda: len(site.faults.calls("sbatch")) > asked, "sbatch is called")
            ann.stop()
    else:
        ann.press_start(site.contender.queued if phase == "queued" else None)
        site.until(lambda: ann.state() == ("PENDING" if phase == "queued" else "RUNNING"), "the job is there")
        if phase == "up":
            ann.on_start.unlink()  # it comes up while it is cancelled
        ann.stop()
    ann.on_start.unlink(missing_ok=True)
    site.no_orphans()
    ann.is_not_stuck(site.contender.open)


def test_job_cancelled_by_an_operator(site: Site) -> None:
    """Job cancelled behind the hub's back"""
    ann = site.person()
    before = ann.start()
    site.cluster.run("scancel", before.job)
    ann.ends()
    ann.is_not_stuck()


def test_walltime(site: Site) -> None:
    """Walltime reached"""
    ann = site.person()
    before = ann.start()
    site.cluster.run("scontrol", "update", f"JobId={before.job}", "EndTime=now")
    ann.ends()
    site.no_orphans()
    ann.is_not_stuck()


@pytest.mark.timeout(900)
def test_crowd(site: Site, campaign: bool) -> None:
    """100 users press Start at once"""
    people = [site.person() for _ in range(CROWD if campaign else SAMPLE)]
    with ThreadPoolExecutor(len(people)) as pool:
        told = list(pool.map(Person.refused, people))
        assert [why for why in told if why is not None] == []
        seen = list(pool.map(Person.found, people))
        assert len({one.process for one in seen}) == len(people)
        list(pool.map(Person.stop, people))
    site.no_orphans()


def test_hostile_user_name(site: Site, hostile: Iterator[str]) -> None:
    """User name hostile: shell, newline, Unicode, 1 MB"""
    for name in hostile:
        made = site.api.call("POST", "/users", {"usernames": [name]})
        with suppress(*TOO_LONG):
            if made.status_code == 201:
                eve = Person(site, made.json()[0]["name"])
                told = eve.refused()
                if told is not None:
                    check_clear(told, "")
                assert eve.call("DELETE", "").status_code == 204
        site.no_orphans()
    site.person().is_not_stuck()


def test_hostile_server_name(site: Site, hostile: Iterator[str]) -> None:
    """Server name hostile"""
    ann = site.person()
    for name in hostile:
        named = Person(site, ann.name, name)
        with suppress(*TOO_LONG):
            told = named.refused()
            if told is None:  # a name that JupyterHub takes is a name like any other
                named.found()
                named.stop()
            else:
                check_clear(told, "")
    site.no_orphans()
    ann.is_not_stuck()


def test_hostile_options(site: Site, hostile: Iterator[str]) -> None:
    """Options hostile, in every field"""
    ann = site.person()
    for value in hostile:
        for field in (*site.contender.fields, value):
            told = ann.refused({field: value})
            if told is None:  # a value that is ignored does no harm
                ann.found()
                ann.stop()
            else:
                check_clear(told, "")
    site.no_orphans()
    ann.is_not_stuck()


def test_hostile_report(site: Site, hostile: Iterator[str]) -> None:
    """A job's report hostile, in every field"""
    ann, bob = site.person(), site.person()
    before, bobs = ann.start(), bob.start()
    token = token_of(ann)
    for value in hostile:
        fields = ("port", "job", "cmd", "exec_prefix", "batch_query_cmd", "batch_cancel_cmd", "ip", "user", value)
        for body in (value, [value], *({"job": "x", field: value} for field in fields)):
            site.api.call("POST", site.contender.route, body, token)
    bob.keeps(bobs)
    bob.is_not_stuck()
    ann.keeps(before)
    ann.is_not_stuck()


def token_of(person: Person) -> str:
    """The token that the person's job holds: the person can read it, so it is the person's to misuse."""
    return str(requests.get(f"{person.site.api.url}/user/{person.name}/", timeout=30).json()["JUPYTERHUB_API_TOKEN"])


# --- an account of its own, whose shell is broken


@pytest.fixture(scope="module")
def account(site_folder: Path) -> Iterator[pwd.struct_passwd]:
    """A Unix account whose login prints, and then fails."""
    (home := site_folder / "account").mkdir(mode=0o700)
    name = f"emkit-faults{os.getpid()}"
    subprocess.run(["useradd", "--home-dir", str(home), "--no-create-home", "--shell", "/bin/bash", name], check=True)
    try:
        found = pwd.getpwnam(name)
        shutil.chown(home, name)
        for file in (".bash_profile", ".profile", ".bashrc", ".bash_login"):
            (home / file).write_text("echo 'Welcome to the cluster!'; printf '\\033[2J'; echo PATH=/nowhere; false; exit 3\n")
        yield found
    finally:
        subprocess.run(["userdel", name], check=True)


def test_shell_profile(account: pwd.struct_passwd, contender: Contender, cluster: OneHost, site_folder: Path) -> None:
    """A user's shell profile prints and fails"""
    python = ["sudo", f"--user={account.pw_name}", sys.executable, "-c", "import emkit_spawner.singleuser, batchspawner.singleuser"]
    if subprocess.run(python, cwd="/", stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"other accounts cannot run {sys.executable}")
    site = Site(site_folder / "profile", cluster, contender.as_the_user())
    try:
        site.start()
        ann = site.person(account.pw_name)
        ann.start()
        ann.is_not_stuck()
        site.clean()
    finally:
        site.stop()
