"""The certificates of a server in a hub with `internal_ssl`: they travel in the job's own environment, as its token does.

The hub's files are on the hub's machine and belong to its account; a node's are its user's. So the texts go with the job, and its
first process writes them where only it can read them. Standard library only.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

# JupyterHub's variable with a path, and ours with the text
VARIABLES = {
    "JUPYTERHUB_SSL_KEYFILE": "EMKIT_SSL_KEY",
    "JUPYTERHUB_SSL_CERTFILE": "EMKIT_SSL_CERTIFICATE",
    "JUPYTERHUB_SSL_CLIENT_CA": "EMKIT_SSL_CLIENT_CA",
}


def packed(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with the texts of the hub's files in place of their paths."""
    texts = {ours: Path(environment[path]).read_text() for path, ours in VARIABLES.items() if path in environment}
    return {**{name: value for name, value in environment.items() if name not in VARIABLES}, **texts}


def unpack(environment: MutableMapping[str, str], folder: Path) -> None:
    """Write the texts into files in `folder` and name those; the texts leave the environment."""
    for path, ours in VARIABLES.items():
        if ours in environment:
            file = folder / ours.lower()
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
                opened.write(environment.pop(ours))
            environment[path] = str(file)
