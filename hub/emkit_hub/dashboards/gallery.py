"""The dashboards there are: an allowlist read from the notebooks in the site's folders.

A notebook is a dashboard when its metadata say so::

    {"emkit": {"dashboard": true, "title": "Align sections", "summary": "One line.", "picture": "align.png", "minutes": 3}}

Guests name dashboards, never paths: a name is the stem of the file, and nothing but a listed name is ever looked up.
"""

import ast
import json
import logging
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

NAME = re.compile(r"[A-Za-z0-9][\w-]{0,80}")
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".svg": "image/svg+xml"}

log = logging.getLogger(__name__)


class _Metadata(BaseModel):
    """The part of a notebook's `emkit` metadata that the gallery shows."""

    dashboard: bool = False
    title: str = ""
    summary: str = ""
    picture: str = ""
    minutes: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """One notebook that guests may open; `changed_ns` tells an edited file from the one that warm kernels have run."""

    name: str
    path: Path
    changed_ns: int
    title: str
    summary: str
    picture: Path | None
    minutes: float | None


class Gallery:
    """The dashboards of some folders, read anew when a file changes."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._seen: dict[Path, tuple[int, Dashboard | None]] = {}

    def read(self) -> dict[str, Dashboard]:
        """All dashboards by name, in the order of folders and file names; of two with one name the first counts."""
        found: dict[str, Dashboard] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*.ipynb")):
                dashboard = self._of(path)
                if dashboard is not None:
                    found.setdefault(dashboard.name, dashboard)
        return found

    def _of(self, path: Path) -> Dashboard | None:
        try:
            found = path.stat()
        except OSError as error:  # a link to nowhere, or into a closed folder: no reason to shut the others
            log.warning("%s is no dashboard: %s. Mend or remove it.", path, error)
            return None
        if not stat.S_ISREG(found.st_mode):
            log.warning("%s is no dashboard: it is no file, but a device or a pipe. Remove it.", path)
            return None
        changed_ns = found.st_mtime_ns
        if path not in self._seen or self._seen[path][0] != changed_ns:
            self._seen[path] = (changed_ns, _read_dashboard(path, changed_ns))
        return self._seen[path][1]


def imported_modules(dashboards: Iterable[Dashboard]) -> list[str]:
    """Modules that the notebooks import by name, sorted: what is worth importing once for all kernels."""
    found: set[str] = set()
    for dashboard in dashboards:
        for cell in json.loads(dashboard.path.read_text(encoding="utf-8"))["cells"]:
            try:
                statements = ast.walk(ast.parse("".join(cell["source"]))) if cell["cell_type"] == "code" else ()
            except SyntaxError:
                continue  # a cell with IPython's own syntax
            for statement in statements:
                if isinstance(statement, ast.Import):
                    found.update(alias.name for alias in statement.names)
                elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                    found.add(statement.module)
    return sorted(found)


def _read_dashboard(path: Path, changed_ns: int) -> Dashboard | None:
    if not NAME.fullmatch(path.stem):
        log.warning("%s is no dashboard: found the name %r; needed letters, digits, _ and -. Rename it.", path, path.stem)
        return None
    try:
        metadata = _Metadata.model_validate(json.loads(path.read_text(encoding="utf-8")).get("metadata", {}).get("emkit", {}))
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        log.warning(
            "%s is no dashboard: %s. Needed: a notebook with `emkit` metadata; check it with `emkit check-notebook`.", path, error
        )
        return None
    if not metadata.dashboard:
        return None
    picture = path.parent / metadata.picture if metadata.picture else None
    if picture is not None and (
        picture.suffix.lower() not in PICTURES
        or not picture.is_file()
        or not picture.resolve().is_relative_to(path.parent.resolve())
    ):
        log.warning("%s: found no picture %r beside the notebook; needed one of %s.", path, metadata.picture, ", ".join(PICTURES))
        picture = None
    return Dashboard(
        path.stem, path, changed_ns, metadata.title or path.stem.replace("_", " "), metadata.summary, picture, metadata.minutes
    )
