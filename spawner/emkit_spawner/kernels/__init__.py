"""Kernels on compute nodes: a light server starts them as jobs, by profile.

    settings     the site's file of kernels              install     kernelspecs and server configuration, written from it
    provisioner  what Jupyter calls, in the server       submission  a kernel's folder, and its job
    launcher     runs on the node                        record      what a kernel leaves on disk, and whose it is
    takeback     kernels of the server before            orphans     jobs that nobody needs any more
    server       the server's extension                  story, lab/ what becomes of a kernel, told to people

The design and what protects a kernel on a shared node: docs/explanation/kernels.md.
"""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "emkit_spawner.kernels.server"}]
