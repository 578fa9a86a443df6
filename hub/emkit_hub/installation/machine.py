"""What `emkit-hub check` looks at on the hub's own host."""

import os
import pwd
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import requests
from jupyterhub.orm import DatabaseSchemaMismatch, check_db_revision
from packaging.version import Version
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from emkit_hub import proxy
from emkit_hub.config import HOST, LAB_CONFIG, database_url, template_folders
from emkit_hub.data_folder import DataFolder
from emkit_hub.installation.finding import Finding, good, note, wrong
from emkit_hub.settings import Settings

# Below these each has a weakness that is known in public.
FLOORS = {"jupyterhub": "6.1", "jupyter-server": "2.20", "jupyterlab": "4.5.7", "jupyter-server-proxy": "4.2", "voila": "0.5.6"}
OPTIONAL = {"jupyter-server-proxy"}
PACKAGES = ("emkit", "emkit_hub", "emkit_jobs", "emkit_spawner", "jupyterhub", "jupyterlab")
PATIENCE_S = 10


def versions(settings: Settings, folder: DataFolder) -> Iterator[Finding]:
    for name, floor in FLOORS.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name not in OPTIONAL:
                yield wrong(
                    f"version: {name}", "not installed", "Install emkit with its hub: pip install -c constraints.txt '.[hub]'"
                )
            continue
        if Version(found) < Version(floor):
            yield wrong(f"version: {name}", f"{found} has a known weakness; {floor} is needed", f"pip install -U '{name}>={floor}'")
        else:
            yield good(f"version: {name}", f"{found}, at least {floor} needed")


def secrets_closed(settings: Settings, folder: DataFolder) -> Iterator[Finding]:
    """Whether what only the hub may read is closed to everybody else."""
    if not folder.path.exists():
        yield note("secrets", f"none made yet in {folder.path}")
        return
    if not os.access(folder.path, os.X_OK):
        yield wrong(
            "secrets",
            f"{folder.path} cannot be entered by {account()}",
            f"Run this check as the hub's account: sudo -u HUB emkit-hub check, or: chown -R {account()} {folder.path}",
        )
        return
    files = [folder.path / "secrets", *sorted((folder.path / "secrets").glob("*"))]
    named = [settings.login.client_secret_file, settings.network.key, settings.dashboards_token_file]
    if settings.database:
        named += [Path(str(file)) for file in [make_url(settings.database).query.get("passfile")] if file]
    else:
        named.append(folder.database)
    named += [folder.path / name for name in ("jobs", "services")]
    seen = 0
    for file in [*files, *filter(None, named)]:
        try:
            found = file.stat()
        except FileNotFoundError:
            if file in (settings.login.client_secret_file, settings.network.key, settings.dashboards_token_file):
                yield wrong(f"secret: {file}", "does not exist", "Make it, mode 0600, or take its name out of the settings.")
            continue  # the hub makes the others at its first start
        except PermissionError:
            yield wrong(f"secret: {file}", f"{account()} cannot look at it", f"chown {account()} {file}")
            continue
        seen += 1
        mode = stat.S_IMODE(found.st_mode)
        shared = file == settings.dashboards_token_file  # with the group of the dashboards' account
        if mode & (0o037 if shared else 0o077):
            closed = "0700" if stat.S_ISDIR(found.st_mode) else "0640" if shared else "0600"
            yield wrong(f"secret: {file}", f"mode {mode:04o}: others may read it", f"chmod {closed} {file}")
        elif found.st_uid != os.geteuid():
            yield wrong(f"secret: {file}", f"owned by {_name(found.st_uid)}, not {account()}", f"chown {account()} {file}")
    yield good("secrets", f"{seen} files and folders of {account()} looked at") if seen else note("secrets", "none made yet")


