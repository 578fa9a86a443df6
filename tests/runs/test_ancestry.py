"""The lineage of an output goes back to the raw files as long as each is what was used, in words and as a picture."""

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import emkit
from emkit.cli import main
from emkit.errors import PathError
from emkit.provenance import METADATA, RECIPE, digest, digest_of_input, seal_record
from emkit.runs import drawn, lineage, verify
from emkit.runs.ancestry import Origin
from tests.runs.conftest import SIZE_NM
from tests.runs.damage import flip

VERSIONS = {"emkit": "1", "numpy": "2.3"}


def begun(home: Path) -> Path:
    """raw (without a record) → volume → table."""
    emkit.make_phantom(out=home / "made", sections=3, size_px=128)
    (home / "raw").mkdir()
    for file in (home / "made").glob("*.tif"):
        shutil.copy(file, home / "raw")
    emkit.convert(home / "raw", out=home / "volume", voxel_size_nm=SIZE_NM)
    emkit.measure_alignment(home / "volume", out=home / "table")
    return home


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: to be left as it is."""
    return begun(tmp_path_factory.mktemp("chain"))


def test_back_to_the_raw_files(chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = lineage(chain / "table")
    (volume,) = found.sources.values()
    (raw,) = volume.sources.values()
    assert [(one.path.name, one.standing, one.step) for one in (found, volume, raw)] == [
        ("table", "as recorded", "measure_alignment"), ("volume", "as recorded", "convert"), ("raw", "as recorded", ""),
    ]  # fmt: skip
    assert volume.parameters["voxel_size_nm"] == list(SIZE_NM) and volume.machine["workers"] and not raw.sources
    assert main(["lineage", f"{chain}/table", "--svg", str(tmp_path / "table.svg")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{chain}/table  ") and told[1] == "  measure_alignment: level 0" and "emkit" in told[2]
    assert told[3].startswith(f"  volume: {chain}/volume  ") and told[-1].startswith(f"      source: {chain}/raw  ")
    assert told[5] == "      by the same versions"
    assert main(["lineage", f"{chain}/table", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sources"]["volume"]["sources"]["source"]["path"] == f"{chain}/raw"
    words = "".join(ET.parse(tmp_path / "table.svg").getroot().itertext())
    assert all(word in words for word in ("table", "volume", "raw", "convert", "measure_alignment", "numpy"))


def test_branches_are_drawn_on_a_terminal(chain: Path) -> None:
    told = lineage(chain / "table").told(boxes=True).splitlines()
    assert told[1].startswith("│ measure") and told[3].startswith("└─ volume: ") and told[-1].startswith("   └─ source: ")


def test_what_was_changed_since_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(begun(tmp_path))
    flip(next(Path("raw").iterdir()))
    (volume,) = lineage("table").sources.values()
    assert volume.standing == "as recorded" and volume.sources["source"].standing == "changed since"
    shutil.rmtree("volume")
    emkit.convert("raw", out="volume", voxel_size_nm=SIZE_NM)
    (volume,) = lineage("table").sources.values()
    assert volume.standing == "changed since" and not volume.sources and "changed since" in volume.about
    shutil.rmtree("volume")
    found = lineage("table")
    assert found.sources["volume"].standing == "missing" and "missing" in found.told(boxes=False)
    with pytest.raises(PathError, match="has no record"):
        lineage("raw")


def test_a_record_that_names_itself_ends(chain: Path, tmp_path: Path) -> None:
    """No run can make it: a record written by hand."""
    shutil.copytree(chain / "volume", out := tmp_path / "volume")
    for name in (METADATA, RECIPE):
        text = (out / name).read_text().replace(f"{chain}/raw", str(out))
        (out / name).write_text(text.replace(digest(chain / "raw"), digest(out)))
    seal_record(out)
    (found,) = lineage(out).sources.values()
    assert found.path == out and found.standing == "as recorded" and not found.sources


def test_the_digest_of_what_emkit_made_is_its_records_while_it_is_untouched(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain / "volume", out := tmp_path / "volume")
    meant, inner = digest(out), out / "0/zarr.json"
    assert digest_of_input(out) == meant
    before = inner.read_bytes()
    flip(inner)
    assert digest_of_input(out) == digest(out) != meant  # changed after the seal: all is read
    inner.write_bytes(before)
    assert digest_of_input(out) == meant
    (out / "more").touch()
    assert digest_of_input(out) == digest(out) != meant
    # what the record promises is believed, until somebody verifies: a change with the clock set back
    (out / "more").unlink()
    flip(inner)
    os.utime(inner, ns=(0, 0))
    assert digest_of_input(out) == meant != digest(out) and verify(out).wrong == {"0/zarr.json": "damaged"}


def test_the_picture_shows_what_two_steps_read_once() -> None:
    raw = Origin(Path("/d/raw & <more>"), "missing", 0)
    other = Origin(Path("/d/other"), "changed since", 2_000_000)
    one = Origin(Path("/d/one"), "as recorded", 10, "first", "2026-01-02T03:04", {"a": [1, 2]}, VERSIONS, {}, {"source": raw})
    sources = {"x": one, "y": raw, "z": other}
    last = Origin(Path("/d/last"), "as recorded", 10, "second", "2026-01-02T03:05", {}, VERSIONS, {}, sources)
    picture = drawn(last)
    root = ET.fromstring(picture)
    groups = root.findall("{http://www.w3.org/2000/svg}g")
    assert sorted(group.get("class", "") for group in groups) == ["changed", "made", "made", "missing"]
    boxes = [rect for group in groups for rect in group.findall("{http://www.w3.org/2000/svg}rect")]
    spans = [tuple(float(box.get(key, 0)) for key in ("x", "y", "width", "height")) for box in boxes]
    for k, (x, y, w, h) in enumerate(spans):
        assert x >= 0 and x + w <= float(root.get("width", 0)) and y + h <= float(root.get("height", 0))
        assert not any(x < x2 + w2 and x2 < x + w and y < y2 + h2 and y2 < y + h for x2, y2, w2, h2 in spans[k + 1 :])
