"""A real hub whose users may all have servers: Ann, Bob and the admin; `hub` lives as long as the run."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from emkit_hub import proxy
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor

SETTINGS = """
one_account = false
named_servers = 2

[login]
method = "oauth"
authenticator = "dummy"
everybody = true
admins = ["boss"]

[profiles.small]
title = "Small"
cpus = 1
memory_mb = 2000
runtime = "2:00:00"

[lab]
notebook = ""
home = "{home}"

[dashboards]
pool = 0

[overview]
file_systems = ["/", "/not/there"]
tick_s = 0.5
"""

LogIn = Callable[[str], Visitor]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    path: Path = tmp_path_factory.mktemp("overview")
    (path / "homes").mkdir()
    (path / "site.toml").write_text(SETTINGS.format(home=path / "homes"))
    folder = DataFolder(path / "data")
    folder.prepare()
    proxy.install()
    running = RunningHub(folder, free_ports(1)[0], environment={"EMKIT_SETTINGS": str(path / "site.toml")})
    asyncio.run(running.__aenter__())
    yield running
    asyncio.run(running.stop())


@pytest.fixture
def log_in(hub: RunningHub) -> Iterator[LogIn]:
    """`log_in("ann")` is a visitor with Ann's cookies, those of the overview among them."""
    with ExitStack() as leaving:

        def log_in(name: str) -> Visitor:
            visitor = leaving.enter_context(Visitor(hub.url))
            assert visitor.login(name, "any")
            assert visitor.get("/services/overview/").status_code == 200
            return visitor

        yield log_in


@pytest.fixture
def ann(log_in: LogIn) -> Visitor:
    return log_in("ann")


@pytest.fixture
def boss(log_in: LogIn) -> Iterator[Visitor]:
    """The admin; no announcement is left behind."""
    visitor = log_in("boss")
    yield visitor
    for one in visitor.call("GET", "/services/overview/api/announcements").json():
        visitor.call("DELETE", f"/services/overview/api/announcements/{one['id']}")
