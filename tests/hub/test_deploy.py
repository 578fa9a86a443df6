"""What an operator copies: the units are valid, the settings on the pages are accepted, a backup brings everything back."""

import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import requests
from emkit_hub import proxy
from emkit_hub.backup import BackupError, backup
from emkit_hub.data_folder import DataFolder
from emkit_hub.settings import Settings

from tests.hub.site import Site

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "hub" / "deploy"
PAGES = [
    ROOT / "docs" / part
    for part in ("howto/operate.md", "howto/choose-a-login.md", "howto/watch-a-hub.md", "reference/settings.md")
]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    if not (Path(sys.prefix) / "bin" / "emkit-hub").exists():
        pytest.skip("emkit-hub is not installed beside this Python")
    units = [*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")]
    for unit in units:
        text = unit.read_text().replace("/opt/emkit/.venv", sys.prefix).replace("/opt/emkit/", f"{ROOT}/")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True, timeout=120)
    own = [line for line in done.stderr.splitlines() if "emkit" in line]
    assert len(units) == 5 and done.returncode == 0 and own == [], done.stderr


@pytest.mark.hub
def test_the_proxy_holds_the_certificate_where_no_web_server_does(tmp_path: Path) -> None:
    proxy.install()
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=x",
        ]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")],
        check=True,
        capture_output=True,
    )
    names = {"certificate": tmp_path / "certificate", "key": tmp_path / "key", "public_url": "https://127.0.0.1"}
    lines = "\n".join(f'{name} = "{value}"' for name, value in names.items())
    site = Site(tmp_path, "", network=lines, scheme="https", trusted=str(names["certificate"]))
    site.write()
    with site.proxy():
        answer = requests.get(site.url, verify=site.trusted, timeout=60)
        assert answer.status_code == 503  # there is no hub behind it
        process = next(path for path in Path("/proc").glob("[0-9]*") if _is_proxy(path, site))
        assert site.data.proxy_token not in (process / "cmdline").read_text()


def _is_proxy(process: Path, site: Site) -> bool:
    try:
        return "configurable-http-proxy" in (words := (process / "cmdline").read_text()) and f"\0{site.port}\0" in words
    except OSError:
        return False


def test_the_pages_name_files_that_are_there() -> None:
    named = {name for page in PAGES for name in re.findall(r"hub/deploy/([\w.-]+\.\w+)", page.read_text())}
    assert len(named) >= 4 and [name for name in named if not (DEPLOY / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_on_the_pages_are_accepted(page: Path) -> None:
    found = re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.M | re.S)
    assert found
    for text in found:
        Settings.model_validate(tomllib.loads(text))


def made(folder: Path) -> DataFolder:
    """A data folder in use: somebody writes to its database."""
    data = DataFolder(folder / "data")
    data.prepare()
    with sqlite3.connect(data.database) as database:
        database.execute("CREATE TABLE users (name TEXT)")
        database.execute("INSERT INTO users VALUES ('ann')")
    database.close()
    return data


def test_a_backup_holds_what_a_hub_cannot_be_without(tmp_path: Path) -> None:
    data = made(tmp_path)
    (tmp_path / "site.toml").write_text("title = 'x'\n")
    (store := tmp_path / "store").mkdir()
    writer = sqlite3.connect(data.database)
    writer.execute("INSERT INTO users VALUES ('not yet')")  # a hub at work: its transaction is open
    copy = backup(Settings(), tmp_path / "site.toml", data, store)
    writer.close()
    assert [path.name for path in store.iterdir()] == [copy.name]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    for file in ("site.toml", "ports.json", "secrets/owner-password", "secrets/proxy-token"):
        assert (copy / file).is_file(), file
    assert (copy / "secrets" / "proxy-token").read_text().strip() == data.proxy_token
    reader = sqlite3.connect(copy / "hub.sqlite")
    assert reader.execute("SELECT name FROM users").fetchall() == [("ann",)]
    reader.close()


def test_a_backup_that_fails_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    data = made(tmp_path)
    with pytest.raises(BackupError, match="No backup was made"):
        backup(Settings(), None, data, tmp_path / "not there")
    (store := tmp_path / "store").mkdir()
    with pytest.raises(BackupError):
        backup(Settings(database="mysql://emkit@127.0.0.1/emkit"), None, data, store)
    assert list(store.iterdir()) == []
