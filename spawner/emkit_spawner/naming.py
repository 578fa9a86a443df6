"""Names of jobs: they tell the hub, the user and the server, and each is used once, so it is the spawn's id in every log line."""

import hashlib
import re
import secrets

from emkit_spawner.refusal import StartRefused

USER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


def prefix(hub_secret: bytes) -> str:
    """How the names of a hub's jobs begin. Another hub has another secret, so it never takes these jobs for its own."""
    return f"emkit-{hashlib.sha256(b'emkit jobs ' + hub_secret).hexdigest()[:8]}-"


def job_name(hub_secret: bytes, user: str, server: str) -> str:
    """A new name. StartRefused for a user whose name cannot stand in one, or in a command."""
    if not USER_NAME.fullmatch(user):
        raise StartRefused(f"A user named {user!r} cannot have a server: letters, digits and _ . @ - only.", reason="user name")
    readable = re.sub(r"[^A-Za-z0-9]+", "_", f"{user} {server}".strip())[:40]
    return f"{prefix(hub_secret)}{readable}-{secrets.token_hex(4)}"
