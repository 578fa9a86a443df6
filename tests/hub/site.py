"""A hub as an operator runs one: a settings file, the proxy by `emkit-hub proxy`, the hub by `jupyterhub`, under any account."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from emkit_hub import proxy
from emkit_hub.data_folder import DataFolder, free_ports

CONFIG = Path(__file__).parents[2] / "hub" / "jupyterhub_config.py"
PATIENCE_S = 120.0


@dataclass
class Site:
    """`account` runs both processes; "" for the tests' own."""

    folder: Path
    settings: str
    account: str = ""
    groups: tuple[str, ...] = ()
    network: str = ""  # lines more for that section
    scheme: str = "http"
    trusted: str = ""  # file of a certificate
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def data(self) -> DataFolder:
        return DataFolder(self.folder / "data")

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    def write(self) -> None:
        head = f'data = "{self.folder / "data"}"\n'
        (self.folder / "site.toml").write_text(f"{head}{self.settings}\n[network]\nport = {self.port}\n{self.network}\n")

    @contextmanager
    def process(self, name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process of the hub's account, with its own words in NAME.log; ended politely at the end."""
        whose = {"user": self.account, "group": self.account, "extra_groups": self.groups} if self.account else {}
        home = pwd.getpwnam(self.account).pw_dir if self.account else str(self.folder)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
        environment = {"PATH": path, "HOME": home, "EMKIT_SETTINGS": str(self.folder / "site.toml"), **self.environment}
        with (
            (self.folder / f"{name}.log").open("ab") as log,
            subprocess.Popen([*command], env=environment, stdout=log, stderr=log, cwd="/", **whose) as running,  # type: ignore[call-overload]
        ):
            try:
                yield running
            finally:
                running.terminate()
                running.wait(60)

    @contextmanager
    def proxy(self) -> Iterator[None]:
        with self.process("proxy", sys.executable, "-m", "emkit_hub.command", "proxy") as running:
            self._until(running, "proxy", lambda: requests.get(self.url, timeout=5, verify=self.trusted or True).status_code > 0)
            yield

    @contextmanager
    def hub(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.process("hub", sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)) as running:
            self._until(running, "hub", lambda: requests.get(f"{self.url}/hub/health", timeout=5).ok)
            yield running

    def _until(self, running: subprocess.Popen[bytes], name: str, condition: object) -> None:
        assert callable(condition)
        last = time.monotonic() + PATIENCE_S
        while True:
            try:
                if condition():
                    return
            except requests.RequestException:
                pass
            if running.poll() is not None or time.monotonic() > last:
                raise RuntimeError((self.folder / f"{name}.log").read_text())
            time.sleep(0.1)


@contextmanager
def running(site: Site) -> Iterator[Site]:
    """Within: the site's proxy and hub run."""
    proxy.install()
    site.write()
    (site.folder / "data").mkdir(exist_ok=True)
    if site.account:
        subprocess.run(["chown", site.account, str(site.folder / "data")], check=True)
    with ExitStack() as stack:
        stack.enter_context(site.proxy())
        stack.enter_context(site.hub())
        yield site
