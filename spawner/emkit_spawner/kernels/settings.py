"""The kernels that a site offers: a TOML file with one table for each, read into frozen records, written out as kernelspecs.

scheduler = "slurm"

[kernels.gpu]
title = "Python, 1 GPU, 4 h"
partition = "gpu"
gpus = 1
runtime = "4:00:00"
python = "/shared/envs/em/bin/python"
"""

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from emkit_jobs.profiles import Resources
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
PREFIX = "emkit-"
PROVISIONER = "emkit-node"


class KernelSettingsError(ValueError):
    """A file of kernels that cannot be used: which file, which key, what was needed."""


class Kernel(Resources):
    """One entry of the kernel menu: a job's resources, and what runs in it."""

    title: str = Field(description="What the menu shows.")
    python: str = Field(default=sys.executable, description="Interpreter on the nodes, with ipykernel 7 or newer.")
    command: tuple[str, ...] = Field(
        default=(),
        description="Another kernel's command line, with `{connection_file}`; it must know CurveZMQ. Empty: Python's.",
    )
    language: str = Field(default="python", description="Of that kernel, as notebooks name it.")
    prologue: str = Field(default="", description="Shell text before the kernel starts, such as `module load cuda`.")


class KernelSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    scheduler: Literal["slurm", "local"] = Field(default="slurm", description="Where the jobs go; `local` is this machine.")
    slurm_conf: str = Field(default="", description="Slurm's configuration file, where it is not at its usual place.")
    folder: str = Field(
        default="~/.local/share/emkit/kernels", description="Each user's folder for kernels, shared by servers and nodes."
    )
    server_host: str = Field(default="", description="The server's host as nodes see it; empty: its own name.")
    queue_timeout_hours: float = Field(default=168, gt=0, description="A job that has waited this long is cancelled.")
    start_timeout_s: float = Field(default=120, gt=0, description="A kernel listens this soon after its job began.")
    grace_s: float = Field(default=60, gt=0, description="A job without a kernel is kept this long for a restart.")
    kernels: Mapping[str, Kernel] = Field(min_length=1, description="What users choose from: name → kernel.")

    @field_validator("kernels")
    @classmethod
    def _names(cls, kernels: Mapping[str, Kernel]) -> Mapping[str, Kernel]:
        for name, kernel in kernels.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name a kernel: lower-case letters, digits and dashes, at most 41")
            if kernel.command and "{connection_file}" not in kernel.command:
                raise ValueError(f"the command of {name!r} has no {{connection_file}}, by which a kernel learns its address")
        return kernels

    @classmethod
    def read(cls, file: Path) -> Self:
        """The settings in `file`. KernelSettingsError names the file and the first wrong key."""
        try:
            return cls.model_validate(tomllib.loads(file.read_text()))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise KernelSettingsError(f"The file of kernels {file} cannot be read: {error}. A TOML file was needed.") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise KernelSettingsError(f"The file of kernels {file}, key {key}: {first['msg']}.") from error

    def specs(self) -> dict[str, dict[str, Any]]:
        """Kernelspec of each kernel, as kernel.json holds it, by its name in the menu's files."""
        return {PREFIX + name: self._spec(kernel) for name, kernel in self.kernels.items()}

    def _spec(self, kernel: Kernel) -> dict[str, Any]:
        resources = kernel.model_dump(include=set(Resources.model_fields) - {"environment"}, exclude_defaults=True)
        if kernel.runtime is not None:  # JSON has no type for it either: as Slurm's users write it
            minutes, seconds = divmod(round(kernel.runtime.total_seconds()), 60)
            resources["runtime"] = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        given = self.model_dump(exclude={"kernels", "queue_timeout_hours"})
        command = kernel.command or (kernel.python, "-m", "ipykernel_launcher", "-f", "{connection_file}")
        return {
            "argv": list(command),
            "display_name": kernel.title,
            "language": kernel.language,
            "interrupt_mode": "message",  # through the control channel: no scheduler on the way
            "env": dict(kernel.environment),
            "metadata": {
                "debugger": not kernel.command,
                "supported_encryption": ["curve"],
                "kernel_provisioner": {
                    "provisioner_name": PROVISIONER,
                    "config": {
                        **given,
                        "queue_timeout_s": self.queue_timeout_hours * 3600,
                        "resources": resources,
                        "python": kernel.python,
                        "prologue": kernel.prologue,
                    },
                },
            },
        }
