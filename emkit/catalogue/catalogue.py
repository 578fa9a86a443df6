"""The scans and volumes of a data folder, newest first: looked at, searched, annotated, counted, opened, and rid of raw frames.

Everything that is shown is told by the files themselves; a database beside them remembers it. Names are looked up among what was
found, and no path is followed out of the folder.
"""

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from emkit.catalogue.aside import Aside, read_aside, write_aside
from emkit.catalogue.entry import Entry, State, entry_of
from emkit.catalogue.jail import inside, relative_to
from emkit.catalogue.pictures import picture
from emkit.catalogue.progress import progress_of_all
from emkit.catalogue.recipes import recipe_over
from emkit.catalogue.removing import Removal, plan_removal, remembered, remove_files
from emkit.catalogue.store import HOME, Store
from emkit.catalogue.things import COUNTED_NAME, Look, Thing, chains, read_thing, walk
from emkit.errors import EmkitError, ParameterError, PathError
from emkit.io.counted import HDF5
from emkit.notebooks import fill
from emkit.recipe import read
from emkit.run.folder import RunFolder
from emkit.run.place import LOCAL, Place
from emkit.runs.workflows import begin_workflow, detach_whole

FOLDER_VARIABLE = "EMKIT_SCANS"  # a site's folder of scans
BUSY = (State.COUNTING, State.STREAMING)


