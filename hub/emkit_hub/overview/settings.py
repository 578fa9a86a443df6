"""What a site may set about the overview: one frozen record, read by the hub and handed to the service as JSON."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

ENVIRONMENT_VARIABLE = "EMKIT_OVERVIEW"


class OverviewSettings(BaseModel):
    """The section `[overview]` of the site settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_systems: tuple[Path, ...] = Field(
        default=(), description="Folders whose file systems are shown with how full they are; empty: the one of the data folder."
    )
    full_percent: PositiveFloat = Field(default=90, le=100, description="From here on a file system counts as full.")
    tick_s: PositiveFloat = Field(
        default=3, description="Seconds for which one answer of the hub serves everybody, and between two looks of a page."
    )
    keep_runs_days: PositiveInt = Field(default=90, description="Days after which what a server posted about runs is forgotten.")

    @property
    def keep_runs_s(self) -> float:
        """The same in seconds."""
        return 86400.0 * self.keep_runs_days

    @model_validator(mode="after")
    def _absolute(self) -> "OverviewSettings":
        for folder in self.file_systems:
            if not folder.is_absolute():
                raise ValueError(
                    f"found the relative folder {str(folder)!r}; the service needs an absolute path. Write it from / on."
                )
        return self


class Service(BaseModel):
    """All that the hub hands to the service: the site's settings, and where things are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: OverviewSettings = OverviewSettings()
    folder: Path = Field(description="Where announcements and posted runs are kept.")
    title: str = "emkit"
    dashboards_url: str = "/services/dashboards/"
    named_servers: bool = False
    announcement: str = Field(default="", description="The site's own text on top of every page, as HTML.")
