"""`emkit view` as a person at a terminal meets it: an address, data behind its token, Ctrl-C."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import tifffile

from emkit.io.omezarr import create_volume, shard_grid, write_block


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "small.ome.zarr"
    create_volume(path, shape=(4, 64, 64), dtype="uint8", voxel_size_nm=(45, 4.6, 4.6))
    for block in shard_grid(path):
        write_block(path, block, np.full((4, 64, 64), 7, np.uint8)[block.slices])
    return path


@pytest.fixture
def sections(tmp_path: Path) -> Path:
    folder = tmp_path / "sections"
    folder.mkdir()
    for z in range(4):
        tifffile.imwrite(folder / f"{z}.tif", np.full((64, 64), z, np.uint8))
    return folder


def command(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("emkit")), "view", *words]


@pytest.fixture
def address(volume: Path, sections: Path) -> Iterator[str]:
    with subprocess.Popen(command(str(volume), "--before", str(sections)), stdout=subprocess.PIPE, text=True) as viewer:
        try:
            assert viewer.stdout is not None
            yield viewer.stdout.readline().strip()
        finally:
            viewer.send_signal(signal.SIGINT)
            assert viewer.wait(timeout=20) == 0


def ask(address: str, path: str, cookie: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_the_address_opens_the_volume_and_its_sections(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
    door = ask(address, f"/?{urlsplit(address).query}")
    assert door.status == 302
    cookie = str(door.headers["Set-Cookie"]).split(";")[0]
    place, _, state = str(door.headers["Location"]).partition("#!")
    layers = {layer["name"]: layer["source"] for layer in json.loads(unquote(state))["layers"]}
    assert list(layers) == ["sections (before)", "small"]
    paths = [urlsplit(place).path, *(f"{urlsplit(source.partition('|')[0]).path}zarr.json" for source in layers.values())]
    for path in paths:
        assert ask(address, path, cookie).status == 200
        assert ask(address, path).status == 403
        assert ask(address, path, cookie.replace("=", "=x")).status == 403
    assert ask(address, "/").status == ask(address, "/?token=wrong").status == ask(address, "/?token=%C3%BC").status == 403


@pytest.mark.parametrize("wrong", ["missing.ome.zarr", "sections", "port", "before"])
def test_refusals_name_what_is_wrong(volume: Path, sections: Path, wrong: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words, named = {
            "missing.ome.zarr": ([str(volume.parent / "missing.ome.zarr")], "missing.ome.zarr"),
            "sections": ([str(sections)], "sections"),
            "port": ([str(volume), "--port", port], port),
            "before": ([str(volume), "--before", str(volume / "zarr.json")], "zarr.json"),
        }[wrong]
        done = subprocess.run(command(*words), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("emkit view: ") and named in done.stderr and "Traceback" not in done.stderr
