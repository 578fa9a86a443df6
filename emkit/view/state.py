"""The state of a Neuroglancer viewer as JSON (https://github.com/google/neuroglancer, `src/viewer.ts`), from shapes and voxel
sizes.

Arrays are (z, y, x) here; Neuroglancer wants its dimensions in the order x, y, z, for the first two span its "xy" panel.
Dimensions are always given, in metres as Neuroglancer writes them: without them a viewer opens 100 m away from the data, grey
and empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emkit.model import Shape, SizeNm, VolumeKind

PANEL_PX, HALF_PANEL_PX = 400, 220  # a panel's usual side on screen: the opening zoom shows a whole section in one
OBLIQUE = [-0.3, 0.2, 0.06, 0.93]  # a quaternion: the 3D panel opens on a corner of the volume, not on a face


@dataclass(frozen=True)
class Layer:
    """One layer: `source` is a URL with its format (`https://…/|zarr3:`), `contrast` the grey values shown black and white.

    Labels may have `shapes`: sources of meshes and skeletons, of which `selected` objects are shown in 3D.
    """

    name: str
    source: str
    kind: VolumeKind = "image"
    contrast: tuple[float, float] | None = None
    shapes: tuple[str, ...] = ()
    selected: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        if self.kind == "labels":
            labels = {"type": "segmentation", "name": self.name, "source": self.source, "selectedAlpha": 0.4}
            if self.shapes:
                labels |= {"source": [self.source, *self.shapes], "segments": [str(label) for label in self.selected]}
                labels["notSelectedAlpha"] = 0.2  # what is not selected has no shape, but is in the section
            return labels
        layer: dict[str, Any] = {"type": "image", "name": self.name, "source": self.source, "opacity": 1}
        if self.contrast is not None:
            layer["shaderControls"] = {"normalized": {"range": list(self.contrast)}}
        return layer


def volume_state(
    layers: Sequence[Layer],
    *,
    voxel_size_nm: SizeNm,
    shape: Shape,
    position: tuple[float, float, float] | None = None,
    beside: bool = False,
) -> dict[str, Any]:
    """The state that shows these layers, each with the same voxel size and extent.

    `voxel_size_nm`, `shape` and `position` (voxels; the centre unless given) are (z, y, x). With `beside`, every image layer has a
    viewer of its own, side by side and moving together; labels are drawn over each of them.

    >>> raw = Layer("raw", "https://site.org/raw.zarr/|zarr3:")
    >>> state = volume_state([raw], voxel_size_nm=(45, 4.6, 4.6), shape=(20, 1024, 1024))
    >>> state["dimensions"]["z"], state["position"]
    ([4.5e-08, 'm'], [512.0, 512.0, 10.0])
    """
    z, y, x = position or (shape[0] / 2, shape[1] / 2, shape[2] / 2)
    finest = min(voxel_size_nm)
    extent = max(n * size / finest for n, size in zip(shape, voxel_size_nm, strict=True))
    return {
        "dimensions": {name: [size / 1e9, "m"] for name, size in zip("xyz", reversed(voxel_size_nm), strict=True)},
        "position": [float(x), float(y), float(z)],
        "crossSectionScale": max(shape[1:]) * voxel_size_nm[2] / finest / (HALF_PANEL_PX if beside else PANEL_PX),
        "projectionScale": 1.8 * extent,
        "layers": [layer.as_json() for layer in layers],
        "layout": _side_by_side(layers) if beside else "4panel",
        "showAxisLines": False,
        "crossSectionBackgroundColor": "#000000",  # its own grey could be a section
        "hideCrossSectionBackground3D": True,
        "projectionOrientation": OBLIQUE,
        "selectedLayer": {"visible": False},
    }


def _side_by_side(layers: Sequence[Layer]) -> dict[str, Any]:
    labels = [layer.name for layer in layers if layer.kind == "labels"]
    images = [layer.name for layer in layers if layer.kind == "image"]
    return {
        "type": "row",
        "children": [{"type": "viewer", "layers": [name, *labels], "layout": "4panel"} for name in images],
    }
