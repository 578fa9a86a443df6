"""`emkit-hub check`, typed by a real unprivileged account of a hub, on a real Slurm: all is well, then much is not."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.installation import machine, node
from emkit_hub.settings import Settings

from tests.slurm.accounts import Accounts, accounts, allowed, open_folder
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.hub

SETTINGS = """
spawner = "emkit-slurm"
one_account = false
data = "{data}"
[slurm]
conf = "{conf}"
accounts = "{group}"
shared = "{shared}"
[network]
port = {port}
[login]
method = "pam"
groups = ["{group}"]
[profiles.small]
title = "Small"
partition = "main"
"""


@dataclass(frozen=True)
class Site:
    made: Accounts
    folder: Path
    environment: Mapping[str, str]

    @property
    def data(self) -> DataFolder:
        return DataFolder(self.folder / "data")

    @property
    def text(self) -> str:
        return (self.folder / "site.toml").read_text()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`emkit-hub` as the hub's account."""
        return subprocess.run([*self.command, *words], capture_output=True, text=True, timeout=120, **self.as_hub)  # type: ignore[call-overload,no-any-return]

    def check(self, *words: str, settings: str | None = None) -> tuple[int, dict[str, str]]:
        """The exit code of `emkit-hub check`, and its table: what → verdict and text."""
        file = self.folder / "tried.toml"
        file.write_text(settings or self.text)
        done = self.run("check", "--settings", str(file), *words)  # as a user, it takes the first member of the group
        assert done.stderr == "", done.stderr
        return done.returncode, table(done.stdout)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "emkit_hub.command"]

    @property
    def as_hub(self) -> dict[str, object]:
        environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(self.made.homes / self.made.hub), "COLUMNS": "400"}
        return {"user": self.made.hub, "group": self.made.hub, "extra_groups": (), "env": environment, "cwd": "/"}


def table(text: str) -> dict[str, str]:
    """Rows by their first column; a row's remedy is on its second line."""
    rows: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if found := re.match(r"(\S.*?) {2,}((?:ok|WRONG|note) .*)", line):
            last = found[1]
            rows[last] = " ".join(found[2].split())
        elif line.strip().startswith("→"):
            rows[last] += " " + line.strip()
    return rows


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Site]:
    with open_folder() as folder, accounts(folder, cluster.environment) as made, allowed(made, folder / "log"):
        found = Site(made, folder, cluster.environment)
        for name in ("data", "shared"):
            (folder / name).mkdir()
        subprocess.run(["chown", made.hub, str(folder / "data"), str(folder / "shared")], check=True)
        values = {"data": folder / "data", "shared": folder / "shared", "group": made.group, "port": free_ports(1)[0]}
        (folder / "site.toml").write_text(SETTINGS.format(conf=cluster.environment["SLURM_CONF"], **values))
        with proxy(found):
            yield found


@contextmanager
def proxy(site: Site) -> Iterator[None]:
    """Run `emkit-hub proxy`, as the unit does."""
    command = [*site.command, "proxy", "--settings", str(site.folder / "site.toml")]
    with subprocess.Popen(command, **site.as_hub) as running:  # type: ignore[call-overload]
        until_listening(running, site)
        yield
        running.terminate()


def until_listening(running: subprocess.Popen[bytes], site: Site) -> None:
    while running.poll() is None:
        try:
            port = site.data.ports()["proxy_api"]
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except (OSError, ValueError):
            continue
    raise RuntimeError("the proxy has ended")


def test_nothing_is_wrong_and_every_line_says_what_was_found(site: Site) -> None:
    code, rows = site.check()
    assert [row for row in rows.items() if row[1].startswith("WRONG")] == [] and code == 0
    for what in (
        "settings", "version: jupyterhub", "secrets", "Python for all", "proxy", "scheduler", "profile: small",
        "sudo: sbatch", "sudo: scancel", "sudo: nothing more",
    ):  # fmt: skip
        assert rows[what].startswith("ok"), (what, rows[what])
    assert rows["accounting"].startswith("note") and "slurmdbd" in rows["accounting"]
    of_node = {what.partition(": ")[2]: text for what, text in rows.items() if what.startswith("node em")}
    assert set(of_node) == {"Python", "shared files", "clock", "node → hub", "hub → node"}


