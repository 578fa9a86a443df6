"""What a model predicts of a volume where somebody looks: a zarr array that is nowhere stored. Axis order is (z, y, x).

A viewer asks for the chunks that it shows; each is predicted then, with all that the network looks at around it, so that it is what
predict-membranes would write there (with one look: --tta 1). Chunks are computed one after the other, with all cores; one that
nobody waits for any more is left out.
"""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block, Span
from emkit.errors import ParameterError
from emkit.io.arrays import Voxels
from emkit.io.ngff import group_document
from emkit.io.virtual import plain_array
from emkit.io.voxels import open_voxels
from emkit.membrane.model import Configuration, read_configuration
from emkit.membrane.prediction import ROOT, channels_of
from emkit.membrane.resampling import onto
from emkit.model import Shape, SizeNm
from emkit.server.capability import Grant, sign
from emkit.steps.inferring import GrayValues, Job, Means, find_means, probabilities
from emkit.steps.predicting import check_scale, parse_box

CHUNKS: dict[int, Shape] = {2: (1, 512, 512), 3: (32, 128, 128)}  # by the dimension of the model
KEPT = 64  # chunks
KEY = re.compile(r"0/c/(\d+)/(\d+)/(\d+)")
OVERLAY = (
    '#uicontrol vec3 colour color(default="#ff5a36")\n#uicontrol invlerp normalized\n'
    "void main() { emitRGBA(vec4(colour, normalized())); }\n"
)
KEPT_BYTES = 128 << 20
_one_at_a_time, _one_asked = threading.Lock(), threading.Lock()


class Looked:
    """Probabilities of membrane (uint8, 0 to 255) of the blocks that were asked for. One block at a time is computed.

    Raises ParameterError where the voxels are not of the size that the model can see.
    """

    def __init__(self, voxels: Voxels, voxel_size_nm: SizeNm, model: Path) -> None:
        told = read_configuration(model)
        check_scale(voxel_size_nm, told.voxel_size_nm)
        every = Block((0, voxels.shape[0]), (0, voxels.shape[1]), (0, voxels.shape[2]))
        way = onto(voxels.shape, voxel_size_nm, told.voxel_size_nm, sections=told.dim == 2)
        self._root = next(channel for channel in channels_of(told.targets) if channel.group == ROOT)
        self._job = Job(model, voxels, every, way, (self._root,), "uint8", 1, "cpu", 1)
        self._gray = GrayValues(told.mean, told.std)
        self._told = told
        self._kept: OrderedDict[Block, NDArray[np.uint8]] = OrderedDict()

    def compute(self, block: Block) -> NDArray[np.uint8]:
        """What predict-membranes would write there, (z, y, x)."""
        with _one_at_a_time:
            means = _means_of(self._told, self._job)
            return np.rint(self._root.of(probabilities(self._job, means, self._gray, block)) * 255).astype(np.uint8)

    def predict(self, block: Block) -> None:
        """Compute a block, if it is not known, and keep it for `seen`."""
        if self.seen(block)[1].all():
            return
        self._kept[block] = self.compute(block)
        while len(self._kept) > 1 and sum(found.size for found in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)

    def seen(self, block: Block) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """What is known of a block, and where."""
        found, known = np.zeros(block.shape, np.uint8), np.zeros(block.shape, bool)
        for held, values in list(self._kept.items()):
            spans = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(_spans(block), _spans(held), strict=True)]
            if all(low < high for low, high in spans):
                to, of = _within(spans, block), _within(spans, held)
                found[to], known[to] = values[of], True
        return found, known


_means: dict[tuple[str, ...], Means] = {}


def _means_of(told: Configuration, job: Job) -> Means:
    """Found out once for each architecture: how far it looks does not depend on its weights."""
    key = (told.architecture, json.dumps(told.options, sort_keys=True), str(told.targets), job.device)
    if key not in _means:
        _means[key] = find_means(job.model, job.device)
    return _means[key]


def _within(spans: Sequence[Span], block: Block) -> tuple[slice, ...]:
    return tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(spans, _spans(block), strict=True))


def _spans(block: Block) -> tuple[Span, Span, Span]:
    return block.z, block.y, block.x


class Predicted:
    """Key to bytes, as a zarr store answers; only within a `box` (z0:z1,y0:y1,x0:x1) if there is one. Threads may ask at once.

    ParameterError, PathError or DataError where the volume or the model are none, or of other voxels, or the box lies outside.
    """

    def __init__(self, volume: Path, model: Path, box: str | None = None) -> None:
        voxels = open_voxels(volume)
        if voxels.voxel_size_nm is None:
            raise ParameterError(f"{volume} does not tell its voxel size; needed: an OME-Zarr volume. Make one: emkit convert.")
        self._looked = Looked(voxels, voxels.voxel_size_nm, model)
        self._shape, self._box = voxels.shape, parse_box(box, voxels.shape)
        self._group = group_document("", "image", voxels.voxel_size_nm, [(1, 1, 1)], voxels.origin_nm)
        self._chunk = CHUNKS[read_configuration(model).dim]
        self._kept = lru_cache(maxsize=KEPT)(self._predict)

    def get(self, key: str, unwanted: Callable[[], bool] = lambda: False) -> bytes | None:
        """The bytes under a key; None if a store would have none, or nobody waits for them any more."""
        if key == "zarr.json":
            return json.dumps(self._group).encode()
        if key == "0/zarr.json":
            return json.dumps(plain_array(self._shape, self._chunk, "uint8")).encode()
        if not (named := KEY.fullmatch(key)):
            return None
        first = [int(at) * side for at, side in zip(named.groups(), self._chunk, strict=True)]
        spans = zip(first, self._chunk, _spans(self._box), strict=True)
        if any(low >= high or low + side <= begin for low, side, (begin, high) in spans):
            return None
        with _one_asked:
            return None if unwanted() else self._kept(*first)

    def _predict(self, *first: int) -> bytes:
        spans = [(max(low, a), min(low + side, b)) for low, side, (a, b) in zip(first, self._chunk, _spans(self._box), strict=True)]
        chunk = np.zeros(self._chunk, np.uint8)  # at the rim a chunk is filled up
        inside = tuple(slice(a - low, b - low) for (a, b), low in zip(spans, first, strict=True))
        chunk[inside] = self._looked.compute(Block(*spans))
        return chunk.tobytes()


def predicted(volume: Path, model: Path, box: str | None = None) -> Predicted:
    """Kept for as long as neither the volume nor the model is replaced."""
    return _opened(volume, model, box, volume.stat().st_mtime_ns, model.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _opened(volume: Path, model: Path, box: str | None, *_changed_ns: int) -> Predicted:
    return Predicted(volume, model, box)


def predicted_layer(volume: Path, model: Path, key: bytes, box: str | None = None) -> dict[str, Any]:
    """The layer of a viewer's state: membranes in a colour, as opaque as they are probable. Raises as `Predicted`."""
    predicted(volume, model, box)
    source = f"{{base}}emkit/predict/{sign(Grant(volume, model=model, box=box), key)}/|zarr3:"
    return {"type": "image", "name": f"{model.name} (predicted here)", "source": source, "opacity": 0.6, "shader": OVERLAY}
