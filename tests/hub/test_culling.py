"""Real servers of a real hub with short limits: what works is kept, however silent; what does not is stopped."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from emkit_hub import proxy
from emkit_hub.culling import Culling, Limits
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.settings import Settings
from emkit_hub.visitor import Visitor

IDLE_S = 2
SETTINGS = """
named_servers = 8
[profiles.small]
title = "Small"
[profiles.waits]
title = "Waits"
environment = { EMKIT_TEST = "wait" }
[lab]
notebook = ""
prologue = '[[ ${EMKIT_TEST:-} != wait ]] || until [[ -e $HOME/go ]]; do sleep 0.1; done'
[dashboards]
pool = 0
"""
CULLING = f"""
[culling]
idle = "0:00:{IDLE_S:02}"
every_s = 1
terminals = "running"
"""


class Owner(Visitor):
    """The owner's named servers."""

    def start(self, *names: str, profile: str = "small") -> None:
        for name in names:
            asked = self.call("POST", f"/hub/api/users/owner/servers/{name}", {"profile": profile})
            assert asked.status_code in (201, 202), asked.text

    def until_ready(self, *names: str) -> None:
        for name in names:
            self.until(lambda name=name: self.servers[name]["ready"], f"{name} is ready")
            self.get(f"/user/owner/{name}/lab")  # the server's own login: its cookies

    @property
    def servers(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", "/hub/api/users/owner").json()["servers"]
        return found

    def ask(self, server: str) -> dict[str, Any]:
        """What a server tells of itself."""
        answer = self.get(f"/user/owner/{server}/api/emkit/activity")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def at(self, server: str, method: str, path: str, body: object = None) -> requests.Response:
        """A request to the API of a server."""
        below = f"/user/owner/{server}/"
        headers = {"X-XSRFToken": self.cookie("_xsrf", below), "Referer": self.url + below, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        return self.session.request(method, f"{self.url}{below}{path}", data=data, headers=headers, timeout=60)

    def channel(self, server: str, path: str) -> websocket.WebSocket:
        below = f"/user/owner/{server}/"
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.session.cookies if below.startswith(one.path))
        address = f"{self.url.replace('http', 'ws', 1)}{below}{path}"
        return websocket.create_connection(address, cookie=cookies, origin=self.url, timeout=60)

    def until(self, condition: Any, what: str) -> None:
        last = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < last, (what, self.servers)
            time.sleep(0.1)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    (tmp_path / "site.toml").write_text(SETTINGS)
    data = DataFolder(tmp_path / "data")
    data.prepare()
    proxy.install()
    running = RunningHub(data, free_ports(1)[0], environment={"EMKIT_SETTINGS": str(tmp_path / "site.toml")})
    asyncio.run(running.__aenter__())
    yield running
    asyncio.run(running.stop())


async def begin_culling(hub: RunningHub) -> None:
    """From now on, with everything in place however slow the machine: another hub takes over the servers."""
    file = Path(hub.environment["EMKIT_SETTINGS"])
    file.write_text(file.read_text() + CULLING)
    await hub.services.cancel(hub.job("hub"))
    await hub.start_hub()


def execute(channel: websocket.WebSocket, code: str) -> None:
    """Hand code to a kernel, and do not wait for its end."""
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "1", "version": "5.3", "date": ""}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
    channel.send(json.dumps(message))


def terminal(owner: Owner, server: str, typed: str) -> websocket.WebSocket:
    made = owner.at(server, "POST", "api/terminals", {})
    assert made.status_code == 200, made.text
    channel = owner.channel(server, f"terminals/websocket/{made.json()['name']}")
    if typed:
        channel.send(json.dumps(["stdin", f"{typed}\r"]))
    return channel


SPIN = """
import threading
spins = True
def spin():
    while spins: pass
threading.Thread(target=spin, daemon=True).start()
"""


