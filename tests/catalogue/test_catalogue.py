"""What is found of scans on disk, what survives the loss of the database, and what is refused."""

import os
import shutil
import sqlite3
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import emkit
from emkit.catalogue import Catalogue, Entry, State
from emkit.errors import DataError, ParameterError, PathError
from emkit.io.sectors import open_sectors, sectors_header, write_sectors
from emkit.run.folder import RunFolder
from emkit.run.folder import State as RunState
from emkit.runs import find_run
from tests.catalogue.conftest import until
from tests.catalogue.scans import counted, raw, streamed


def by_name(catalogue: Catalogue) -> dict[str, Entry]:
    return {entry.name: entry for entry in catalogue.entries()}


def aged(path: Path, seconds: float) -> None:
    at = time.time() - seconds
    for file in [path, *path.rglob("*")]:
        os.utime(file, (at, at))


def test_every_kind_is_found_with_its_state(data: Path, catalogue: Catalogue) -> None:
    raw(data / "day1/scan_1")
    raw(data / "day1/scan_2", without=2)
    counted(data / "day2/scan_3.h5")
    counted(data / "day2/scan_4")
    streamed(data / "day3/live", 24)
    streamed(data / "day3/lost", 10)
    aged(data / "day3/lost", 1000)
    emkit.make_phantom(out=data / "sections", sections=3, size_px=64)
    emkit.align_sections(data / "sections", out=data / "aligned.ome.zarr", voxel_size_nm=(45, 4, 4))
    (data / "notes.h5").write_bytes(b"no HDF5")
    found = by_name(catalogue)
    assert {name: entry.state for name, entry in found.items()} == {
        "day1/scan_1": State.RAW,
        "day1/scan_2": State.INCOMPLETE,
        "day2/scan_3.h5": State.DONE,
        "day2/scan_4": State.DONE,
        "day3/live": State.STREAMING,
        "day3/lost": State.INCOMPLETE,
        "aligned.ome.zarr": State.DONE,
    }
    assert found["day1/scan_1"].shape == (2, 2, 576, 576) and found["day1/scan_1"].raw_bytes == 4 * (4 * 16 + 576 * 576 * 2)
    assert found["day1/scan_2"].told == "12 of 16 sectors are there"
    assert found["day2/scan_4"].shape == (8, 8, 64, 64) and found["day2/scan_4"].frames == 64
    assert found["day3/live"].told == "24 of 64 frames so far" and found["day3/live"].done == 24 / 64
    assert "the stream stopped" in found["day3/lost"].told
    assert found["aligned.ome.zarr"].is_volume and found["aligned.ome.zarr"].facts["voxel"] == "45 × 4 × 4 nm"


def test_the_header_of_raw_files_says_what_looking_at_each_block_says(data: Path) -> None:
    for name, without in (("whole", None), ("lacking", 1)):
        header, scan = sectors_header(raw(data / name, without=without)), open_sectors(data / name)
        assert (header.version, header.scan_shape, header.frame_shape) == (scan.version, scan.scan_shape, scan.frame_shape)
        assert header.parts == (scan.file_of >= 0).sum() and header.needed == scan.file_of.size
    with (data / "whole/data_module0.data").open("r+b") as file:
        file.truncate(3 * (16 + 576 * 144 * 2) + 100)  # a file that is cut short in its last sector
    assert sectors_header(data / "whole").parts == 15 == (open_sectors(data / "whole").file_of >= 0).sum()


def test_two_scans_in_one_folder_are_told(data: Path, catalogue: Catalogue) -> None:
    raw(data / "a")
    (data / "b").mkdir()
    write_sectors(data / "b", {0: np.zeros((576, 576), np.uint16)}, (1, 1), "other", scan=2)
    for file in (data / "b").iterdir():
        file.rename(data / "a" / file.name)
    entry = catalogue.entry("a")
    assert entry.state is State.INCOMPLETE and "holds more than one scan" in entry.told


def test_raw_and_counted_are_one_scan_newest_first(data: Path, catalogue: Catalogue) -> None:
    raw(data / "a")
    emkit.count_scan(data / "a", out=data / "elsewhere")  # the record tells whose it is
    raw(data / "b")
    shutil.copytree(data / "elsewhere", data / "b-counted", ignore=shutil.ignore_patterns("ro-crate*", "record*"))  # its name does
    emkit.convert_scan(data / "elsewhere", out=data / "a.h5")
    aged(data / "a", 3600)
    first, second = catalogue.entries()
    assert (first.name, second.name) == ("b", "a") and second.at < first.at - 3000
    assert set(second.counted) == {"elsewhere", "a.h5"} and first.counted == ("b-counted",)
    assert second.state is State.DONE and second.counted_bytes and second.raw_bytes and second.counted_bytes < second.raw_bytes / 20
    assert second.facts["electrons"].replace(",", "").isdigit() and " < v < " in second.facts["thresholds"]


