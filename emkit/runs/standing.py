"""What already stands where a call would write: nothing, what this very call made, or something else.

Told by the record that lies there: step and parameters decide whose it is, the digests of the inputs whether it still holds.
Paths are compared by what lies there, so that a project may be moved. Versions do not count: a result of hours is not thrown
away for a new numpy; whoever wants it anew removes it.
"""

import hashlib
import json
import os
from pathlib import Path

from emkit.errors import DamagedError, PathError
from emkit.params import Call, Reads, parameters
from emkit.provenance import MANIFEST, digest_of_input, fingerprint
from emkit.records import read_record
from emkit.run.folder import runs_home


def obstacle(call: Call) -> str:
    """What stands at the output, in words, if another call or somebody else made it; empty if nothing does, or this call did."""
    if call.out is None or not call.out.exists():
        return ""
    try:
        record = read_record(call.out)
    except (DamagedError, PathError):
        return f"{call.out} exists, with no record that can be read"
    if record.step != call.function.__name__:
        return f"{call.out} exists, made by {record.step}"
    paths = {p.name for p in parameters(call.function) if p.role}
    before, now = ({k: v for k, v in given.items() if k not in paths} for given in (record.parameters, call.as_json()))
    if differing := [f"{k} = {before.get(k)}" for k in sorted({*before, *now}) if before.get(k) != now.get(k)]:
        return f"{call.out} exists, made with {', '.join(differing)}"
    return ""


def is_current(call: Call) -> bool:
    """Whether this call made what stands at its output, from the inputs as they are now."""
    if call.out is None or not call.out.exists() or obstacle(call):
        return False
    before = [digest for _, digest in read_record(call.out).inputs.values()]
    now = [path for _, path in call.paths(Reads)]
    return all(path.exists() for path in now) and before == [known_digest(path) for path in now]


def known_digest(path: Path) -> str:
    """The digest of an input; it is read once, and again only if names, sizes or times of its files have changed."""
    if (path / MANIFEST).is_file():
        return digest_of_input(path)  # its own record tells it
    seen = hashlib.sha256(json.dumps(fingerprint(path)).encode()).hexdigest()
    note = runs_home() / "digests" / hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    if note.is_file() and (text := note.read_text()).startswith(seen):
        return text.split()[1]
    found = digest_of_input(path)
    note.parent.mkdir(parents=True, exist_ok=True)
    new = note.with_name(f"{note.name}.{os.getpid()}")
    new.write_text(f"{seen} {found}\n")
    new.replace(note)
    return found