@pytest.mark.hub
@pytest.mark.timeout(600)  # four servers start on a machine that may be slow
def test_what_works_is_kept_and_what_does_not_is_stopped(hub: RunningHub) -> None:
    works, rests = {"kernel", "terminal"}, {"idle"}
    with Owner(hub.url) as owner:
        assert owner.login("owner", hub.folder.owner_password)
        owner.start(*works, *rests)
        owner.until_ready(*works, *rests)
        owner.start("queued", profile="waits")
        kernels = {name: owner.at(name, "POST", "api/kernels", {}).json()["id"] for name in ("kernel", "idle")}
        channels = {name: owner.channel(name, f"api/kernels/{kernel}/channels") for name, kernel in kernels.items()}
        execute(channels["kernel"], "import time; time.sleep(1000)")  # silent, and no load
        execute(channels["idle"], SPIN)  # as a step runs: its kernel is idle meanwhile
        owner.until(lambda: owner.ask("idle")["processes"], "a thread of a kernel is seen at work")
        assert owner.ask("idle")["kernels"] == []
        execute(channels["idle"], "spins = False")
        owner.until(lambda: not owner.ask("idle")["processes"], "and at rest")
        shells = [terminal(owner, "terminal", "sleep 1000"), terminal(owner, "idle", "")]  # the other stands at its prompt
        asyncio.run(begin_culling(hub))

        owner.until(lambda: owner.ask("idle")["idle_s"] > IDLE_S + 3, "it is idle for too long")
        assert set(owner.servers) == {*works, *rests, "queued"}  # for the one who has a server in the queue, nothing is stopped
        (hub.folder.home / "go").touch()

        def stopped() -> bool:
            servers = owner.servers
            if "idle" in servers:
                owner.at("idle", "GET", "api/kernels")  # an open page of JupyterLab asks so, every few seconds
            return not {*rests, "queued"} & set(servers)

        owner.until(stopped, "what does not work is stopped")
        assert owner.ask("kernel")["kernels"] == [kernels["kernel"]]
        assert owner.ask("terminal")["terminals"] == {"open": 1, "running": 1}
        owner.until(lambda: owner.ask("terminal")["idle_s"] > IDLE_S + 3, "looks more have passed")
        assert set(owner.servers) == works
        for channel in (*channels.values(), *shells):
            channel.close()


NOW = datetime(2026, 1, 2, tzinfo=UTC)
RESTS = {"kernels": [], "terminals": {"open": 0, "running": 0}, "processes": [], "idle_s": 7200.0}


def culling(terminals: str = "open") -> Culling:
    text = f"""
        {{"servers_url": "http://127.0.0.1:1", "every_s": 60, "terminals": "{terminals}", "limits": {{
            "first": {{"idle": 3600, "age": null}}, "never": {{"idle": null, "age": null}}, "day": {{"idle": null, "age": 80000}}
        }}}}"""
    return Culling.model_validate_json(text)


@pytest.mark.parametrize(
    ("profile", "told", "said"),
    [
        (None, RESTS, "did nothing for 2:00:00, and its profile allows 1:00:00"),
        ("first", RESTS, "did nothing"),
        ("gone from the settings", RESTS, "did nothing"),
        ("never", RESTS, ""),
        ("day", RESTS, "is 1 day, 0:00:00 old"),
        ("day", {**RESTS, "kernels": ["a"]}, "is 1 day"),
        ("first", {**RESTS, "kernels": ["a"]}, ""),
        ("first", {**RESTS, "processes": ["make"]}, ""),
        ("first", {**RESTS, "terminals": {"open": 1, "running": 0}}, ""),
        ("first", {**RESTS, "idle_s": 3599.0}, ""),
        ("first", None, "did nothing for 4:00:00"),  # the hub's own word, from a server without our extension
    ],
)
def test_the_verdict_on_one_server(profile: str | None, told: Mapping[str, Any] | None, said: str) -> None:
    server = {
        "user_options": {} if profile is None else {"profile": profile},
        "started": (NOW - timedelta(days=1)).isoformat(),
        "last_activity": (NOW - timedelta(hours=4)).isoformat(),
    }
    verdict = culling().verdict(server, told, NOW)
    assert (said in verdict) if said else verdict == ""


def test_an_open_terminal_at_its_prompt_counts_as_the_site_says() -> None:
    told = {**RESTS, "terminals": {"open": 1, "running": 0}}
    assert culling("open").works(told) and not culling("running").works(told)


def test_a_profile_says_it_for_itself() -> None:
    settings = Settings.model_validate(
        {
            "culling": {"idle": "2:00:00", "age": "1-0"},
            "profiles": {"a": {"title": "A"}, "b": {"title": "B", "idle": "30", "age": "0"}, "c": {"title": "C", "idle": "0"}},
        }
    )
    found = Culling.of(settings, "http://127.0.0.1:1")
    assert found is not None
    assert found.limits["a"] == Limits(idle=timedelta(hours=2), age=timedelta(days=1))
    assert found.limits["b"] == Limits(idle=timedelta(minutes=30), age=None)
    assert found.limits["c"] == Limits(idle=None, age=timedelta(days=1))
    assert Culling.of(Settings(), "http://127.0.0.1:1") is None
