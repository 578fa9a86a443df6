"""What a model predicts of a volume where somebody looks: a zarr array that is nowhere stored. Axis order is (z, y, x).

A viewer asks for the chunks that it shows; each is predicted then, with all that the network looks at around it, so that it is what
predict-membranes would write there (with one look: --tta 1). Chunks are computed one after the other, with all cores; one that
nobody waits for any more is left out.
"""

import json
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.io.ngff import group_document
from emkit.io.virtual import plain_array
from emkit.io.voxels import open_voxels
from emkit.membrane.model import read_configuration
from emkit.membrane.prediction import ROOT, channels_of
from emkit.membrane.resampling import onto
from emkit.model import Shape
from emkit.server.capability import Grant, sign
from emkit.steps.inferring import GrayValues, Job, Means, find_means, probabilities
from emkit.steps.predicting import check_scale

CHUNKS: dict[int, Shape] = {2: (1, 512, 512), 3: (32, 128, 128)}  # by the dimension of the model
KEPT = 64  # chunks
KEY = re.compile(r"0/c/(\d+)/(\d+)/(\d+)")
OVERLAY = (
    '#uicontrol vec3 colour color(default="#ff5a36")\n#uicontrol invlerp normalized\n'
    "void main() { emitRGBA(vec4(colour, normalized())); }\n"
)
_one_at_a_time = threading.Lock()


class Predicted:
    """Key to bytes, as a zarr store answers. Safe to ask from several threads. ParameterError, PathError or DataError where the
    volume or the model are none, or of other voxels."""

    def __init__(self, volume: Path, model: Path) -> None:
        voxels, told = open_voxels(volume), read_configuration(model)
        if voxels.voxel_size_nm is None:
            raise ParameterError(f"{volume} does not tell its voxel size; needed: an OME-Zarr volume. Make one: emkit convert.")
        check_scale(voxels.voxel_size_nm, told.voxel_size_nm)
        every = Block((0, voxels.shape[0]), (0, voxels.shape[1]), (0, voxels.shape[2]))
        way = onto(voxels.shape, voxels.voxel_size_nm, told.voxel_size_nm, sections=told.dim == 2)
        self._root = next(channel for channel in channels_of(told.targets) if channel.group == ROOT)
        self._job = Job(model, voxels, every, way, (self._root,), "uint8", 1, "cpu", 1)
        self._gray = GrayValues(told.mean, told.std)
        self._group = group_document("", "image", voxels.voxel_size_nm, [(1, 1, 1)], voxels.origin_nm)
        self._chunk = CHUNKS[told.dim]
        self._means: Means | None = None
        self._kept = lru_cache(maxsize=KEPT)(self._predict)

    def get(self, key: str, unwanted: Callable[[], bool] = lambda: False) -> bytes | None:
        """The bytes under a key; None if a store would have none, or nobody waits for them any more."""
        if key == "zarr.json":
            return json.dumps(self._group).encode()
        shape = self._job.voxels.shape
        if key == "0/zarr.json":
            return json.dumps(plain_array(shape, self._chunk, "uint8")).encode()
        if not (named := KEY.fullmatch(key)):
            return None
        first = [int(at) * side for at, side in zip(named.groups(), self._chunk, strict=True)]
        if any(low >= size for low, size in zip(first, shape, strict=True)):
            return None
        with _one_at_a_time:
            return None if unwanted() else self._kept(*first)

    def _predict(self, z: int, y: int, x: int) -> bytes:
        self._means = self._means or find_means(self._job.model, self._job.device)
        spans = zip((z, y, x), self._chunk, self._job.voxels.shape, strict=True)
        block = Block(*((low, min(low + side, size)) for low, side, size in spans))
        found = self._root.of(probabilities(self._job, self._means, self._gray, block))
        chunk = np.zeros(self._chunk, np.uint8)  # at the rim a chunk is filled up
        depth, height, width = block.shape
        chunk[:depth, :height, :width] = np.rint(found * 255)
        return chunk.tobytes()


def predicted(volume: Path, model: Path) -> Predicted:
    """Kept for as long as neither the volume nor the model is replaced."""
    return _opened(volume, model, volume.stat().st_mtime_ns, model.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _opened(volume: Path, model: Path, *_changed_ns: int) -> Predicted:
    return Predicted(volume, model)


def predicted_layer(volume: Path, model: Path, key: bytes) -> dict[str, Any]:
    """The layer of a viewer's state: membranes in a colour, as opaque as they are probable. Raises as `Predicted`."""
    predicted(volume, model)
    source = f"{{base}}emkit/predict/{sign(Grant(volume, model=model), key)}/|zarr3:"
    return {"type": "image", "name": f"{model.name} (predicted here)", "source": source, "opacity": 0.6, "shader": OVERLAY}
