"""What the extension serves, and to whom, asked of a real Jupyter server with paths no browser would send."""

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from emkit.server.capability import KEY_VARIABLE, Grant, sign
from tests.servers import TOKEN, jupyter

KEY = "the key of the server under test"
BYTES = bytes(range(256)) * 4


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Server:
    port: int
    shelf: Path  # the only root that the server was given

    def ask(self, path: str, method: str = "GET", *, logged_in: bool = True, **headers: str) -> Answer:
        """`path` goes over the wire as it is. Header names take `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if logged_in:
            sent["Authorization"] = f"token {TOKEN}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def data(self, relative: str, folder: Path | None = None, key: str = KEY) -> str:
        return f"/emkit/data/{sign(Grant(folder or self.shelf / 'volume'), key.encode())}/{relative}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    shelf, outside = tmp_path_factory.mktemp("shelf"), tmp_path_factory.mktemp("outside")
    volume = shelf / "volume"
    (volume / "0" / "c").mkdir(parents=True)
    (volume / "zarr.json").write_text("{}")
    (volume / "0" / "c" / "0").write_bytes(BYTES)
    (volume / "empty").touch()
    (volume / "named  with ünicode").write_text("found")
    (outside / "secret").write_text("classified")
    (shelf / "volume-beside").mkdir()
    (shelf / "volume-beside" / "secret").write_text("classified")
    for name, target in {"out": outside, "file-out": outside / "secret", "in": volume / "0", "circle": volume / "circle"}.items():
        (volume / name).symlink_to(target)
    (shelf / "linked").symlink_to(outside)
    roots = f"--ViewServer.roots={shelf}"
    with jupyter("jupyter_server", roots, home=tmp_path_factory.mktemp("home"), environment={KEY_VARIABLE: KEY}) as running:
        yield Server(running.port, shelf)


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=10-10", 206, 10, 11),
        ("bytes=1000-", 206, 1000, 1024),
        ("bytes=-24", 206, 1000, 1024),
        ("bytes=1000-5000", 206, 1000, 1024),
        ("bytes=-5000", 200, 0, 1024),
        ("bytes=0-", 200, 0, 1024),
        ("bytes=0-1,5-6", 200, 0, 1024),  # several ranges: the whole, as RFC 9110 allows
        ("lines=1-2", 200, 0, 1024),
        ("bytes=x-y", 200, 0, 1024),
    ],
)
def test_ranges(server: Server, asked: str, status: int, start: int, stop: int) -> None:
    answer = server.ask(server.data("0/c/0"), Range=asked)
    assert (answer.status, answer.body) == (status, BYTES[start:stop])
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024"
    assert answer.headers["Accept-Ranges"] == "bytes"
    head = server.ask(server.data("0/c/0"), "HEAD", Range=asked)
    assert (head.status, head.body, head.headers["Content-Length"]) == (status, b"", str(stop - start))


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0", "bytes=9-3"])
def test_ranges_that_cannot_be_met(server: Server, asked: str) -> None:
    answer = server.ask(server.data("0/c/0"), Range=asked)
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1024")


def test_head_tells_the_length_and_kind(server: Server) -> None:
    for path, length, kind in (
        ("0/c/0", "1024", "application/octet-stream"),
        ("zarr.json", "2", "application/json"),
        ("empty", "0", None),
    ):
        answer = server.ask(server.data(path), "HEAD")
        assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, length, b"")
        assert kind is None or answer.headers["Content-Type"] == kind


def test_an_unchanged_file_is_not_sent_again(server: Server) -> None:
    first = server.ask(server.data("0/c/0"))
    assert server.ask(server.data("0/c/0"), If_None_Match=first.headers["Etag"]).status == 304
    (server.shelf / "volume" / "changing").write_bytes(b"one")
    before = server.ask(server.data("changing"))
    (server.shelf / "volume" / "changing").write_bytes(b"other")
    after = server.ask(server.data("changing"), If_None_Match=before.headers["Etag"])
    assert (after.status, after.body) == (200, b"other")


def test_names_are_taken_literally(server: Server) -> None:
    assert server.ask(server.data("named%20%20with%20%C3%BCnicode")).body == b"found"
    assert server.ask(server.data("in/c/0")).body == BYTES  # a link that stays inside


@pytest.mark.parametrize(
    "path",
    [
        "../volume-beside/secret",
        "%2e%2e/volume-beside/secret",
        "..%2fvolume-beside%2fsecret",
        "0/../../volume-beside/secret",
        "0/../zarr.json",
        "/etc/passwd",
        "%2fetc/passwd",
        "out/secret",
        "file-out",
        "in/../../volume-beside/secret",
        "zarr.json%00",
        "%00",
        "circle",
        "",
        "0",
        "0/",
        "missing",
        "..%5c..%5cetc%5cpasswd",
        "a" * 5000,
        "%ff",
    ],
)
def test_nothing_but_files_of_the_folder(server: Server, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = server.ask(server.data(path), method)
        assert answer.status in (400, 403, 404)
        assert b"classified" not in answer.body and b"root:" not in answer.body


def test_a_capability_must_be_ours_and_below_the_roots(server: Server) -> None:
    volume = server.shelf / "volume"
    good = sign(Grant(volume), KEY.encode())
    assert server.ask(f"/emkit/data/{good}/zarr.json").status == 200
    body, signature = good.split(".")
    other_body = sign(Grant(server.shelf), b"x").split(".")[0]
    bad = [
        "",
        ".",
        "x",
        body,
        f"{body}.",
        f".{signature}",
        f"{other_body}.{signature}",
        f"{good}A",
        good.swapcase(),
        f"{body}.%C3%BC",
        f"{good}%00",
    ]
    for capability in bad:
        assert server.ask(f"/emkit/data/{capability}/zarr.json").status in (403, 404), capability
    assert server.ask(server.data("zarr.json", key="another server's")).status == 403
    for folder in (server.shelf.parent, Path("/etc"), server.shelf / "linked", Path("/")):
        assert server.ask(server.data("secret", folder=folder)).status == 403
    files_only = server.ask(f"/emkit/sections/{good}/zarr.json")
    assert files_only.status == 403


def test_only_for_who_is_logged_in(server: Server) -> None:
    paths = [server.data("zarr.json"), "/emkit/v/x/", "/emkit/v/x/quiet.js", "/emkit/sections/x/zarr.json"]
    for path in paths:
        for headers in ({}, {"Authorization": "token wrong"}, {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Site": "cross-site"}):
            assert server.ask(path, logged_in=False, **headers).status in (302, 403)


def test_sections_answer_as_a_zarr_array(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Read back through zarr itself, chunk by chunk over HTTP, they are the pixels that were written."""
    folder = server.shelf / "sections"
    folder.mkdir()
    planted = np.random.default_rng(0).integers(0, 255, (3, 300, 200), dtype=np.uint8)
    for z, section in enumerate(planted):
        tifffile.imwrite(folder / f"{z}.tif", section)
    capability = sign(Grant(folder, (45.0, 4.6, 4.6)), KEY.encode())
    copy = tmp_path_factory.mktemp("copy")
    chunks = [f"0/c/{z}/{y}/0" for z in range(3) for y in range(2)]
    for key in ("zarr.json", "0/zarr.json", *chunks):
        answer = server.ask(f"/emkit/sections/{capability}/{key}")
        assert answer.status == 200
        head = server.ask(f"/emkit/sections/{capability}/{key}", "HEAD")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(answer.body)))
        (copy / key).parent.mkdir(parents=True, exist_ok=True)
        (copy / key).write_bytes(answer.body)
    np.testing.assert_array_equal(zarr.open_array(copy / "0", mode="r")[:], planted)
    for missing in ("", "0", "0/c/9/0/0", "9/zarr.json", "../volume/zarr.json", "0.tif", "%00", "0/c/0/0/0/"):
        assert server.ask(f"/emkit/sections/{capability}/{missing}").status == 404


