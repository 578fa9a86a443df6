"""Build hook of the package: compile the counting kernel where a C compiler is. Without one emkit does the same with numba."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-O3", "-shared", "-fPIC", "-std=gnu11")


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Leaves emkit/count/events.so in the tree: an editable install finds it there, a wheel takes it along."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = Path(self.root, "emkit/count")
        if not (compiler := shutil.which(os.environ.get("CC", "cc"))):
            self.app.display_warning("no C compiler: emkit counts electrons with numba")
            return
        new = folder / "events.so.new"
        done = subprocess.run([compiler, *FLAGS, "-o", new, folder / "events.c"], capture_output=True, text=True, check=False)
        if done.returncode:
            self.app.display_warning(f"{compiler} failed, so emkit counts electrons with numba:\n{done.stderr}")
            return
        new.replace(folder / "events.so")
        build_data["artifacts"].append("emkit/count/events.so")
        build_data["pure_python"], build_data["infer_tag"] = False, True
