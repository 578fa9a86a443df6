"""A hub that is not root, its dashboards under another account: guests reach them, and they reach no secret of the hub."""

import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from emkit_hub.apart import token
from emkit_hub.settings import SettingsError
from emkit_hub.visitor import Visitor

from tests.hub.site import Site, running
from tests.slurm.accounts import Accounts, accounts, open_folder

SETTINGS = """
one_account = false
dashboards_token_file = "{token}"
[dashboards]
pool = 0
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Accounts]:
    with open_folder() as folder, accounts(folder, {}) as found:
        yield found


@pytest.fixture(scope="module")
def site(made: Accounts) -> Iterator[Site]:
    (folder := made.homes / "site").mkdir()
    (shared := folder / "token").touch(mode=0o640)
    shared.write_text(secrets.token_hex(32))
    shutil.chown(shared, made.hub, made.eve)
    with running(Site(folder, SETTINGS.format(token=shared), account=made.hub)) as found:
        yield found


@pytest.mark.hub
def test_guests_reach_dashboards_of_another_account(site: Site, made: Accounts) -> None:
    theirs = Site(site.folder, site.settings, account=made.eve, port=site.port)
    with theirs.process("dashboards", sys.executable, "-m", "emkit_hub.command", "dashboards") as process:
        with Visitor(site.url) as guest:
            assert guest.login("ann", site.data.workshop_password)
            last = time.monotonic() + 120
            while (answer := guest.get("/services/dashboards/")).status_code != 200:
                assert process.poll() is None and time.monotonic() < last, (answer, (site.folder / "dashboards.log").read_text())
                time.sleep(0.2)
            assert guest.name in answer.text and "align_sections" in answer.text and "One-account mode" not in answer.text
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{_number(made.eve)}\t" in status
        command = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert "emkit_hub.dashboards" in command and (site.folder / "token").read_text() not in command


def _number(name: str) -> str:
    return subprocess.run(["id", "-u", name], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.hub
def test_their_account_reads_no_secret_and_their_token_opens_nothing(site: Site, made: Accounts) -> None:
    for file in (*(site.data.path / "secrets").iterdir(), site.data.database):
        done = subprocess.run(["cat", str(file)], user=made.eve, group=made.eve, extra_groups=(), capture_output=True)
        assert done.returncode != 0 and done.stdout == b"", file
    headers = {"Authorization": f"token {(site.folder / 'token').read_text()}"}
    for path in ("users", "users/owner", "groups", "proxy"):
        assert requests.get(f"{site.url}/hub/api/{path}", headers=headers, timeout=60).status_code in (403, 404), path


def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    with pytest.raises(SettingsError, match="holds 5 characters, and 32 are needed"):
        token(tmp_path / "token")
    with pytest.raises(SettingsError, match="cannot be read"):
        token(tmp_path / "none")
