"""`emkit-hub dashboards`: the dashboards under an account of their own, where the hub is not root and cannot start them so.

A notebook that a guest turns against its kernel then reaches neither the hub's secrets nor its right to submit. The two share one
token, in a file; the rest of what JupyterHub tells a service that it starts itself is the same for both and made here.
"""

from pathlib import Path

from emkit_hub.settings import SettingsError

SHORTEST = 32


def token(file: Path) -> str:
    """SettingsError when the file cannot be read, or holds something that could be guessed."""
    try:
        found = file.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"dashboards_token_file {file} cannot be read: {error.strerror}. The accounts of the hub and of the dashboards need to."
        ) from error
    if len(found) < SHORTEST:
        raise SettingsError(
            f"dashboards_token_file {file} holds {len(found)} characters, and {SHORTEST} are needed: openssl rand -hex 32"
        )
    return found


def environment(name: str, token: str, *, service_url: str, hub_url: str) -> dict[str, str]:
    """The variables by which a service knows its hub; JupyterHub sets the same for those that it starts."""
    access = f'["access:services!service={name}"]'
    return {
        "JUPYTERHUB_SERVICE_NAME": name,
        "JUPYTERHUB_CLIENT_ID": f"service-{name}",
        "JUPYTERHUB_API_TOKEN": token,
        "JUPYTERHUB_API_URL": f"{hub_url}/hub/api",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_SERVICE_URL": service_url,
        "JUPYTERHUB_SERVICE_PREFIX": f"/services/{name}/",
        "JUPYTERHUB_OAUTH_SCOPES": access,
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": access,
    }
