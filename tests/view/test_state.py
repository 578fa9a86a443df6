"""The state against Neuroglancer's own Python classes, which refuse what its client would not understand."""

import json

import neuroglancer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import ResourceError
from emkit.view import Layer, client, volume_state

RAW = Layer("raw", "https://site.org/raw.ome.zarr/|zarr3:", contrast=(20, 200))
LABELS = Layer("mitochondria", "https://site.org/raw.ome.zarr/labels/mito/|zarr3:", "labels")
sizes = st.floats(0.1, 1000, allow_nan=False)
counts = st.integers(1, 100_000)


@given(voxel=st.tuples(sizes, sizes, sizes), shape=st.tuples(counts, counts, counts), beside=st.booleans())
def test_neuroglancer_reads_it_as_meant(voxel: tuple[float, ...], shape: tuple[int, ...], beside: bool) -> None:
    z, y, x = shape
    state = volume_state([RAW, LABELS], voxel_size_nm=(voxel[0], voxel[1], voxel[2]), shape=(z, y, x), beside=beside)
    read = neuroglancer.ViewerState(json.loads(json.dumps(state)))
    assert read.to_json() == state
    assert list(read.dimensions.names) == ["x", "y", "z"] and set(read.dimensions.units) == {"m"}
    np.testing.assert_allclose(read.dimensions.scales * 1e9, voxel[::-1])
    np.testing.assert_allclose(read.position, (x / 2, y / 2, z / 2))


def test_layers_are_drawn_as_their_kind() -> None:
    read = neuroglancer.ViewerState(volume_state([RAW, LABELS], voxel_size_nm=(45, 4.6, 4.6), shape=(20, 1024, 1024)))
    assert isinstance(read.layers["raw"].layer, neuroglancer.ImageLayer)
    assert isinstance(read.layers["mitochondria"].layer, neuroglancer.SegmentationLayer)
    assert read.layers["raw"].source[0].url == RAW.source
    assert read.layers["raw"].layer.shader_controls["normalized"].range.tolist() == [20, 200]


def test_beside_gives_each_image_a_viewer_under_the_same_labels() -> None:
    before = Layer("before", "https://site.org/before/|zarr3:")
    state = volume_state([before, RAW, LABELS], voxel_size_nm=(45, 4.6, 4.6), shape=(20, 1024, 1024), beside=True)
    assert [viewer["layers"] for viewer in state["layout"]["children"]] == [["before", "mitochondria"], ["raw", "mitochondria"]]


def test_position_is_in_voxels_z_first() -> None:
    state = volume_state([RAW], voxel_size_nm=(45, 4.6, 4.6), shape=(20, 1024, 1024), position=(3, 40, 50))
    assert state["position"] == [50, 40, 3]


def test_the_client_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (client.client_folder() / "index.html").is_file()
    monkeypatch.setattr(client, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="pip install"):
        client.client_folder()
