"""Who may take part in a stream: Curve key pairs as files, and the allow list, a folder of public keys.

KEYS/NAME.secret    mode 0600: the key pair of NAME; the aggregator's is called `aggregator`
KEYS/NAME.public    its public key; a client needs that of the aggregator
KEYS/allowed/NAME.public   a client that is let in; without the file it is not let in again
"""

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emkit.errors import ParameterError, PathError

SERVER = "aggregator"
ALLOWED = "allowed"


@dataclass(frozen=True)
class Security:
    """Keys of this end of a stream; `keys` None: in clear, which only the loopback takes."""

    keys: Path | None
    name: str = SERVER

    def check(self, address: str) -> None:
        """Raise ParameterError where something would go in clear over a network."""
        if self.keys is None and not is_loopback(address):
            raise ParameterError(
                f"{address} is not on this machine's loopback, where alone a stream goes in clear. "
                "Make keys (emkit stream keys FOLDER NAME …) and give --keys FOLDER."
            )

    def secure_server(self, socket: Any) -> None:
        """The aggregator's socket: only allowed clients finish the handshake. The context must have an authenticator."""
        if self.keys:
            public, secret = read_secret(self.keys, SERVER)
            socket.curve_publickey, socket.curve_secretkey, socket.curve_server = public, secret, True

    def secure_client(self, socket: Any) -> None:
        if self.keys:
            socket.curve_publickey, socket.curve_secretkey = read_secret(self.keys, self.name)
            socket.curve_serverkey = read_public(self.keys / f"{SERVER}.public")

    def allowed(self) -> set[bytes]:
        """The public keys of clients that are let in."""
        return {read_public(path) for path in sorted((self.keys / ALLOWED).glob("*.public"))} if self.keys else set()


def is_loopback(address: str) -> bool:
    scheme, _, rest = address.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_keys(folder: Path, names: list[str]) -> list[Path]:
    """Key pairs of the aggregator, if it has none, and of these clients, who are then allowed. PathError where a key is there."""
    import zmq

    (folder / ALLOWED).mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = [*([] if (folder / f"{SERVER}.secret").exists() else [SERVER]), *names]
    for name in wanted:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ParameterError(f"{name!r} is no name of a key; needed: letters, digits, - and _.")
        if (folder / f"{name}.secret").exists():
            raise PathError(
                f"{folder / name}.secret exists; remove it and {ALLOWED}/{name}.public first, which shuts that client out."
            )
    made = []
    for name in wanted:
        public, secret = (key.decode() for key in zmq.curve_keypair())
        made.append(folder / f"{name}.secret")
        with os.fdopen(os.open(made[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"public": public, "secret": secret}, file)
        for place in (folder, *([folder / ALLOWED] if name != SERVER else [])):
            (place / f"{name}.public").write_text(public + "\n", encoding="ascii")
    return made


def read_secret(folder: Path, name: str) -> tuple[bytes, bytes]:
    """The public and secret key of NAME. PathError where there is none, or others can read it."""
    path = folder / f"{name}.secret"
    try:
        if (mode := path.stat().st_mode) & 0o077:
            raise PathError(f"{path} can be read by others (mode {mode & 0o777:o}); needed: 600. Run: chmod 600 {path}")
        found = json.loads(path.read_text(encoding="ascii"))
        return found["public"].encode(), found["secret"].encode()
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise PathError(f"{path} cannot be read as a key ({wrong}). Make one: emkit stream keys {folder} {name}") from None


def read_public(path: Path) -> bytes:
    try:
        found = path.read_bytes().strip()
    except OSError as wrong:
        raise PathError(f"{path} cannot be read as a public key ({wrong}).") from None
    if len(found) != 40:
        raise PathError(f"{path} holds {len(found)} characters; needed: a public key, which has 40.")
    return found
