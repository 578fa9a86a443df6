"""A site as the matrix needs it: a JupyterHub that can be killed, its proxy apart from it, and a Slurm behind a fault proxy.

The people of the tests run stub servers, whose identity (job, restart, process) tells whether a session was lost.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import requests
from emkit_hub import proxy
from emkit_hub.data_folder import free_ports

from tests.faults.clusters import OneHost
from tests.faults.commands import Faults
from tests.faults.contenders import Contender
from tests.spawner.plain_hub import CONFIG, STUB, TOKEN, PlainHub

UP_WITHIN_S = 90.0
POLL_S = 1  # between two looks of a hub at a server
CLEAR = 2000  # characters: a longer message is not one that a person reads
_TICK_S = 0.05
LINES = """
c.JupyterHub.cleanup_servers = c.JupyterHub.cleanup_proxy = False
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.auth_token = {token!r}
c.JupyterHub.last_activity_interval = 1  # as often it gives a proxy that is new its routes
c.JupyterHub.hub_ip = {ip!r}
c.JupyterHub.db_url = "sqlite:///{database}"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.concurrent_spawn_limit = 200
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}  # every answer comes at once, the outcome by the progress
c.JupyterHub.load_roles[0]["scopes"] += ["admin:server_state", "list:users"]
c.JupyterHub.init_spawners_timeout = 1
c.Spawner.cmd = [{stub!r}]  # batchspawner runs a Python script and nothing else
c.Spawner.start_timeout = {start_timeout_s}
c.Spawner.consecutive_failure_limit = 0
c.Spawner.poll_interval = {poll_s}
c.BatchSpawnerBase.req_partition = "crowd"
c.BatchSpawnerBase.req_memory = "100M"
c.BatchSpawnerBase.req_nprocs = "1"
c.BatchSpawnerBase.req_prologue = {prologue!r}
import os
os.environ.pop("LD_PRELOAD", None)  # a clock of its own is for this process alone, not for its children
"""
# A file of the person's name: a job that dies before its server is up, or that takes its time
PROLOGUE = """
case $(cat {folder}/on-start/"$JUPYTERHUB_USER" 2> /dev/null) in
    die) echo "no licence left"; exit 9 ;;
    wait) while [[ -e {folder}/on-start/$JUPYTERHUB_USER ]]; do sleep 0.1; done ;;
