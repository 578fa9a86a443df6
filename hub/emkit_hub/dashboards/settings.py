"""What a site may set about its dashboards: one frozen record, read by the hub and handed to the service as JSON."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

ENVIRONMENT_VARIABLE = "EMKIT_DASHBOARDS"


class DashboardSettings(BaseModel):
    """The section `[dashboards]` of the site settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folders: tuple[Path, ...] = Field(
        default=(), description="Folders of notebooks, owned by the site: whoever can write there runs code for every guest."
    )
    pool: NonNegativeInt = Field(
        default=4, description="Kernels kept warm for each dashboard: as many as guests who open it at the same moment."
    )
    cap: PositiveInt = Field(default=20, description="Guests' kernels and warm ones together never exceed this.")
    per_guest: PositiveInt = Field(default=2, description="Dashboards one guest may hold; opening another gives back the oldest.")
    cull_s: PositiveFloat = Field(
        default=1200, description="Seconds without any activity after which a guest's kernel is given back."
    )
    closed_s: PositiveFloat = Field(
        default=20, description="Seconds without a connection (tab closed, network gone) before it is given back."
    )
    unseen_s: PositiveFloat = Field(default=60, description="Seconds a page may take to connect for the first time.")
    age_s: PositiveFloat = Field(default=4 * 3600, description="Seconds after which a kernel is given back in any case.")
    memory_gb: PositiveFloat = Field(default=2.0, description="GiB of memory one kernel may use; more is a MemoryError in it.")
    disk_gb: PositiveFloat = Field(default=2.0, description="GiB one kernel may keep in its private scratch folder.")
    cpu_s: PositiveInt = Field(default=1800, description="Seconds of processor time one kernel may use in all.")
    processes: PositiveInt = Field(default=16, description="Processes one kernel may have.")
    starts: PositiveInt = Field(default=4, description="Kernels started at the same time: all at once means all are served last.")
    preload: tuple[str, ...] = Field(
        default=("numpy", "ipywidgets"), description="Modules imported once for all kernels, beside those that the notebooks name."
    )
    extensions: tuple[str, ...] = Field(
        default=(), description="Jupyter server extensions by module name, served to guests as well."
    )
    data_roots: tuple[Path, ...] = Field(default=(), description="Public data: folders every kernel may read.")
    environment: dict[str, str] = Field(default_factory=dict, description="Environment variables for the kernels; never a secret.")
    announcements: Path | None = Field(
        default=None, description="File of the announcements that the gallery shows; set by the hub."
    )
    account_note: str = Field(default="", description="A sentence shown in the gallery.")

    @model_validator(mode="after")
    def _folders_exist(self) -> "DashboardSettings":
        for folder in (*self.folders, *self.data_roots):
            if not folder.is_absolute():
                raise ValueError(
                    f"found the relative folder {str(folder)!r}; the hub and its service need an absolute path. Write it from / on."
                )
        return self
