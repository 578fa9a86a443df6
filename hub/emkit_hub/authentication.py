"""How people prove who they are, from the section `[login]` of the settings: two passwords, the host's accounts, or a provider.

What they may do then is not decided here but by the roles in `emkit_hub.config`.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import import_item
from traitlets.config import Config

from emkit_hub.authenticator import AccountAuthenticator, TwoPasswordAuthenticator
from emkit_hub.data_folder import DataFolder
from emkit_hub.settings import LoginSettings, Settings, SettingsError

NEVER = {"root"}  # its password opens more than a hub


def configure_logins(c: Config, settings: Settings, folder: DataFolder) -> None:
    """Fill `c`. SettingsError for an authenticator that is not installed, or an option that it does not have."""
    login = settings.login
    if login.method == "passwords":
        c.JupyterHub.authenticator_class = TwoPasswordAuthenticator
        c.TwoPasswordAuthenticator.owner = settings.owner
        c.TwoPasswordAuthenticator.one_account = settings.one_account
        c.Authenticator.allow_all = True  # with the right password; the roles say what that gives
        c.Authenticator.admin_users = {settings.owner}
        c.SharedPasswordAuthenticator.admin_password = folder.owner_password
        c.SharedPasswordAuthenticator.user_password = folder.workshop_password
        return
    c.Authenticator.admin_users = set(login.admins)
    c.Authenticator.allowed_users = {*login.users, *login.admins}
    c.Authenticator.allow_all = login.everybody
    c.Authenticator.blocked_users = NEVER
    if login.method == "pam":
        c.JupyterHub.authenticator_class = AccountAuthenticator
        c.AccountAuthenticator.allowed_groups = set(login.groups)
        c.AccountAuthenticator.workshop_password = folder.workshop_password if login.workshop else ""
    else:
        chosen = authenticator_class(login.authenticator)
        c.JupyterHub.authenticator_class = chosen
        c[chosen.__name__].update(oauth_options(chosen, login, settings.network.public_url))


def authenticator_class(name: str) -> type[Authenticator]:
    """The class of this name, as JupyterHub finds it. SettingsError when it is not there."""
    named = entry_points(group="jupyterhub.authenticators", name=name)
    try:
        found: type[Authenticator] = next(iter(named)).load() if named else import_item(name)
    except ImportError as error:
        raise SettingsError(
            f"login.authenticator is {name!r}, which is not installed here ({error}). "
            "Type: pip install oauthenticator, or name another class as module.Class."
        ) from error
    if not issubclass(found, Authenticator):
        raise SettingsError(f"login.authenticator is {name!r}, but {found} is no authenticator of JupyterHub.")
    return found


def oauth_options(chosen: type[Authenticator], login: LoginSettings, public_url: str) -> Mapping[str, Any]:
    """What is set on this class. SettingsError names an option that it does not have, or a secret that cannot be read."""
    known = set(chosen.class_trait_names(config=True))
    if unknown := set(login.options) - known:
        raise SettingsError(
            f"login.options: {chosen.__name__} has no setting {', '.join(sorted(unknown))}. Known: {', '.join(sorted(known))}."
        )
    options = dict(login.options)
    if public_url:
        options.setdefault("oauth_callback_url", f"{public_url.rstrip('/')}/hub/oauth_callback")
    if login.client_secret_file is not None:
        try:
            options["client_secret"] = login.client_secret_file.read_text().strip()
        except OSError as error:
            raise SettingsError(
                f"login.client_secret_file {login.client_secret_file} cannot be read: {error.strerror}. The hub's account needs to."
            ) from error
    return options