def test_a_section_that_cannot_be_read_is_missing_and_logged(server: Server) -> None:
    folder = server.shelf / "cut"
    folder.mkdir()
    for z in range(2):
        tifffile.imwrite(folder / f"{z}.tif", np.full((64, 64), z, np.uint8))
    whole = (folder / "1.tif").read_bytes()
    (folder / "1.tif").write_bytes(whole[:-100])
    capability = sign(Grant(folder, (45.0, 4.6, 4.6)), KEY.encode())
    answers = [server.ask(f"/emkit/sections/{capability}/0/c/{z}/0/0").status for z in range(2)]
    assert answers in ([200, 404], [404, 404])  # 404 for both where the headers alone give it away
    gone = sign(Grant(server.shelf / "gone", (45.0, 4.6, 4.6)), KEY.encode())
    assert server.ask(f"/emkit/sections/{gone}/zarr.json").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_to_read(server: Server, method: str) -> None:
    for path in (server.data("zarr.json"), "/emkit/v/x/", "/emkit/sections/x/zarr.json"):
        assert server.ask(path, method).status in (403, 405)
    assert (server.shelf / "volume" / "zarr.json").read_text() == "{}"


def test_a_worker_needs_no_xsrf_token(server: Server) -> None:
    """Logged in by cookie, as a browser is, and asking as Neuroglancer's workers do: without `_xsrf`, without a referrer."""
    login = server.ask(f"/lab?token={TOKEN}", logged_in=False)
    cookie = "; ".join(header.split(";")[0] for header in login.headers.get_all("Set-Cookie", []))
    worker = {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Site": "same-origin", "Cookie": cookie}
    assert server.ask(server.data("0/c/0"), logged_in=False, Range="bytes=0-3", **worker).status == 206


def test_the_page_and_its_files(server: Server) -> None:
    page = server.ask("/emkit/v/any-name/")
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy and "connect-src 'self'" in policy
    files = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.body.decode())
    assert files[:2] == ["quiet.js", "correct.js"] and len(files) > 3
    for name in files:
        assert server.ask(f"/emkit/v/any-name/{name}").status == 200
    for path in ("../serving.py", "..%2fserving.py", "serving.py", "%2fetc/passwd", "capability.py"):
        assert server.ask(f"/emkit/v/any-name/{path}").status in (403, 404)


def test_other_pages_keep_their_policy(server: Server) -> None:
    """The viewer's page may be framed by its own origin; that is not written into the policy of anything else."""
    assert "connect-src" not in server.ask("/api/status").headers["Content-Security-Policy"]
