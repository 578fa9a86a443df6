"""What a site sets: one frozen record, read from a TOML file; a key that it does not know is refused.

Without a file the embedded default holds: one account, one owner, the whole machine.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from emkit_jobs.profiles import Limits, Profile, Runtime
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from emkit_hub.dashboards.settings import DashboardSettings
from emkit_hub.overview.settings import OverviewSettings

UnixName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
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
    kernels: Path | None = Field(default=None, description="TOML file of kernels that run on nodes, offered in every Lab.")
    prologue: str = Field(default="", description="Shell text before the server starts, as the user.")
    epilogue: str = Field(default="", description="Shell text after it has ended.")


class SlurmSettings(BaseModel):
    """The section `[slurm]`, for `spawner = "emkit-slurm"`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conf: Path | None = Field(default=None, description="Slurm's configuration file, where it is not at its usual place.")
    accounts: UnixName = Field(
        default="users", description="Unix group of the people who may have servers: as them alone the hub may submit and cancel."
    )
    sudo: bool = Field(
        default=True, description="Submit and cancel as the user, who needs a Unix account; false: under the hub's own account."
    )
    listen: str = Field(default="0.0.0.0", description="Address that servers listen at on their nodes.")
    shared: Path | None = Field(
        default=None, description="Folder on the shared file system in which `emkit-hub check` may try writing. Default: a home."
    )


class NetworkSettings(BaseModel):
    """The section `[network]`: who listens where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(default="127.0.0.1", description="Address at which people, or the web server before it, reach the proxy.")
    port: Port = Field(default=8000, description="Its port. `scripts/up --port` overrides it.")
    certificate: Path | None = Field(
        default=None, description="TLS certificate of the proxy, where no web server with TLS stands before it."
    )
    key: Path | None = Field(default=None, description="Key of that certificate (mode 0600).")
    public_url: str = Field(default="", description="Address that people type, as https://em.example.org: logins return to it.")
    hub_address: str = Field(
        default="127.0.0.1", description="Address of the hub's host that the nodes reach; the hub listens there for its servers."
    )
    hub_port: Port | None = Field(default=None, description="Port of that, for a firewall's rule. Default: chosen once, and kept.")

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("found only one of `certificate` and `key`: TLS needs both.")
        if self.certificate and not self.public_url:
            raise ValueError("found a `certificate`, but no `public_url`: the name that it is made out to is needed.")
        return self

    def hub_url(self, kept_port: int) -> str:
        """Where the hub listens for its proxy and servers; `kept_port`: the data folder's own, where none is set."""
        return f"http://{self.hub_address}:{self.hub_port or kept_port}"


class LoginSettings(BaseModel):
    """The section `[login]`: how people prove who they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["passwords", "pam", "oauth"] = Field(
        default="passwords",
        description="`passwords`: the owner's and the workshop's. `pam`: the accounts of the hub's host. "
        "`oauth`: an identity provider, by OAuth 2 or OpenID Connect.",
    )
    admins: tuple[LoginName, ...] = Field(default=(), description="Login names that administer the hub; with `pam` and `oauth`.")
    everybody: bool = Field(default=False, description="Whoever proves who they are may enter; else only those named here.")
    users: tuple[LoginName, ...] = Field(default=(), description="Login names that may enter.")
    groups: tuple[str, ...] = Field(default=(), description="With `pam`: Unix groups whose members may enter.")
    workshop: bool = Field(
        default=False, description="With `pam`: the workshop's password opens the dashboards too, in the same form, for any name."
    )
    authenticator: str = Field(
        default="generic-oauth", description="With `oauth`: JupyterHub's name of the authenticator, or `module.Class`."
    )
    options: Mapping[str, Any] = Field(
        default_factory=dict, description="With `oauth`: a table of that authenticator's own settings, by their names."
    )
    client_secret_file: Path | None = Field(
        default=None, description="With `oauth`: file (mode 0600) that holds the client's secret, which never stands here."
    )

    @model_validator(mode="after")
    def _somebody_may_enter(self) -> Self:
        if self.method != "passwords" and not (self.everybody or self.users or self.groups or self.admins or self.options):
            raise ValueError("found nobody who may enter: name `users`, `groups` or `admins`, or set `everybody = true`.")
        if self.workshop and self.method != "pam":
            raise ValueError(
                "found `workshop = true`, which belongs to method `pam`: `passwords` has it, `oauth` has no form for it."
            )
        if "client_secret" in self.options:
            raise ValueError(
                "found the client's secret in `options`: put it into a file of mode 0600 and name `client_secret_file`."
            )
        return self


class CullingSettings(BaseModel):
    """The section `[culling]`: when a server that nobody uses is stopped. A profile's own `idle` and `age` win."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle: Runtime | None = Field(
        default=None, description='Stop a server that did nothing for so long, such as "2:00:00". Default: never.'
    )
    age: Runtime | None = Field(
        default=None, description="Stop a server so long after its start, whatever it does. Default: never."
    )
    every_s: PositiveInt = Field(default=60, description="Seconds between two looks at all servers.")
    terminals: Literal["open", "running"] = Field(
        default="open", description="Which terminals keep a server: every open one, or those in which a program runs."
    )


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(default="emkit", description="Name of the site on every page.")
    announcement: str = Field(default="", description="Text on top of every page.")
    data: Path | None = Field(
        default=None, description="Folder of what the hub must not forget. `scripts/up --data` and EMKIT_DATA override it."
    )
    database: str = Field(
        default="",
        description="SQLAlchemy's address of the hub's database, without a password. Default: SQLite in the data folder.",
    )
    spawner: str = Field(default="emkit-local", description="Entry point of the spawner.")
    owner: LoginName = Field(default="owner", description="Login name that takes the owner's password.")
    one_account: bool = Field(
        default=True, description="Servers run under the hub's own Unix account, so only the owner may have one; said on the pages."
    )
    profiles: Mapping[str, Profile] = Field(default_factory=whole_machine, description="What users choose from, the default first.")
    named_servers: NonNegativeInt = Field(
        default=0, description="Servers with a name of their own that each user may have beside the one without."
    )
    lab: LabSettings = LabSettings()
    slurm: SlurmSettings = SlurmSettings()
    network: NetworkSettings = NetworkSettings()
    login: LoginSettings = LoginSettings()
    culling: CullingSettings = CullingSettings()
    dashboards: DashboardSettings = DashboardSettings()
    overview: OverviewSettings = OverviewSettings()
    dashboards_account: str = Field(
        default="", description="Unix account of the dashboards, for a hub run by root; empty: the hub's own."
    )
    dashboards_token_file: Path | None = Field(
        default=None,
        description="For a hub that is not root: `emkit-hub dashboards` runs apart, under an account of its own, and this file "
        "holds the token (32 characters or more) that only the two accounts may read.",
    )

    @model_validator(mode="after")
    def _something_to_choose(self) -> Self:
        if not self.profiles:
            raise ValueError("found no profile: at least one is needed. Leave out `profiles` for the whole machine.")
        return self

    @field_validator("database")
    @classmethod
    def _no_password(cls, address: str) -> str:
        try:
            if address and make_url(address).password is not None:
                raise ValueError("found a password in the address: let `passfile` name a file of mode 0600 that holds it.")
        except ArgumentError as error:
            raise ValueError(f"found {address!r}, but an address as postgresql+psycopg://USER@HOST/NAME was needed.") from error
        return address

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
