"""Build hook of the package: compile its kernels where a C compiler is. Without one emkit does the same with numba or scipy."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-O3", "-shared", "-fPIC", "-std=gnu11")
KERNELS = {  # what stands in for each, where it cannot be built
    "emkit/count/events": "emkit counts electrons with numba",
    "emkit/align/resample": "emkit renders sections with scipy, some ten times slower",
    "emkit/membrane/unite": "emkit joins the labels of blocks with bioimage_cpp, some two times slower",
}


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Leaves each kernel's .so beside its .c in the tree: an editable install finds it there, a wheel takes it along."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        compiler = shutil.which(os.environ.get("CC", "cc"))
        for kernel, instead in KERNELS.items():
            if not compiler:
                self.app.display_warning(f"no C compiler: {instead}")
                continue
            source, library = Path(self.root, f"{kernel}.c"), Path(self.root, f"{kernel}.so")
            new = library.with_suffix(".so.new")
            done = subprocess.run([compiler, *FLAGS, "-o", new, source], capture_output=True, text=True, check=False)
            if done.returncode:
                self.app.display_warning(f"{compiler} failed, so {instead}:\n{done.stderr}")
                continue
            new.replace(library)
            build_data["artifacts"].append(f"{kernel}.so")
            build_data["pure_python"], build_data["infer_tag"] = False, True
