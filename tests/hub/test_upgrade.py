"""A hub with its database in a real PostgreSQL, and its upgrade while a session runs: session, kernel and login stay."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from emkit_hub import proxy
from emkit_hub.data_folder import free_ports
from emkit_hub.visitor import Visitor
from emkit_jobs.processes import carrying

from tests.hub.postgres import postgres
from tests.hub.site import Site
from tests.hub.test_survival import ready
from tests.slurm.accounts import open_folder

pytestmark = pytest.mark.hub

SETTINGS = """
database = "{database}"
title = "Before"
[profiles.small]
title = "Small"
[lab]
notebook = ""
[dashboards]
pool = 0
"""


@pytest.fixture(scope="module", params=["postgresql", pytest.param("sqlite", marks=pytest.mark.campaign)])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    proxy.install()
    with open_folder() as folder, ExitStack() as stack:
        address = stack.enter_context(postgres(folder)) if request.param == "postgresql" else ""
        # as nodes see a hub: at another address than people do, and at a port that a firewall's rule can name
        network = f'hub_address = "127.0.0.2"\nhub_port = {free_ports(1)[0]}'
        made = Site(folder, SETTINGS.format(database=address), network=network)
        made.write()
        stack.enter_context(made.proxy())
        yield made


def emkit_hub(site: Site, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "emkit_hub.command", *words, "--settings", str(site.folder / "site.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def age(site: Site) -> None:
    """Give the database the form that the version of JupyterHub before had, by JupyterHub's own migrations."""
    (folder := site.folder / "older").mkdir(exist_ok=True)
    (folder / "jupyterhub_config.py").write_text(f"c = get_config()\nc.JupyterHub.db_url = {address(site)!r}\n")
    command = [sys.executable, "-m", "jupyterhub.dbutil", "alembic", "downgrade", "-1"]
    environment = {"PATH": str(Path(sys.executable).parent)}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)


def address(site: Site) -> str:
    (line,) = [line for line in site.settings.splitlines() if line.startswith("database")]
    return line.split('"')[1] or f"sqlite:///{site.data.database}"


def test_an_upgrade_keeps_session_kernel_and_login(site: Site) -> None:
    with Visitor(site.url) as owner:
        with site.hub():
            assert owner.login("owner", site.data.owner_password)
            assert owner.start_server()[-1]["ready"]
            (job,) = [path.name for path in site.data.jobs.iterdir()]
            code, said = emkit_hub(site, "check")
            assert code == 0 and "reachable, writable, of this version" in said, said
            with owner.kernel() as kernel:
                kernel.run("kept = 41")
                assert kernel.run("import os; print(os.environ['JUPYTERHUB_API_URL'])").startswith("http://127.0.0.2:")
        with owner.kernel(kernel.id) as again:
            assert again.run("print(kept + 1)") == "42\n"  # there is no hub now
        code, said = emkit_hub(site, "backup", str(site.folder))
        assert code == 0 and {path.suffix for path in Path(said).iterdir()} >= {".toml", ".json"}, said
        assert [path.stat().st_size > 1000 for path in Path(said).glob("hub.*")] == [True]
        age(site)
        code, said = emkit_hub(site, "check")
        assert code == 1 and "made by another version of JupyterHub" in said and "emkit-hub upgrade-db" in said
        with pytest.raises(RuntimeError, match="upgrade"), site.hub():
            pass  # a hub that went on with such a database would damage it
        site.settings = site.settings.replace("Before", "After")
        site.write()
        code, said = emkit_hub(site, "upgrade-db")
        assert code == 0 and "The database is of this version." in said, said
        with site.hub():
            assert ready(owner)  # the same cookies: nobody logs in anew
            assert [path.name for path in site.data.jobs.iterdir()] == [job] and carrying(job)
            assert "After" in owner.get("/hub/home").text
            with owner.kernel(kernel.id) as again:
                assert again.run("print(kept + 2)") == "43\n"
            owner.stop_server()
            assert not carrying(job)
