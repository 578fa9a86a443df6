"""Logins by a form: two passwords (the owner's opens JupyterLab, the workshop's opens dashboards only), or the host's accounts.

Each workshop login becomes a new identity with a random end, so nobody can take another attendee's name, the owner's, or one
of a Unix account. What either may do is not decided here but by the roles in `emkit_hub.config`.
"""

import asyncio
import grp
import os
import pwd
import re
import secrets
from typing import Any

from jupyterhub.auth import PAMAuthenticator
from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.spawner import SpawnException
from jupyterhub.user import User
from traitlets import Bool, Unicode

GUEST = "w-"  # how the names of workshop logins begin
# Groups of the hub. No Unix group can have such a name.
MEMBERS, GUESTS = "emkit:members", "emkit:guests"


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


class AccountAuthenticator(PAMAuthenticator):
    """The accounts of this host, by PAM; their Unix groups are groups of the hub. With a workshop's password, guests too."""

    manage_groups = True
    workshop_password = Unicode(help="Opens the dashboards for any name. Empty: no guests.").tag(config=True)

    async def authenticate(self, handler: BaseHandler, data: dict[str, str]) -> dict[str, Any] | None:
        password = data.get("password") or ""
        if self.workshop_password and password.isascii() and secrets.compare_digest(password, self.workshop_password):
            return {"name": guest_name(data["username"]), "admin": False, "groups": [GUESTS]}
        name: str | None = await super().authenticate(handler, data)
        if name is None:
            return None
        return {"name": name, "groups": [MEMBERS, *await asyncio.to_thread(unix_groups, name)]}

    def system_user_exists(self, user: User) -> bool:
        """A guest has no account, and needs none."""
        return user.name.startswith(GUEST) or bool(super().system_user_exists(user))

    async def check_allowed(self, username: str, authentication: dict[str, Any] | None = None) -> bool:
        if authentication is not None and GUESTS in authentication["groups"]:
            return True
        return bool(super().check_allowed(username, authentication))


def unix_groups(name: str) -> list[str]:
    """The Unix groups of an account; none for a name that is no account (PAM may know more names than the host does)."""
    try:
        numbers = os.getgrouplist(name, pwd.getpwnam(name).pw_gid)
    except KeyError:
        return []
    found = []
    for number in numbers:
        try:
            found.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue  # a number without a name
    return sorted(found)
