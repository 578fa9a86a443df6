"""Writes a site's kernels where Jupyter finds them: kernelspecs as files, and the configuration that loads our server extension.

    PREFIX/share/jupyter/kernels/emkit-NAME/                          one for each kernel
    PREFIX/etc/jupyter/jupyter_server_config.d/emkit-kernels.json

Files, and not a KernelSpecManager, because programs such as papermill look for files alone.
"""

import json
import shutil
from pathlib import Path

import ipykernel.kernelspec

from emkit_spawner.kernels.settings import PREFIX, PROVISIONER, KernelSettings

SERVER_CONFIG = {"ServerApp": {"jpserver_extensions": {"emkit_spawner.kernels": True}}}


def install(settings: KernelSettings, prefix: Path) -> list[Path]:
    """Write all of it below `prefix`, and take away kernels that an earlier file offered. Returns the kernelspecs' folders."""
    return write(settings, prefix / "share/jupyter", prefix / "etc/jupyter")


def write(settings: KernelSettings, data: Path, config: Path) -> list[Path]:
    """The same for Jupyter's data folder and its configuration folder, wherever they are."""
    specs, kernels = settings.specs(), data / "kernels"
    for old in sorted(kernels.glob(f"{PREFIX}*")):
        if old.name not in specs and _ours(old):
            shutil.rmtree(old)
    folders = []
    for name, spec in specs.items():
        folder = kernels / name
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if spec["language"] == "python":
            for logo in Path(ipykernel.kernelspec.RESOURCES).glob("logo-*"):
                shutil.copyfile(logo, folder / logo.name)
        (folder / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n")
        folders.append(folder)
    extension = config / "jupyter_server_config.d/emkit-kernels.json"
    extension.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    extension.write_text(json.dumps(SERVER_CONFIG, indent=1) + "\n")
    return folders


def _ours(folder: Path) -> bool:
    """Whether a kernelspec was written by us."""
    try:
        spec = json.loads((folder / "kernel.json").read_text())
        return bool(spec["metadata"]["kernel_provisioner"]["provisioner_name"] == PROVISIONER)
    except (OSError, ValueError, KeyError):
        return False
