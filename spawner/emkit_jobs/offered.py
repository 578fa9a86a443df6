"""What a site offers outside its hub, by name: the same entries that users see in the kernel menu.

They are read from the kernelspecs that `python -m emkit_spawner.kernels install FILE` has written where Jupyter looks for them
(JUPYTER_PATH, the account's data folder, this environment, the machine), or from such a FILE itself, named by EMKIT_PROFILES.
"""

import json
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emkit_jobs.profiles import Resources

VARIABLE = "EMKIT_PROFILES"
PREFIX, PROVISIONER = "emkit-", "emkit-node"


class OfferError(ValueError):
    """A file of profiles that cannot be used: which, and why."""


@dataclass(frozen=True)
class Offer:
    """Where a job goes and what it gets. `prologue`: the site's shell text before its command."""

    resources: Resources
    scheduler: str = "slurm"
    slurm_conf: str = ""  # where Slurm's configuration is not at its usual place
    prologue: str = ""

    def facts(self) -> dict[str, Any]:
        """As JSON has it, for `of_facts`."""
        resources = self.resources.model_dump(exclude_none=True, exclude={"runtime"})
        if self.resources.runtime is not None:
            minutes, seconds = divmod(round(self.resources.runtime.total_seconds()), 60)
            resources["runtime"] = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        return {"resources": resources, "slurm_conf": self.slurm_conf, "prologue": self.prologue}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Offer":
        return cls(Resources.model_validate(facts["resources"]), "slurm", facts["slurm_conf"], facts["prologue"])


def offers() -> dict[str, Offer]:
    """Each profile by its name; the first place that knows a name decides. OfferError names a file that cannot be read."""
    if file := os.environ.get(VARIABLE):
        return dict(_of_file(Path(file)))
    found: dict[str, Offer] = {}
    for data in _data_folders():
        for spec in sorted(data.glob(f"kernels/{PREFIX}*/kernel.json")):
            if offer := _of_spec(spec):
                found.setdefault(spec.parent.name.removeprefix(PREFIX), offer)
    return found


def _data_folders() -> list[Path]:
    named = [Path(part) for part in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if part]
    own = Path(os.environ.get("JUPYTER_DATA_DIR") or Path.home() / ".local/share/jupyter")
    return [*named, own, *(Path(prefix) / "share/jupyter" for prefix in (sys.prefix, "/usr/local", "/usr"))]


def _of_file(file: Path) -> Iterator[tuple[str, Offer]]:
    try:
        told = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OfferError(f"{VARIABLE}: {file} cannot be read: {error}. A file of kernels (TOML) was needed.") from error
    kernels = told.get("kernels")
    if not isinstance(kernels, dict) or not all(isinstance(entry, dict) for entry in kernels.values()):
        raise OfferError(f"{VARIABLE}: {file} holds no table [kernels.NAME]. A file of kernels (TOML) was needed.")
    for name, entry in kernels.items():
        yield name, _offer(told, entry, entry.get("environment", {}), f"{file}, [kernels.{name}]")


def _of_spec(file: Path) -> Offer | None:
    """None where the kernelspec is not one that a site's file of kernels has made."""
    try:
        spec = json.loads(file.read_text())
        place = spec["metadata"]["kernel_provisioner"]
        config = place["config"]
        if place["provisioner_name"] != PROVISIONER:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _offer(config, {**config.get("resources", {}), "prologue": config.get("prologue", "")}, spec.get("env", {}), str(file))


def _offer(site: Mapping[str, Any], entry: Mapping[str, Any], environment: Mapping[str, str], where: str) -> Offer:
    """`site` and `entry` hold what concerns kernels alone too."""
    own = {name: entry[name] for name in Resources.model_fields if name in entry}
    try:
        resources = Resources.model_validate({**own, "environment": environment})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise OfferError(f"{where}, {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    return Offer(resources, site.get("scheduler", "slurm"), site.get("slurm_conf", ""), entry.get("prologue", ""))
