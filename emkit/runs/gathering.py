"""Tiles of many sections in one folder, told apart by their names: a folder of links for each section, as its tiles come.

Links are never removed: a record that names such a folder as its input can be verified as long as the tiles are there.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from emkit.errors import ParameterError, PathError
from emkit.io.tiles import name_pattern


class Gathering:
    """The tiles in ``source`` whose names fit ``pattern``, in a folder of ``into`` for each number that stands for ``{section}``.

    ParameterError where the pattern tells no section, PathError where ``into`` cannot hold the folders.
    """

    def __init__(self, source: Path, pattern: str, into: Path) -> None:
        self.source, self.into = source.absolute(), into.absolute()
        self.names: re.Pattern[str] = name_pattern(pattern)
        if "section" not in self.names.groupindex:
            raise ParameterError(f"follow.sections: found no {{section}} in {pattern!r}; needed: what tells sections apart.")
        if not self.into.is_dir():
            raise PathError(f"follow.into: the folder {into} does not exist; make it first.")
        if self.source == self.into:
            raise PathError(f"follow.into: {into} is what the microscope writes into; needed: a folder of its own for the links.")
        if strange := next((link for link in self._links() if link.readlink().parent != self.source), None):
            raise PathError(f"follow.into: {strange} links to {strange.readlink()}; needed: one for tiles in {source} alone.")
        self._linked = {link.name for link in self._links()}

    def gather(self) -> None:
        """Link what has come. OSError where a folder cannot be read or written."""
        with os.scandir(self.source) as entries:
            fresh = [entry.name for entry in entries if entry.name not in self._linked]
        for name in fresh:
            if (fits := self.names.fullmatch(name)) is None:
                continue
            (folder := self.into / fits["section"]).mkdir(exist_ok=True)
            (folder / name).symlink_to(self.source / name)
            self._linked.add(name)

    def _links(self) -> Iterator[Path]:
        return (link for link in self.into.glob("*/*") if link.is_symlink())
