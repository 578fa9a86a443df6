"""Kernels on compute nodes: a light server starts them as jobs, by profile.

    settings       the site's file of profiles            install      kernelspecs and server configuration, written from it
    launcher       runs on the node                       provisioner  what Jupyter calls, in the server
    record         what a kernel leaves on disk, and whose it is
    server         the server's extension: kernels taken back after a restart, orphans ended, what waits and why
    lab/           the same in JupyterLab

The design and what protects a kernel on a shared node: docs/explanation/kernels.md.
"""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "emkit_spawner.kernels.server"}]