def test_a_scan_streamed_twice_is_two(data: Path, catalogue: Catalogue) -> None:
    for name, whole in (("counted", 64), ("counted-2", 60)):
        counted(data / "live" / name)
        report = f'{{"frames": 64, "complete": {whole}, "electrons": 2500, "seconds": 1.5}}'
        (data / "live" / f"report{name.removeprefix('counted')}.json").write_text(report)
    found = by_name(catalogue)
    assert found["live"].state is State.DONE and found["live"].facts["electrons"] == "2,500"
    assert found["live/counted-2"].state is State.INCOMPLETE and found["live/counted-2"].told == "60 of 64 frames are whole"


def test_notes_and_all_else_survive_the_loss_of_the_database(data: Path) -> None:
    raw(data / "a")
    counted(data / "b")
    before = Catalogue(data)
    before.note("a", "thick\nsecond line")
    told = before.entries()
    pictures = [before.picture(entry) for entry in told]
    database = data / ".emkit/catalogue.sqlite"
    before.close()
    for damage in (database.unlink, lambda: database.write_bytes(b"no database" * 500), lambda: _foreign(database), lambda: None):
        damage()
        again = Catalogue(data)
        assert again.entries() == told and [again.picture(entry) for entry in again.entries()] == pictures
        again.close()
    assert (data / "a.scan.toml").read_text().startswith('notes = """\nthick\n')


def _foreign(path: Path) -> None:
    """Another version's tables."""
    path.unlink()
    with sqlite3.connect(path) as other:
        other.executescript("CREATE TABLE things (path TEXT); PRAGMA user_version = 77;")
    other.close()


def test_a_database_that_breaks_while_it_is_open_is_made_anew(data: Path, catalogue: Catalogue) -> None:
    counted(data / "b")
    told = catalogue.entries()
    with (data / ".emkit/catalogue.sqlite").open("r+b") as file:
        file.seek(0)
        file.write(b"\0" * 8192)
    assert catalogue.entries() == told


def test_only_what_changed_is_opened_again(data: Path, catalogue: Catalogue) -> None:
    counted(data / "a")
    (before,) = catalogue.entries()
    (data / "a/indices/c/0").write_bytes(b"damaged, but zarr.json is as it was")
    assert catalogue.entries() == [before]
    counted(data / "a", (4, 8))
    (after,) = catalogue.entries()
    assert after.shape == (4, 8, 64, 64)


