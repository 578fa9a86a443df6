"""What a viewer is given of a corrected segmentation is what apply-edits writes; edits come from who was granted them, in JSON."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import zarr
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from emkit.errors import PathError
from emkit.io.edits import edits_of, read_edits
from emkit.server import handlers
from emkit.server.alone import serving
from emkit.server.capability import Grant, provide_key, sign, verify
from emkit.server.corrected import Corrected, correctable_scene
from emkit.server.correcting import correcting_key
from emkit.server.scene import volume_scene
from tests.io.readers import write_volume
from tests.steps.test_correcting import NM, centre, labels_of, segmented, two_cells


@pytest.fixture(scope="module")
def seg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return segmented(tmp_path_factory.mktemp("seg"))


def shown(corrected: Corrected, edits: int, level: int, folder: Path) -> np.ndarray:
    """A level as a zarr reader sees it."""
    place = folder / f"{edits}"
    keys = ["zarr.json", f"{level}/zarr.json"]
    shape = json.loads(corrected.get(edits, keys[1]) or b"")["shape"]
    chunk = json.loads(corrected.get(edits, keys[1]) or b"")["chunk_grid"]["configuration"]["chunk_shape"]
    keys += [f"{level}/c/{z}/{y}/{x}" for z, y, x in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunk, strict=True)))]
    for key in keys:
        (place / key).parent.mkdir(parents=True, exist_ok=True)
        (place / key).write_bytes(corrected.get(edits, key) or b"")
    return np.asarray(zarr.open_array(place / str(level), mode="r"))


def test_every_level_shows_the_edits(seg: Path, tmp_path: Path) -> None:
    edits_of(seg).unlink(missing_ok=True)
    corrected, before = Corrected(seg), labels_of(seg)
    a, b = two_cells(before)
    corrected.opened.edit("merge", centre(before, a), centre(before, b))
    corrected.opened.edit("split", centre(before, a, 0), centre(before, a, 2))
    table = corrected.opened.cells(read_edits(edits_of(seg)))
    fragments = np.asarray(zarr.open_array(seg / "fragments" / "0", mode="r"))
    np.testing.assert_array_equal(shown(corrected, 0, 0, tmp_path), before)
    np.testing.assert_array_equal(shown(corrected, 1, 0, tmp_path), np.where(np.isin(before, (a, b)), min(a, b), before))
    np.testing.assert_array_equal(shown(corrected, 2, 0, tmp_path), table[fragments])
    coarse = np.asarray(zarr.open_array(seg / "1", mode="r"))
    np.testing.assert_array_equal(shown(corrected, 0, 1, tmp_path), coarse)
    split = shown(corrected, 2, 1, tmp_path)
    np.testing.assert_array_equal(split[~np.isin(coarse, (a, b))], coarse[~np.isin(coarse, (a, b))])
    assert (np.unique(split[np.isin(coarse, (a, b))]) == np.unique(table[np.isin(corrected.opened.bonds.cells, (a, b))])).all()
    assert corrected.get(2, "9/zarr.json") is corrected.get(2, "0/c/9/0/0") is corrected.get(2, "../x") is None


def test_a_grant_to_read_is_none_to_edit(seg: Path) -> None:
    key = b"key"
    scene = correctable_scene(volume_scene(seg, key=key), seg, key)
    (layer,) = scene["layers"]
    capability, edits = layer["source"].split("/")[2:4]
    assert verify(capability, correcting_key(key)) == Grant(seg.resolve()) and verify(capability, key) is None
    assert layer["type"] == "segmentation" and int(edits) == len(read_edits(edits_of(seg)))
    assert not any("correct/" in pattern for pattern, _, _ in handlers("/"))
    write_volume(seg.with_name("l.ome.zarr"), np.ones((1, 9, 9), np.uint32), NM, "labels")
    with pytest.raises(PathError, match="holds no fragments"):
        correctable_scene(scene, seg.with_name("l.ome.zarr"), key)


def test_edits_by_the_page(seg: Path) -> None:
    edits_of(seg).unlink(missing_ok=True)
    before = labels_of(seg)
    a, b = two_cells(before)
    nm = [[float(at) * size for at, size in zip(centre(before, label), NM, strict=True)] for label in (a, b)]

    async def visit() -> None:
        client = AsyncHTTPClient()
        async with serving(seg, correct=True) as url:
            door = await client.fetch(url, follow_redirects=False, raise_error=False)
            cookie = {"Cookie": door.headers["Set-Cookie"].split(";")[0]}
            state = json.loads(unquote(door.headers["Location"].partition("#!")[2]))
            source = state["layers"][-1]["source"].partition("|")[0]
            place = source.removesuffix("0/")

            async def ask(body: Any, kind: str = "application/json", **more: str) -> HTTPResponse:
                headers = {"Content-Type": kind, **cookie, **more}
                return await client.fetch(place + "edits", method="POST", headers=headers, body=json.dumps(body), raise_error=False)

            merge = {"do": "merge", "points_nm": nm}
            assert (await ask(merge, "text/plain")).code == 415
            assert (await ask(merge, Cookie="none=")).code == 403
            assert (await client.fetch(source + "zarr.json", headers=cookie)).code == 200
            read_only = place.replace(place.split("/")[-2], sign(Grant(seg), provide_key()))
            denied = await client.fetch(f"{read_only}edits", headers=cookie, raise_error=False)
            assert denied.code == 403 and not edits_of(seg).exists()

            done = await ask(merge)
            assert (done.code, json.loads(done.body)) == (200, {"edits": 1, "said": "Edit 1: merged"})
            again = await ask(merge)
            assert again.code == 409 and "Nothing to merge" in json.loads(again.body)["said"]
            no_number = {"do": "merge", "points_nm": [[0, 0, None], [0, 0, 0]]}
            questions: list[Any] = [{}, [], no_number, {"do": "merge", "points_nm": [nm[0]]}]
            for wrong in questions:
                assert (await ask(wrong)).code == 409
            assert (await ask("x" * 5000)).code == 413
            assert json.loads((await ask({"do": "undo"})).body)["said"] == "Edit 2: 1 is undone"
            told = await client.fetch(place + "edits", headers=cookie)
            assert json.loads(told.body) == {"edits": 2, "said": ""}

    asyncio.run(visit())
    assert [edit.kind for edit in read_edits(edits_of(seg))] == ["merge", "undo"]
