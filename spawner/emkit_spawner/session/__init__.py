"""What a user sees of their job inside JupyterLab: time left, memory and processors, warnings, "save and resubmit".

A Jupyter server extension of the single-user server. Outside a job of ours it loads nothing at all. Inside one it adds

    GET  <base>emkit/session            what the page shows, as JSON (`handlers.SessionHandler`)
    POST <base>emkit/session/resubmit   end this job, start a new one with the same options

and hands JupyterLab (and Notebook 7) the extension in `lab/`: plain ES modules, without a build.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "emkit_spawner.session"}]


def _load_jupyter_server_extension(app: "ServerApp") -> None:
    import os

    from emkit_jobs.scheduler import JOB_VARIABLE

    if not {JOB_VARIABLE, "JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER"} <= os.environ.keys():
        return

    from emkit_spawner.session.loading import load

    load(app)