def test_who_may_not_write_looks_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot be written: tests may run as root, whom no mode holds up."""
    counted(data / "a")
    (data / ".emkit").write_text("a file where the folder would be")
    reader = Catalogue(data)
    (entry,) = reader.entries()
    assert entry.state is State.DONE and reader.picture(entry)
    reader.close()
    assert (data / ".emkit").is_file()


def test_a_picture_is_the_bright_field(data: Path, catalogue: Catalogue) -> None:
    counted(data / "a", (32, 24))
    raw(data / "r")
    streamed(data / "live", 24)
    found = by_name(catalogue)
    image = np.asarray(Image.open(BytesIO(catalogue.picture(found["a"]))))
    assert image.shape == (32, 24) and image.std() > 30
    assert Image.open(BytesIO(catalogue.picture(found["r"]))).size == (2, 2)
    live = np.asarray(Image.open(BytesIO(catalogue.picture(found["live"]))))
    assert live[:3].min() > live[3:].max()


def test_search(data: Path, catalogue: Catalogue) -> None:
    raw(data / "gold/scan_1")
    counted(data / "carbon/scan_2")
    catalogue.note("carbon/scan_2", "Thick area")
    assert [entry.name for entry in catalogue.entries("THICK scan")] == ["carbon/scan_2"]
    assert [entry.name for entry in catalogue.entries("gold raw")] == ["gold/scan_1"]
    assert len(catalogue.entries("scan")) == 2 and catalogue.entries("gold thick") == []


def test_microscope_metadata_of_hdf5(data: Path, catalogue: Catalogue) -> None:
    counted(data / "a.h5")
    with h5py.File(data / "a.h5", "r+") as file:
        file["metadata"].attrs["voltage"] = "300 kV"
        file["metadata"].create_dataset("microscope/camera_length", data=0.11)
    (entry,) = catalogue.entries()
    assert entry.facts["voltage"] == "300 kV" and entry.facts["microscope camera_length"] == "0.11"


def test_microscope_metadata_of_a_file_beside_raw_frames(data: Path, catalogue: Catalogue, data_dir: Path) -> None:
    raw(data / "a")
    shutil.copy(data_dir / "em-formats/EELS_SI.dm4", data / "a.dm4")
    (entry,) = catalogue.entries()
    assert entry.facts["beam energy"] == "200 keV" and entry.facts["microscope file"] == "a.dm4"


# ---- notes ----


def test_notes_that_somebody_else_edited_are_not_lost(data: Path, catalogue: Catalogue) -> None:
    counted(data / "a")
    catalogue.note("a", "mine")
    catalogue.note("a", "mine, longer", instead_of="mine")
    with pytest.raises(ParameterError, match="its notes were changed meanwhile, to: 'mine, longer'"):
        catalogue.note("a", "theirs", instead_of="mine")
    with pytest.raises(ParameterError, match="found 30,000 letters, needed at most 20,000"):
        catalogue.note("a", "x" * 30_000)
    (data / "a.scan.toml").write_text("notes = [")
    assert "cannot be read as notes" in catalogue.entry("a").notes
    with pytest.raises(DataError, match=r"a\.scan\.toml cannot be read as notes"):
        catalogue.note("a", "new")


# ---- the jail ----


def test_nothing_outside_the_folder_is_read_or_written(data: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    counted(outside := tmp_path / "outside/secret")
    raw(tmp_path / "outside/raw")
    counted(data / "a")
    (data / "link").symlink_to(tmp_path / "outside")  # a folder
    shutil.rmtree(data / "a/indices")
    (data / "a/indices").symlink_to(outside / "indices")  # within a scan
    (data / "r").mkdir()
    for file in (tmp_path / "outside/raw").iterdir():
        (data / "r" / file.name).symlink_to(file)
    (data / "h.h5").symlink_to(counted(tmp_path / "outside/h.h5"))
    found = by_name(catalogue)
    assert set(found) == {"a", "r"} and all("out of" in entry.told for entry in found.values())
    for name in ("../outside/secret", "/etc/passwd", "link/secret", ""):
        with pytest.raises(PathError, match="none of the 2 scans"):
            catalogue.note(name, "written")
    with pytest.raises(PathError, match="is a link to"):
        catalogue.removal("r")
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["h.h5", "raw", "secret"]


def test_notes_are_not_written_through_a_link(data: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    counted(data / "a")
    (victim := tmp_path / "victim").write_text('notes = "mine"')
    (data / "a.scan.toml").symlink_to(victim)
    assert "out of" in catalogue.entry("a").notes
    with pytest.raises(PathError, match="is a link to"):
        catalogue.note("a", "theirs")
    assert victim.read_text() == 'notes = "mine"'


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="is no folder; needed: the one that holds scans"):
        Catalogue(tmp_path / "nowhere")


# ---- deleting raw frames ----


def test_raw_frames_go_once_a_whole_counted_scan_stands_beside_them(data: Path, catalogue: Catalogue) -> None:
    raw(data / "a")
    (data / "a/dark.npy").write_bytes(b"kept")
    with pytest.raises(PathError, match="No counted scan stands beside them. To delete all the same, type its name: a"):
        catalogue.delete_raw("a")
    emkit.count_scan(data / "a", out=data / "a-counted")
    catalogue.note("a", "kept too")
    before = catalogue.entry("a")
    removal = catalogue.removal("a")
    assert removal.question.startswith("Delete the 4 raw files of a, 2.7 MB?") and "a-counted, 4 frames" in removal.question
    assert catalogue.delete_raw("a").files == removal.files
    after = catalogue.entry("a")
    assert os.listdir(data / "a") == ["dark.npy"] and after.raw is None and after.raw_removed and after.state is State.DONE
    assert (after.notes, after.raw_bytes, round(after.at)) == ("kept too", before.raw_bytes, round(before.at))
    with pytest.raises(PathError, match="they were deleted before"):
        catalogue.removal("a")


@pytest.mark.parametrize("damage", ["fewer frames", "flagged", "a damaged chunk", "a chunk that is missing"])
def test_raw_frames_stay_where_the_counted_scan_cannot_stand_for_them(data: Path, catalogue: Catalogue, damage: str) -> None:
    raw(data / "a", without=1 if damage == "flagged" else None)
    if damage == "fewer frames":
        counted(data / "a-counted", (1, 3))
    elif damage == "flagged":
        counted(data / "a-counted", (2, 3))
    else:
        emkit.count_scan(data / "a", out=data / "a-counted")
        chunk = data / "a-counted/indices/c/0"
        if damage == "a damaged chunk":
            chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
        else:
            chunk.unlink()
    with pytest.raises(PathError, match="nothing was deleted. a-counted (holds|is|cannot)"):
        catalogue.delete_raw("a", "b")
    assert (data / "a/data_module0.data").exists()
    catalogue.delete_raw("a", "a")
    assert not (data / "a").exists()


# ---- counting several ----


def test_several_are_counted_in_one_run(data: Path, catalogue: Catalogue) -> None:
    for k in (1, 2, 3):
        raw(data / f"day/scan_{k}", seed=k)
        aged(data / f"day/scan_{k}", 600 * (4 - k))
    run = catalogue.begin(["day/scan_2", "day/scan_1"])
    assert {catalogue.entry(f"day/scan_{k}").state for k in (1, 2)} <= {State.COUNTING, State.DONE}
    until(lambda: run.state is RunState.DONE, "both are counted")
    found = by_name(catalogue)
    assert [found[f"day/scan_{k}"].state for k in (1, 2, 3)] == [State.DONE, State.DONE, State.RAW]
    with pytest.raises(ParameterError, match="there is nothing to count"):
        catalogue.begin(["day/scan_1"])
    with pytest.raises(ParameterError, match="found 1 scans, needed 2 or more"):
        catalogue.begin(["day/scan_1"], series="series")
    with pytest.raises(PathError, match="does not lie in"):
        catalogue.begin(["day/scan_1", "day/scan_2"], series="../series")


def test_a_series_is_measured_in_the_order_of_time(data: Path, catalogue: Catalogue) -> None:
    for k, name in enumerate(("c", "a", "b")):
        counted(data / name)
        aged(data / name, 600 * (3 - k))
    run = catalogue.begin(["a", "b", "c"], series="series")
    until(lambda: run.state is RunState.DONE, "the series is measured")
    lines = (data / "series/table.csv").read_text().splitlines()
    told = [(name, round(float(minutes))) for name, minutes, *_ in (line.split(",") for line in lines[1:])]
    assert told == [("c", 0), ("a", 10), ("b", 20)]
    assert {entry.name for entry in catalogue.entries()} == {"a", "b", "c"}


def test_what_cannot_be_counted_says_why_in_its_line(data: Path, catalogue: Catalogue) -> None:
    raw(data / "good")
    raw(data / "bad", without=3)
    run = catalogue.begin(["bad", "good"])
    until(lambda: run.state is RunState.FAILED, "one fails")
    found = by_name(catalogue)
    assert found["good"].state is State.DONE and found["bad"].state is State.INCOMPLETE
    assert "12 of 16 sectors are there; not counted: " in found["bad"].told and "no frame of which all sectors" in found["bad"].told


def test_a_count_that_was_cut_off_is_incomplete_and_one_at_work_is_told(data: Path, catalogue: Catalogue) -> None:
    raw(data / "a")
    folder = catalogue.begin(["a"])
    until(lambda: folder.state is RunState.DONE, "it is counted")
    shutil.rmtree(data / "a-counted")
    part = next((folder.path / "parts").iterdir())
    (data / "unfinished-a-counted.run").write_text(str(part))
    RunFolder(part).say(RunState.CANCELLED, "by a test")
    entry = catalogue.entry("a")
    assert entry.state is State.INCOMPLETE and f"was cancelled; go on with it: emkit resume {folder.id}" in entry.told
    assert find_run(entry.run).path == folder.path
    (data / "unfinished-a-counted.run").write_text("/somebody/elses/run")
    assert catalogue.entry("a").told == "counting was cut off; count it again"
    (data / "unfinished-a-counted.run").unlink()
    assert replace(catalogue.entry("a"), run="").state is State.RAW


# ---- its notebook ----


def test_its_notebook_is_filled_once(data: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    raw(data / "day/a")
    template = Path(__file__).parents[2] / "notebooks/count_a_scan.ipynb"
    path = catalogue.notebook("day/a", template, tmp_path / "mine")
    assert path == tmp_path / "mine/day/a.ipynb"
    text = path.read_text()
    assert f"source = '{data}/day/a'" in text and f"out = '{data}/day/a-counted'" in text
    path.write_text("edited")
    assert catalogue.notebook("day/a", template, tmp_path / "mine") == path and path.read_text() == "edited"
