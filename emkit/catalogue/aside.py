"""What people say of a scan, and what was known of raw frames that are gone: a small TOML file beside the scan, `NAME.scan.toml`.

    notes = "thick area, second grid square"
    [raw]                     # once raw frames have been deleted
    removed_at = 2026-11-21T19:45:00Z
    recorded_at = 2026-11-20T08:12:31Z
    size_bytes = 43486543872
    frames = 65536

It may be edited by hand. The catalogue's database holds nothing that is not in these files or in the data.
"""

import os
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from emkit.catalogue.jail import inside
from emkit.errors import DataError, ParameterError, PathError

ENDING = ".scan.toml"
LONGEST = 20_000  # letters of notes


class RemovedRaw(BaseModel):
    """The raw frames that were there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    removed_at: datetime
    recorded_at: datetime
    size_bytes: int
    frames: int


class Aside(BaseModel):
    """What stands in the file; empty where there is none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    notes: str = ""
    raw: RemovedRaw | None = None


def aside_of(root: Path, name: str) -> Path:
    """The file beside the scan of this name. PathError where that is not in the folder."""
    return inside(root, f"{name}{ENDING}")


def read_aside(root: Path, name: str) -> Aside:
    """PathError where the file leads out of the folder, DataError where it is damaged."""
    try:
        return Aside.model_validate(tomllib.loads((path := aside_of(root, name)).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Aside()
    except (OSError, ValueError, ValidationError) as broken:
        raise DataError(f"{path} cannot be read as notes ({broken}); mend it as TOML, or remove it.") from None


def write_aside(root: Path, name: str, aside: Aside) -> None:
    """All of it or nothing. ParameterError where notes are too long, PathError where the folder cannot be written."""
    import tomli_w

    if len(aside.notes) > LONGEST:
        raise ParameterError(f"notes: found {len(aside.notes):,} letters, needed at most {LONGEST:,}; keep the rest in a file.")
    path = aside_of(root, name)
    text = tomli_w.dumps(aside.model_dump(exclude_none=True), multiline_strings=True)
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}", delete=False, encoding="utf-8") as new:
            new.write(text)
        Path(new.name).chmod(0o664)
        os.replace(new.name, path)
    except OSError as error:
        raise PathError(f"{path} cannot be written ({error.strerror}); needed: a data folder that you may write into.") from None


def when(seconds: float) -> datetime:
    """POSIX seconds as a file says them."""
    return datetime.fromtimestamp(round(seconds), UTC)