class Catalogue:
    """Of one folder; left out, that which $EMKIT_SCANS names, else the current one. PathError where it is none.
    `read_only`: what is remembered is not written.

    >>> [entry.name for entry in Catalogue("data").entries("gold")]  # doctest: +SKIP
    ['day2/scan_0042', 'day2/scan_0041']
    """

    def __init__(self, folder: Path | str | None = None, *, read_only: bool = False) -> None:
        named = Path(folder or os.environ.get(FOLDER_VARIABLE) or ".").expanduser()
        if not named.is_dir():
            raise PathError(f"{named} is no folder; needed: the one that holds scans.")
        self.root = named.resolve()
        self._store = Store(self.root, read_only=read_only)
        self._things: dict[str, list[Thing]] = {}

    def close(self) -> None:
        self._store.close()

    def entries(self, search: str = "") -> list[Entry]:
        """How everything stands now, the newest first; only what holds each word of `search`."""
        look, now_s, words = walk(self.root), time.time(), search.split()
        self._things = self._looked_into(look)
        progress = progress_of_all(self.root, look.notes, self._store)
        found = [entry_of(name, things, self._aside(name), progress.get(name), now_s) for name, things in self._things.items()]
        return sorted((entry for entry in found if entry.holds(words)), key=lambda entry: (entry.at, entry.name), reverse=True)

    def entry(self, name: str) -> Entry:
        """The one of this name, as it stands now. PathError where there is none."""
        return self._of([name])[0]

    def picture(self, entry: Entry) -> bytes:
        """A small PNG of it, made once; empty where there is none."""
        if (known := self._store.picture(entry.shown)) is not None:
            return known
        thing = next(thing for thing in self._things[entry.name] if thing.path == entry.shown)
        self._store.keep_picture(entry.shown, made := picture(self.root, thing))
        return made

    def has_picture(self, entry: Entry) -> bool:
        """Whether `picture` costs nothing."""
        return self._store.picture(entry.shown) is not None

    def note(self, name: str, notes: str, *, instead_of: str | None = None) -> None:
        """Write the notes of a scan, beside it. ParameterError where they are not `instead_of` any more: somebody edited them."""
        self.entry(name)
        before = read_aside(self.root, name)
        if instead_of is not None and before.notes != instead_of:
            raise ParameterError(f"{name}: its notes were changed meanwhile, to: {before.notes!r}. Look at them, then edit anew.")
        write_aside(self.root, name, before.model_copy(update={"notes": notes}))

    def removal(self, name: str) -> Removal:
        """What deleting the raw frames would take, with the question to ask. PathError where there are none, or they are in use."""
        entry = self.entry(name)
        raw = next((thing for thing in self._things[name] if thing.kind == "raw"), None)
        if raw is None:
            raise PathError(f"{name} has no raw frames" + (": they were deleted before." if entry.raw_removed else "."))
        if entry.state in BUSY:
            raise PathError(f"{name} is being used: {entry.state}. Wait for its end, or cancel it.")
        return plan_removal(self.root, name, raw, [thing for thing in self._things[name] if thing.kind == "counted"])

    def delete_raw(self, name: str, typed: str = "") -> Removal:
        """Delete the raw frames of a scan, and remember beside it what they were; what went. PathError unless that is safe, or
        `typed` is the name."""
        removal = self.removal(name)
        removal.check(typed)
        raw = next(thing for thing in self._things[name] if thing.kind == "raw")
        write_aside(self.root, name, remembered(read_aside(self.root, name), raw, time.time()))
        remove_files(removal)
        return removal

    def begin(self, names: Sequence[str], *, series: str = "", on: Place = LOCAL) -> RunFolder:
        """Count what of these is not counted yet, and measure all as a `series` (a folder to make here), in a run left to itself.

        Raises what refuses it; nothing is begun then.
        """
        chosen = self._of(list(dict.fromkeys(names)))
        if busy := [entry.name for entry in chosen if entry.state in BUSY]:
            raise PathError(f"{', '.join(busy)}: found a run or a stream at work; wait for its end.")
        if any(entry.is_volume for entry in chosen):
            raise ParameterError(f"{', '.join(entry.name for entry in chosen if entry.is_volume)}: found a volume, needed scans.")
        text = recipe_over(self.root, chosen, inside(self.root, series) if series else None)
        file = self._kept(text, "series" if series else "count")
        folder = begin_workflow(file, read(file), overwrite=False, table=None, on=on)
        for entry in chosen:
            if not entry.counted:
                self._store.keep_run(entry.name, folder.path)
        detach_whole(folder)
        return folder

    def notebook(self, name: str, template: Path, home: Path) -> Path:
        """The notebook of a scan: a template filled for it, once, in `home`; a copy that is there stays as it is.

        The template's parameters `source` (raw frames), `out` (where they are counted to) and `scan` (counted) are set.
        """
        entry = self.entry(name)
        home.mkdir(parents=True, exist_ok=True)
        path = inside(home.resolve(), f"{name}.ipynb")
        zarr = next((one for one in entry.counted if not one.endswith(HDF5)), f"{name}{COUNTED_NAME}")
        values = {"source": entry.raw, "out": zarr, "scan": entry.counted[0] if entry.counted else None}
        fill(template, path, {key: str(self.root / value) for key, value in values.items() if value})
        return path

    # ---- within ----

    def _of(self, names: Sequence[str]) -> list[Entry]:
        found = {entry.name: entry for entry in self.entries()}
        if missing := [name for name in names if name not in found]:
            raise PathError(f"{', '.join(missing)}: none of the {len(found)} scans in {self.root}. See: emkit scans {self.root}")
        return [found[name] for name in names]

    def _looked_into(self, look: Look) -> dict[str, list[Thing]]:
        """All things by the scan that they belong to; only what has changed is opened."""
        known: dict[str, Thing] = {}
        for found in look.things:
            path = relative_to(self.root, found.path)
            if (thing := self._store.thing(found, path)) is None and (thing := read_thing(self.root, found)) is not None:
                self._store.keep(found, thing)
            if thing is not None:
                known[path] = thing
        self._store.forget_all_but(known)
        by_scan: defaultdict[str, list[Thing]] = defaultdict(list)
        for scan, thing in chains(known):
            by_scan[scan].append(thing)
        return dict(by_scan)

    def _aside(self, name: str) -> Aside:
        """What people say; a file that cannot be read says so in its place, and is not written over."""
        try:
            return read_aside(self.root, name)
        except EmkitError as broken:
            return Aside(notes=str(broken))

    def _kept(self, recipe: str, what: str) -> Path:
        """The recipe as a file beside the database."""
        folder = self.root / HOME
        try:
            folder.mkdir(exist_ok=True)
            file = folder / f"{what}-{datetime.now():%Y%m%dT%H%M%S.%f}.toml"
            file.write_text(recipe, encoding="utf-8")
        except OSError as error:
            raise PathError(
                f"{folder} cannot be written ({error.strerror}); needed: a data folder that you may write into."
            ) from None
        return file
