"""Where a hub keeps what it must not forget: one folder, one name for each thing in it.

DATA/secrets/       0700: owner-password, workshop-password, proxy-token, metrics-token, cookie-secret (each 0600)
DATA/home/          the owner's files, in one-account mode
DATA/jobs/          one folder for each job: script, log, exit code
DATA/services/      the same for the hub and its proxy
DATA/dashboards/    notebooks that an admin adds for guests
DATA/overview/      announcements (for everybody to read) and what users' servers posted about runs (0700)
DATA/hub.sqlite     users and servers (0600)
DATA/ports.json     loopback ports between hub, proxy and services: servers that run now know them
"""

import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

OWNER_BYTES, WORKSHOP_BYTES, TOKEN_BYTES = 24, 9, 32  # JupyterHub wants 32 characters for an admin's password


class Ports(TypedDict):
    hub: int
    proxy_api: int
    dashboards: int
    overview: int


@dataclass(frozen=True)
class DataFolder:
    path: Path

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    @property
    def services(self) -> Path:
        return self.path / "services"

    @property
    def dashboards(self) -> Path:
        return self.path / "dashboards"

    @property
    def overview(self) -> Path:
        return self.path / "overview"

    @property
    def database(self) -> Path:
        return self.path / "hub.sqlite"

    def secret_file(self, name: str) -> Path:
        return self.path / "secrets" / name

    def secret(self, name: str, size: int) -> str:
        """The secret of this name, made from `size` random bytes and kept (0600) when it is asked for first."""
        file = self.secret_file(name)
        try:
            descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return file.read_text().strip()
        with os.fdopen(descriptor, "w") as new:
            value = secrets.token_urlsafe(size)
            new.write(value + "\n")
        return value

    @property
    def owner_password(self) -> str:
        return self.secret("owner-password", OWNER_BYTES)

    @property
    def workshop_password(self) -> str:
        return self.secret("workshop-password", WORKSHOP_BYTES)

    @property
    def proxy_token(self) -> str:
        return self.secret("proxy-token", TOKEN_BYTES)

    @property
    def metrics_token(self) -> str:
        return self.secret("metrics-token", TOKEN_BYTES)

    def ports(self) -> Ports:
        """Chosen once. A running server keeps the hub's port in its environment, so a restarted hub must come back to it."""
        file = self.path / "ports.json"
        kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        missing = Ports.__annotations__.keys() - kept.keys()  # all at first, later those of a new version's services
        if missing:
            kept |= dict(zip(missing, free_ports(len(missing)), strict=True))
            file.write_text(json.dumps(kept) + "\n")
        return Ports(hub=kept["hub"], proxy_api=kept["proxy_api"], dashboards=kept["dashboards"], overview=kept["overview"])

    @property
    def prepared(self) -> bool:
        return (self.path / "ports.json").exists()

    def prepare(self) -> None:
        """Make what is missing. Others may pass through the folder (the dashboards' account does), and read nothing in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)
        for folder in (self.path / "secrets", self.home, self.jobs, self.services):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.dashboards.mkdir(mode=0o755, exist_ok=True)
        self.overview.mkdir(mode=0o711, exist_ok=True)
        self.database.touch(mode=0o600)
        _ = self.owner_password, self.workshop_password, self.proxy_token, self.ports()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now; held together until all are known, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
