"""What a site sets: one frozen record, read from a TOML file; a key that it does not know is refused.

Without a file the embedded default holds: one account, one owner, the whole machine.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from emkit_jobs.profiles import Limits, Profile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from emkit_hub.dashboards.settings import DashboardSettings

LoginName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class SettingsError(ValueError):
    """A settings file that cannot be used: which file, which key, what was needed."""


def whole_machine() -> dict[str, Profile]:
    """Profiles of a machine without a scheduler. Memory is a limit only for those who ask for one."""
    cores = len(os.sched_getaffinity(0))
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    profiles = {
        "machine": Profile(
            title="This machine",
            description="All its cores and memory, for as long as it runs.",
            cpus=cores,
            limits=Limits(cpus=cores, memory_mb=memory_mb),
        )
    }
    if cores > 1:
        profiles["small"] = Profile(title="Small", description="Leaves the rest to others.", cpus=1, memory_mb=min(4096, memory_mb))
    return profiles


class LabSettings(BaseModel):
    """The section `[lab]`: the owner's JupyterLab."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path | None = Field(
        default=None,
        description="Folder it opens, and its HOME; may hold `{username}`. "
        "Default: `home` in the data folder in one-account mode, else each account's own home.",
    )
    notebook: str = Field(
        default="align_sections.ipynb", description="Curated notebook it opens with; empty: Lab's own start page."
    )
    prologue: str = Field(default="", description="Shell text before the server starts, as the user.")
    epilogue: str = Field(default="", description="Shell text after it has ended.")


class SlurmSettings(BaseModel):
    """The section `[slurm]`, for `spawner = "emkit-slurm"`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conf: Path | None = Field(default=None, description="Slurm's configuration file, where it is not at its usual place.")
    sudo: bool = Field(
        default=True, description="Submit and cancel as the user, who needs a Unix account; false: under the hub's own account."
    )
    listen: str = Field(default="0.0.0.0", description="Address that servers listen at on their nodes.")


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(default="emkit", description="Name of the site on every page.")
    announcement: str = Field(default="", description="Text on top of every page.")
    spawner: str = Field(default="emkit-local", description="Entry point of the spawner.")
    owner: LoginName = Field(default="owner", description="Login name that takes the owner's password.")
    one_account: bool = Field(
        default=True, description="Servers run under the hub's own Unix account, so only the owner may have one; said on the pages."
    )
    profiles: Mapping[str, Profile] = Field(default_factory=whole_machine, description="What users choose from, the default first.")
    lab: LabSettings = LabSettings()
    slurm: SlurmSettings = SlurmSettings()
    dashboards: DashboardSettings = DashboardSettings()
    dashboards_account: str = Field(
        default="", description="Unix account of the dashboards, for a hub run by root; empty: the hub's own."
    )

    @model_validator(mode="after")
    def _something_to_choose(self) -> Self:
        if not self.profiles:
            raise ValueError("found no profile: at least one is needed. Leave out `profiles` for the whole machine.")
        return self

    @classmethod
    def read(cls, file: Path | None) -> "Settings":
        """The settings in `file`, or the embedded default. SettingsError names the file and the first wrong key."""
        if file is None:
            return cls()
        try:
            found: dict[str, Any] = tomllib.loads(file.read_text())
            return cls.model_validate(found)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"The settings file {file} cannot be read: {error}. A TOML file was needed.") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            known = f" Known keys: {', '.join(cls.model_fields)}." if first["type"] == "extra_forbidden" else ""
            raise SettingsError(f"The settings file {file}, key {key}: {first['msg']}.{known}") from error
