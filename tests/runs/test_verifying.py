"""An output is checked file by file: every damage is found, and named; a damaged record is told from a damaged output."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emkit.digests import digests
from emkit.errors import DamagedError, PathError
from emkit.progress import Cancelled, Tick, listening
from emkit.provenance import MANIFEST, METADATA, RECIPE, RESULT, SEAL
from emkit.runs import verify
from tests.runs.conftest import KINDS
from tests.runs.damage import DAMAGES, cases, delete, flip, truncate

Copy = Callable[[str], Path]
SAMPLE = 60
HOW: dict[Callable[[Path], None], str] = {flip: "damaged", truncate: "damaged", delete: "missing"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_damaged_in_every_way_is_found(copy_of: Copy, kind: str, campaign: bool) -> None:
    out = copy_of(kind)
    assert verify(out).whole
    for name, damage in cases(out, None if campaign else SAMPLE):
        whole = (file := out / name if out.is_dir() else out).read_bytes()
        damage(file)
        assert verify(out).wrong == {name: HOW[damage]}
        file.unlink(missing_ok=True)
        file.write_bytes(whole)
    assert verify(out).whole


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [METADATA, RECIPE, RESULT])
def test_a_damaged_record_is_named(copy_of: Copy, name: str, damage: Callable[[Path], None]) -> None:
    out = copy_of("volume")
    damage(out / name)
    assert verify(out).wrong == {name: HOW[damage]}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_seal(copy_of: Copy, damage: Callable[[Path], None]) -> None:
    out = copy_of("volume")
    damage(out / SEAL)
    assert not verify(out).whole


@pytest.mark.parametrize("damage", DAMAGES)
def test_by_a_damaged_manifest_nothing_can_be_checked(copy_of: Copy, damage: Callable[[Path], None]) -> None:
    out = copy_of("volume")
    damage(out / MANIFEST)
    with pytest.raises(DamagedError, match=f"{MANIFEST} is {HOW[damage]}.*emkit repair .* restores it"):
        verify(out)


def test_more_files_and_no_record(copy_of: Copy) -> None:
    (out := copy_of("volume")).joinpath("notes.txt").touch()
    assert verify(out).wrong == {"notes.txt": "not of this run"}
    with pytest.raises(PathError, match="has no record"):
        verify(Path("nowhere"))


def test_progress_is_told_and_the_end_is_heard_in_the_middle_of_a_file(copy_of: Copy, tmp_path: Path) -> None:
    ticks: list[Tick] = []
    with listening(ticks.append):
        verify(copy_of("precomputed"))
    assert ticks[-1].what == "verify" and ticks[-1].done == ticks[-1].total
    with (tmp_path / "large").open("wb") as large:
        large.truncate(2**42)  # a hole: hours to read
    began_s = time.monotonic()
    with listening(stop=lambda: time.monotonic() > began_s + 0.2), pytest.raises(Cancelled):
        list(digests([tmp_path / "large"]))