esac
"""


class Seen(NamedTuple):
    """Which process serves: another one is another session."""

    job: str
    restarts: str
    process: int


class Broken(AssertionError):
    """The promise is broken; the text says which part."""


def check_clear(told: str | None, *one_of: str) -> None:
    """The person was told, in a message of a size to read, at least one of these."""
    if told is None or len(told) > CLEAR or not any(word in told.lower() for word in one_of):
        raise Broken(f"no clear message: {told if told is None else told[:80]!r}")


class Site:
    def __init__(self, folder: Path, cluster: OneHost, contender: Contender, *, environment: Mapping[str, str] = {}) -> None:
        self.folder, self.cluster, self.contender = folder, cluster, contender
        self.environment = dict(environment)
        self.faults = Faults(folder / "faults")
        self.database = folder / "database" / "hub.sqlite"
        self.port, self.hub_port, self.proxy_port = free_ports(3)
        self.api = PlainHub(self.port)
        self._token = secrets.token_hex(16)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._people = 0
        for name in ("database", "home", "on-start"):
            (folder / name).mkdir(parents=True)
        (stub := folder / "stub.py").write_text(f"#!{sys.executable}\n{STUB}")
        stub.chmod(0o755)
        (folder / "jupyterhub_config.py").write_text(self._config())

    def _config(self) -> str:
        proxy.install()
        first = CONFIG.format(
            port=self.port, hub_port=self.hub_port, proxy_port=self.proxy_port, proxy=proxy.program(), token=TOKEN,
            python=sys.executable, stub=str(self.folder / "stub.py"),
        )  # fmt: skip
        lines = LINES.format(
            token=self._token, ip=self.cluster.address, database=self.database,
            start_timeout_s=self.contender.start_timeout_s, poll_s=POLL_S,
            prologue=PROLOGUE.format(folder=self.folder), stub=str(self.folder / "stub.py"),
        )  # fmt: skip
        own = self.contender.lines.format(
            conf=self.cluster.environment["SLURM_CONF"], home=str(self.folder / "home"), addresses=self.cluster.nodes,
            singleuser=str(Path(sys.executable).parent / "batchspawner-singleuser"),
        )  # fmt: skip
        return first + lines + own

    # --- its processes

    def start(self) -> None:
        """What does not run yet: the proxy, then the hub."""
        for what, begin in (("proxy", self.start_proxy), ("hub", self.start_hub)):
            if what not in self._processes or self._processes[what].poll() is not None:
                begin()

    def start_proxy(self) -> None:
        hub = f"http://{self.cluster.address}:{self.hub_port}"
        options = ["--ip", "127.0.0.1", "--port", str(self.port), "--api-ip", "127.0.0.1", "--api-port", str(self.proxy_port)]
        command = [*proxy.program(), *options, "--default-target", hub, "--error-target", f"{hub}/hub/error"]
        self._begin("proxy", command, {"CONFIGPROXY_AUTH_TOKEN": self._token})
        self.until(self._proxy_listens, "the proxy listens", UP_WITHIN_S)

    def start_hub(self) -> None:
        """Start it and wait until its pages answer through the proxy."""
        path = os.pathsep.join([str(self.faults.path), str(Path(sys.executable).parent), os.environ["PATH"]])
        self._begin("hub", [sys.executable, "-m", "jupyterhub"], {**self.cluster.environment, **self.environment, "PATH": path})
        self.until(self._hub_answers, "the hub answers", UP_WITHIN_S)

    def kill(self, what: str) -> None:
        """SIGKILL to the hub or to the proxy: to that process alone, as a machine short of memory would."""
        process = self._processes.pop(what)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for what in [*self._processes]:
            process = self._processes.pop(what)
            process.terminate()
            process.wait(60)

    def pid(self, what: str) -> int:
        return self._processes[what].pid

    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def _begin(self, what: str, command: list[str], environment: Mapping[str, str]) -> None:
        with (self.folder / f"{what}.log").open("ab") as log:
            self._processes[what] = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
            )

    def _proxy_listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def _hub_answers(self) -> bool:
        if self._processes["hub"].poll() is not None:
            raise RuntimeError(self.log()[-5000:])
        try:
            return requests.get(f"{self.api.url}/hub/health", timeout=5).ok
        except requests.RequestException:
            return False

    # --- what the promise asks

    def until(self, condition: Callable[[], object], what: str, patience_s: float | None = None) -> None:
        last = time.monotonic() + (patience_s or self.contender.patience_s)
        while not condition():
            if time.monotonic() > last:
                raise Broken(f"{what}: not within {patience_s or self.contender.patience_s:g} s")
            time.sleep(_TICK_S)

    def asked_again(self, times: int) -> None:
        """Wait until squeue was called so many times more."""
        enough = len(self.faults.calls("squeue")) + times
        self.until(lambda: len(self.faults.calls("squeue")) >= enough, "Slurm is asked", 90)

    def jobs(self, *, ended: bool = False) -> set[str]:
        """The jobs that Slurm has and that have not ended, or those too."""
        which = ["--states=all"] if ended else []
        return set(self.cluster.run("squeue", "--noheader", "--all", "--format=%i", *which).split())

    def users(self) -> list[dict[str, Any]]:
        """Everybody, as the hub sees them."""
        answer = self.api.call("GET", "/users")
        if answer.status_code != 200:
            raise Broken(f"the hub cannot list its users any more: {answer.status_code}")
        found: list[dict[str, Any]] = answer.json()
        return found

    def owned(self) -> set[str]:
        """The jobs of the servers that the hub knows."""
        return {str((server["state"] or {}).get("job_id")) for user in self.users() for server in user["servers"].values()}

    def no_orphans(self) -> None:
        """Each job soon is a server's, or it is gone."""
        self.until(lambda: not self.jobs() - self.owned(), "no job without a server")

    def person(self, name: str | None = None) -> "Person":
        self._people += 1
        found = Person(self, name or f"p{self._people}")
        found.call("POST", "")
        return found

    def clean(self) -> None:
        """Everything runs, nobody has a server, and Slurm has no job. What a broken promise has left is ended by force."""
        self.faults.lift()
        self.cluster.start()
        for waiting in (self.folder / "on-start").iterdir():
            waiting.unlink()
        self.start()
        try:
            for user in self.users():
                for name in user["servers"]:
                    self.api.call("DELETE", f"/users/{quote(user['name'], safe='')}/servers/{quote(name, safe='')}")
            self.until(lambda: not self.jobs() and not self.owned(), "nothing is left", 15)
        except Broken:
            self.kill("hub")
            self.database.unlink()
            self.cluster.until(self._cancel_all, "no job is left")
            self.start_hub()

    def _cancel_all(self) -> bool:
        left = self.jobs()
        if left:
            self.cluster.run("scancel", *left)
        return not left