def python_for_all(settings: Settings, folder: DataFolder) -> Iterator[Finding]:
    """Whether other accounts can run this Python with its packages: every folder on the way open to pass, every file to read."""
    places = {
        Path(sys.executable),
        Path(sys.executable).resolve(),
        Path(sys.prefix),
        LAB_CONFIG,
        *template_folders(settings, folder),
    }
    for name in PACKAGES:
        if (spec := find_spec(name)) is not None and spec.origin is not None:
            places.add(Path(spec.origin))
    if settings.one_account:
        yield note("Python for all", "one-account mode: only the hub's own account runs it")
        return
    closed = sorted(set(closed_to_others(places)))
    if closed:
        yield wrong(
            "Python for all",
            f"other accounts cannot pass or read {', '.join(map(str, closed))}",
            "Install into a folder such as /opt/emkit, from a Python that all accounts can run, never below a closed home; "
            f"or: chmod o+rX {closed[0]}",
        )
    else:
        yield good("Python for all", f"{sys.executable} and its packages are open to every account")


def closed_to_others(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        for above in place.parents:
            if not above.stat().st_mode & stat.S_IXOTH:
                yield above
        mode = place.stat().st_mode
        needed = stat.S_IROTH | (stat.S_IXOTH if place.is_dir() or os.access(place, os.X_OK) else 0)
        if mode & needed != needed:
            yield place


def proxy_answers(settings: Settings, folder: DataFolder) -> Iterator[Finding]:
    if not proxy.installed():
        yield wrong("proxy", f"{proxy.PACKAGE} {proxy.VERSION} is not installed", "emkit-hub proxy --install")
        return
    if not folder.prepared:
        yield wrong(
            "proxy", f"was never started with the data folder {folder.path}", "systemctl start emkit-proxy (or: emkit-hub proxy)"
        )
        return
    try:
        url = f"http://{HOST}:{folder.ports()['proxy_api']}/api/routes"
        token = folder.secret_file("proxy-token").read_text().strip()
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(url, headers={"Authorization": f"token {token}"}, timeout=PATIENCE_S)
    except requests.RequestException:
        yield wrong("proxy", f"does not answer at {url}", "Start it: systemctl start emkit-proxy (or: emkit-hub proxy)")
    except OSError as error:
        yield wrong("proxy", f"{error.filename} cannot be read: {error.strerror}", "Run this check as the hub's account.")
    else:
        if answer.status_code == 200:
            yield good("proxy", f"answers at {url} with {len(answer.json())} routes")
        else:
            yield wrong(
                "proxy",
                f"something at {url} refuses this hub's token ({answer.status_code})",
                "Another hub's proxy? End it, or use another data folder. After a change of the token restart the proxy.",
            )


def database(settings: Settings, folder: DataFolder) -> Iterator[Finding]:
    """Reachable, writable, and of the version that this JupyterHub wants."""
    if not settings.database and not folder.database.is_file():
        yield note("database", f"{folder.database} is not there yet: the hub makes it at its first start")
        return
    address = database_url(settings, folder)
    shown = make_url(address).render_as_string(hide_password=True)
    try:
        engine = create_engine(address)
        name = f"emkit_check_{secrets.token_hex(4)}"
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {name} (number INTEGER)"))
            connection.execute(text(f"DROP TABLE {name}"))
        empty = "users" not in inspect(engine).get_table_names()
        if not empty:  # it would stamp an empty one, and a check writes nothing that stays
            check_db_revision(engine)
    except ImportError as error:
        yield wrong("database", f"{shown}: its driver is missing ({error})", "pip install -c constraints.txt '.[postgres]'")
    except DatabaseSchemaMismatch:
        yield wrong(
            "database",
            f"{shown}: made by another version of JupyterHub",
            "Make a copy of it, then: emkit-hub upgrade-db (docs: Operate a hub, Upgrade)",
        )
    except SQLAlchemyError as error:
        said = re.split(r"\n\[SQL|\n\(Background", str(error))[0].strip().replace("\n", " ")
        yield wrong("database", f"{shown}: {said}", "Is it running, may the hub's account enter and make tables, is there space?")
    else:
        yield good("database", f"{shown}: reachable, writable, {'empty' if empty else 'of this version'}")
        engine.dispose()


def account() -> str:
    return _name(os.geteuid())


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
