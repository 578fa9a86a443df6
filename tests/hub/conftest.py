"""A real hub with its proxy on a free port, for the whole run; the job of the profile `dies` ends before its server is up."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from emkit_hub import proxy
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor

SETTINGS = """
announcement = "This hub is a test."

[profiles.machine]
title = "This machine"
limits = { cpus = 64, memory_mb = 100000 }

[profiles.dies]
title = "Dies"
environment = { EMKIT_TEST = "die" }

[profiles.waits]
title = "Waits"
environment = { EMKIT_TEST = "wait" }

[lab]
notebook = ""
prologue = '''
case ${EMKIT_TEST:-} in
    die) echo "no licence <b>left</b> on this node"; exit 9 ;;
    wait) until [[ -e $HOME/go ]]; do sleep 0.1; done ;;
esac
'''

[dashboards]
pool = 0
"""


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    path: Path = tmp_path_factory.mktemp("hub")
    (path / "site.toml").write_text(SETTINGS)
    folder = DataFolder(path / "data")
    folder.prepare()
    proxy.install()
    running = RunningHub(folder, free_ports(1)[0], environment={"EMKIT_SETTINGS": str(path / "site.toml")})
    asyncio.run(running.__aenter__())
    yield running
    asyncio.run(running.stop())


@pytest.fixture
def owner(hub: RunningHub) -> Iterator[Visitor]:
    """The owner, logged in; without a server before and after."""
    with Visitor(hub.url) as visitor:
        assert visitor.login("owner", hub.folder.owner_password)
        yield visitor
        if visitor.call("GET", "/hub/api/users/owner").json()["servers"]:
            visitor.stop_server()


@pytest.fixture
def guest(hub: RunningHub) -> Iterator[Visitor]:
    with Visitor(hub.url) as visitor:
        assert visitor.login("Ann", hub.folder.workshop_password)
        yield visitor