class Person:
    """Somebody with a server (`server`: its name, empty for the default one)."""

    def __init__(self, site: Site, name: str, server: str = "") -> None:
        self.site, self.name, self.server = site, name, server

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        return self.site.api.call(method, f"/users/{quote(self.name, safe='')}{path}", body)

    @property
    def path(self) -> str:
        return f"/servers/{quote(self.server, safe='')}" if self.server else "/server"

    @property
    def on_start(self) -> Path:
        """Write "wait" or "die" there before the start; a job that waits goes on when the file is gone."""
        return self.site.folder / "on-start" / self.name

    def press_start(self, options: object = None) -> requests.Response:
        return self.call("POST", self.path, options)

    def outcome(self) -> dict[str, Any]:
        """The last event of a start in progress, as a page shows it: ready, or failed with its message."""
        url = f"{self.site.api.url}/hub/api/users/{quote(self.name, safe='')}{self.path}/progress"
        patience_s = self.site.contender.patience_s + self.site.contender.start_timeout_s
        headers = {"Authorization": f"token {TOKEN}"}
        with requests.get(url, headers=headers, stream=True, timeout=patience_s) as answer:
            last: dict[str, Any] = {"failed": True, "message": f"no progress: {answer.status_code}"}
            for line in answer.iter_lines():
                if line.startswith(b"data: "):
                    last = json.loads(line[6:])
                    if last.get("ready") or last.get("failed"):
                        break
        return last

    def start(self, options: object = None) -> Seen:
        """Press Start, wait until the server is ready, and look at it."""
        last = self.refused(options)
        if last is not None:
            raise Broken(f"{self.name} gets no server: {last}")
        return self.found()

    def refused(self, options: object = None) -> str | None:
        """Press Start; None when the server comes up, else why it does not."""
        answer = self.press_start(options)
        if answer.status_code >= 400:
            return str(answer.json()["message"])
        last = self.outcome()
        return None if last.get("ready") else str(last["message"])

    def stop(self) -> None:
        answer = self.call("DELETE", self.path)
        if answer.status_code not in (202, 204):
            raise Broken(f"{self.name} cannot stop the server: {answer.status_code} {answer.text}")
        self.ends()

    def ends(self) -> None:
        """Wait until the hub knows that the server has ended."""
        self.site.until(lambda: self.model() is None, f"the hub knows that the server of {self.name} has ended")

    def model(self) -> dict[str, Any] | None:
        """What the hub says of the server; None when there is none."""
        answer = self.call("GET", "")
        if answer.status_code != 200:
            raise Broken(f"the hub cannot tell of {self.name} any more: {answer.status_code}")
        found: dict[str, Any] | None = answer.json()["servers"].get(self.server)
        return found

    def job(self) -> str:
        """The server's job; empty while there is none."""
        return str(((self.model() or {}).get("state") or {}).get("job_id") or "")

    def state(self) -> str:
        """Slurm's own word for the state of the server's job; empty while there is none."""
        job = self.job()
        return self.site.cluster.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip() if job else ""

    def seen(self) -> Seen | None:
        """Who serves at the person's address; None when nobody does."""
        url = f"{self.site.api.url}/user/{quote(self.name, safe='')}/{quote(self.server, safe='')}"
        try:
            told = requests.get(url, timeout=30).json()
        except requests.RequestException:  # a page of the hub's, or no answer
            return None
        if not isinstance(told, dict) or "pid" not in told:
            return None
        return Seen(told["SLURM_JOB_ID"], told.get("SLURM_RESTART_COUNT", "0"), told["pid"])

    def found(self) -> Seen:
        self.site.until(self.seen, f"the server of {self.name} answers")
        seen = self.seen()
        if seen is None:
            raise Broken(f"The server of {self.name} answered and is gone")
        return seen

    def still_serves(self, before: Seen) -> None:
        """The same process answers, now."""
        if (now := self.seen()) != before:
            raise Broken(f"The session of {self.name} was {before}, and is {now}")

    def keeps(self, before: Seen) -> None:
        """The session goes on: the same process serves, and the hub calls it ready."""
        self.site.until(lambda: (self.model() or {}).get("ready"), f"the server of {self.name} is ready")
        self.found()
        self.still_serves(before)

    def is_not_stuck(self, options: object = None) -> None:
        """The hub comes to an end with the server, which is ready or gone; and Start (with `options`) and Stop do what they say."""

        def settled() -> bool:
            model = self.model()
            return model is None or bool(model["ready"])

        self.site.until(settled, f"the server of {self.name} is ready or gone")
        if self.model() is None:
            self.start(options)
        else:
            self.found()
        self.stop()
        self.site.no_orphans()
