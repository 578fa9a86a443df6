"""Two passwords: the owner's opens JupyterLab, the workshop's opens dashboards only.

Each workshop login becomes a new identity with a random end, so nobody can take another attendee's name, the owner's, or one
of a Unix account. What either may do is not decided here but by the roles in `emkit_hub.config`.
"""

import re
import secrets
from typing import Any

from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.spawner import SpawnException
from jupyterhub.user import User
from traitlets import Bool, Unicode

GUEST = "w-"  # how the names of workshop logins begin


def guest_name(asked: str) -> str:
    """A name that no one else has, still recognisable for the person who typed `asked`."""
    readable = re.sub(r"[^a-z0-9]", "", asked.lower())[:16]
    return f"{GUEST}{readable or 'guest'}-{secrets.token_hex(5)}"


class TwoPasswordAuthenticator(SharedPasswordAuthenticator):
    owner = Unicode("owner", help="The only login name that takes the owner's password.").tag(config=True)
    one_account = Bool(True, help="Servers run under the hub's own account: only the owner may have one.").tag(config=True)

    async def authenticate(self, handler: BaseHandler, data: dict[str, str]) -> dict[str, Any] | None:
        if not (data.get("password") or "").isascii():  # compare_digest raises a TypeError for others: a 500 instead of a refusal
            return None
        user: dict[str, Any] | None = await super().authenticate(handler, data)
        if user is not None and not user["admin"]:
            user["name"] = guest_name(user["name"])
        return user

    async def pre_spawn_start(self, user: User, spawner: Any) -> None:
        if self.one_account and user.name != self.owner:
            raise SpawnException(
                f"{user.name} cannot have a server here: this hub runs in one-account mode, where every server would see "
                f"the files of {self.owner}. Ask for a hub whose users have Unix accounts of their own, or use the dashboards.",
                reason="one account",
                status_code=403,
            )