def test_what_a_site_got_wrong_is_named_with_what_to_do(site: Site) -> None:
    proxy_token = site.data.secret_file("proxy-token")
    proxy_token.chmod(0o644)
    text = site.text.replace('partition = "main"', 'partition = "mian"').replace(
        "[network]", '[network]\nhub_address = "192.0.2.1"'
    )
    text = f'database = "postgresql+psycopg://emkit@127.0.0.1:1/emkit"\n{text}[profiles.shut]\ntitle = "Shut"\npartition = "main"'
    try:
        code, rows = site.check(settings=text)
    finally:
        proxy_token.chmod(0o600)
    assert code == 1
    assert f"mode 0644: others may read it → chmod 0600 {proxy_token}" in rows[f"secret: {proxy_token}"]
    assert "partition mian does not exist → Name one of these: closed, main" in rows["profile: small"]
    assert "Connection refused" in rows["database"] and "→ Is it running" in rows["database"]
    assert "the job is refused" in rows["node (mian)"] and "invalid partition specified: mian" in rows["node (mian)"]
    (way,) = [text for what, text in rows.items() if what.endswith("node → hub")]
    assert way.startswith("WRONG") and "no connection to 192.0.2.1" in way and "network.hub_address" in way


def test_settings_that_are_no_settings_end_it_there(site: Site) -> None:
    code, rows = site.check(settings="colour = 1")
    assert code == 1 and list(rows) == ["settings"] and "key colour" in rows["settings"] and "→ Mend the file" in rows["settings"]


def test_another_account_than_the_hubs_may_nothing(site: Site) -> None:
    as_ann = {**site.as_hub, "user": site.made.ann, "group": site.made.ann}
    words = ["check", "--no-job", "--settings", str(site.folder / "site.toml"), "--user", site.made.bob]
    done = subprocess.run([*site.command, *words], capture_output=True, text=True, **as_ann)  # type: ignore[call-overload]
    rows = table(done.stdout)
    assert done.returncode == 1
    assert f"may not run it as {site.made.bob}" in rows["sudo: sbatch"] and "emkit-hub sudoers --account" in rows["sudo: sbatch"]
    assert rows["proxy"].startswith("WRONG") and "secret" in " ".join(rows)


def test_a_scheduler_and_a_proxy_that_are_down_are_told(site: Site, cluster: Cluster) -> None:
    cluster.end("slurmctld", signal.SIGTERM)
    (empty := site.folder / "empty").mkdir()
    subprocess.run(["chown", site.made.hub, str(empty)], check=True)
    try:
        code, rows = site.check(settings=site.text.replace(str(site.data.path), str(empty)))
    finally:
        cluster.start_controller()
        cluster.until(lambda: cluster.states() <= {"idle", "mixed"}, "the nodes are back")
    assert code == 1
    assert rows["scheduler"].startswith("WRONG") and "slurmctld" in rows["scheduler"]
    assert rows["proxy"].startswith("WRONG") and "emkit-hub proxy" in rows["proxy"]
    assert not [what for what in rows if what.startswith("node")]  # no job is submitted to it


GOOD = node.Answer(host="em1", time=100.0, token="t", missing=[], no_way="", port=4000)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"time": 95.0}, ["clock"]),
        ({"time": 107.0}, ["clock"]),
        ({"time": 106.0}, []),
        ({"token": "FileNotFoundError: No such file"}, ["shared files"]),
        ({"missing": ["jupyterlab"]}, ["Python"]),
        ({"no_way": "timed out"}, ["node → hub"]),
    ],
)
def test_what_a_node_answers_is_judged(change: dict[str, object], wrong: list[str]) -> None:
    answer = node.Answer(**{**GOOD, **change})  # type: ignore[typeddict-item]
    found = [one.what.partition(": ")[2] for one in node.read(answer, "node em1", "t", 98.0, 104.0, "hub:1") if one.is_wrong]
    assert found == wrong


def test_a_version_below_its_floor_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "FLOORS", {"jupyterhub": "999", "jupyter-server-proxy": "999", "voila": "0.1"})
    found = {one.what: one for one in machine.versions(Settings(), DataFolder(tmp_path))}
    assert found["version: jupyterhub"].is_wrong and "pip install -U 'jupyterhub>=999'" in found["version: jupyterhub"].to_do
    assert not found["version: voila"].is_wrong


def test_a_python_below_a_closed_folder_is_named(tmp_path: Path) -> None:
    (closed := tmp_path / "closed").mkdir(mode=0o700)
    (file := closed / "python").touch(mode=0o755)
    assert closed in set(machine.closed_to_others([file]))
    assert file not in set(machine.closed_to_others([file]))
