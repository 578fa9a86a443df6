"""report_alignment: one page that holds all it shows, and says of planted defects what to do."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import emkit
from emkit.align import read_alignment
from emkit.align.page import reimage_list
from emkit.errors import PathError
from emkit.io.omezarr import create_volume

NM = (45.0, 4.6, 4.6)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    emkit.make_phantom(out=folder / "raw", sections=7, size_px=256, jitter=0.3, seed=5, defects=("2:tear", "5:displaced"))
    emkit.align_sections(folder / "raw", out=folder / "a.ome.zarr", voxel_size_nm=NM)
    return folder / "a.ome.zarr"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_names_what_is_wrong_and_needs_nothing_else(volume: Path, tmp_path: Path) -> None:
    assert emkit.report_alignment(volume, out=tmp_path / "report.html", title="Block 7 <VNC>") == 2
    text = (tmp_path / "report.html").read_text()
    assert "Block 7 &lt;VNC&gt;" in text and "7 sections, 2 bad" in text
    assert re.search(r"Section 2 · section_02\.tif: tear", text) and re.search(
        r"Section 5 · section_05\.tif: displaced region", text
    )
    (tags := Tags()).feed(text)
    pictures = [attributes["src"] or "" for tag, attributes in tags.found if tag == "img"]
    assert len(pictures) == 6 and all(source.startswith("data:image/png;base64,") for source in pictures)
    assert not [tag for tag, attributes in tags.found if tag in ("script", "link") or "http" in str(attributes.get("src"))]
    assert text.count("<tr") == 8  # a head and every section
    emkit.report_alignment(volume, out=tmp_path / "again.html", title="Block 7 <VNC>")
    assert (tmp_path / "again.html").read_text() == text


def test_the_list_to_image_again_leaves_out_what_a_microscope_cannot_mend(volume: Path) -> None:
    head, *rows = reimage_list(read_alignment(volume)).splitlines()
    assert head == "section,file,defect,score,advice"
    assert [row.split(",")[:3] for row in rows] == [["5", "section_05.tif", "displaced region"]]


def test_a_volume_that_was_not_aligned_has_no_report(tmp_path: Path) -> None:
    create_volume(tmp_path / "a.ome.zarr", shape=(2, 64, 64), dtype="uint8", voxel_size_nm=NM)
    with pytest.raises(PathError, match=r"holds no alignment\.json"):
        emkit.report_alignment(tmp_path / "a.ome.zarr", out=tmp_path / "report.html")
