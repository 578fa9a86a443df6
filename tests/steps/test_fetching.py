"""Public data come whole and as pinned, from a real server on loopback or from a local copy, or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from emkit import fetch_data
from emkit.errors import DataError, ParameterError, PathError
from emkit.io.sections import open_stack
from emkit.steps.fetching import LICENCE, fetch_file, pinned


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which it is served."""
    (root := tmp_path / "served").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield root, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user without a local copy."""
    monkeypatch.delenv("EMKIT_DATA_DIR", raising=False)


def test_two_stacks_of_twenty_sections_are_pinned() -> None:
    assert [len(pinned(f"vnc-stack{n}")) for n in (1, 2)] == [20, 20]
    assert list(pinned("vnc-stack1"))[:2] == ["stack1/raw/00.tif", "stack1/raw/01.tif"]
    assert all(len(bytes.fromhex(digest)) == 32 for digest in pinned("vnc-stack1").values())


@pytest.mark.usefixtures("network")
def test_a_stack_is_fetched_with_its_licence(data_dir: Path, served: tuple[Path, str], tmp_path: Path) -> None:
    root, url = served
    (root / "stack1").symlink_to(data_dir / "vnc" / "stack1")
    report = fetch_data(out=tmp_path / "vnc", base_url=url + "/")
    assert (report.files, report.voxel_size_nm) == (20, (45.0, 4.6, 4.6))
    assert "CC BY-NC-SA 3.0" in report.licence
    assert (tmp_path / "vnc" / "LICENSE").read_text() == LICENCE
    assert len(open_stack(tmp_path / "vnc").files) == 20


def test_a_local_copy_is_used_and_still_checked(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMKIT_DATA_DIR", str(data_dir))
    fetch_data(out=tmp_path / "vnc", dataset="vnc-stack2", base_url="http://127.0.0.1:9")
    found = hashlib.sha256((tmp_path / "vnc" / "07.tif").read_bytes()).hexdigest()
    assert found == pinned("vnc-stack2")["stack2/raw/07.tif"]


def test_a_local_copy_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "data" / "vnc" / "stack1" / "raw").mkdir(parents=True)
    (folder / "00.tif").write_bytes(b"not the section")
    monkeypatch.setenv("EMKIT_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(
        (DataError, PathError), match=r"is not the file that is meant: its sha256 is|cannot be copied: No such file"
    ):
        fetch_data(out=tmp_path / "vnc")
    assert not (tmp_path / "vnc").exists()


@pytest.mark.usefixtures("network")
def test_a_wrong_digest_is_refused_and_leaves_nothing(served: tuple[Path, str], tmp_path: Path) -> None:
    root, url = served
    (root / "stack1" / "raw").mkdir(parents=True)
    (root / "stack1" / "raw" / "00.tif").write_bytes(b"not the section")
    (out := tmp_path / "out").mkdir()
    name = "stack1/raw/00.tif"
    with pytest.raises(DataError, match=r"/00.tif is not the file that is meant: .*expected b76df299.* It was not kept"):
        fetch_file(url, name, pinned("vnc-stack1")[name], out)
    assert list(out.iterdir()) == []


@pytest.mark.usefixtures("network")
def test_what_the_server_lacks_and_a_server_that_is_not_there_are_told(served: tuple[Path, str], tmp_path: Path) -> None:
    _, url = served
    with pytest.raises(PathError, match=r"stack1/raw/\d+.tif cannot be fetched: 404 File not found. Check the network"):
        fetch_data(out=tmp_path / "vnc", base_url=url)
    with pytest.raises(PathError, match=r"stack1/raw/\d+.tif cannot be fetched: its server cannot be reached"):
        fetch_data(out=tmp_path / "vnc", base_url="http://127.0.0.1:9")
    with pytest.raises(ParameterError, match="base_url: found 'ftp://x', needed an address that begins with https://"):
        fetch_data(out=tmp_path / "vnc", base_url="ftp://x")
    assert not (tmp_path / "vnc").exists()


@pytest.mark.usefixtures("network")
def test_a_run_that_was_cut_off_fetches_only_what_is_missing(
    data_dir: Path, served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, url = served
    (folder := root / "stack1" / "raw").mkdir(parents=True)
    asked: list[str] = []
    for source in sorted((data_dir / "vnc/stack1/raw").iterdir())[:19]:
        (folder / source.name).symlink_to(source)
    monkeypatch.setattr(Quiet, "log_message", lambda self, format, *args: asked.append(self.path))
    with pytest.raises(PathError, match="19.tif cannot be fetched: 404"):
        fetch_data(out=tmp_path / "vnc", base_url=url)
    (folder / "19.tif").symlink_to(data_dir / "vnc/stack1/raw/19.tif")
    first, asked[:] = len(asked), []
    fetch_data(out=tmp_path / "vnc", base_url=url)
    assert first >= 20
    assert "/stack1/raw/19.tif" in asked and len(asked) <= 2
    assert len(open_stack(tmp_path / "vnc").files) == 20
