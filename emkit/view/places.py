"""Points and boxes that somebody has set in a Neuroglancer viewer, from its state, in voxels. Axis order is (z, y, x)."""

from collections.abc import Mapping
from typing import Any

Place = tuple[tuple[float, float, float], tuple[float, float, float]]  # the two corners; a point has the same twice

ANCHORS: dict[str, Any] = {
    "type": "annotation",
    "name": "anchors",
    "source": "local://annotations",
    "tool": "annotatePoint",
    "annotationColor": "#00c2ff",
}


def places_of(state: Mapping[str, Any]) -> list[Place]:
    """The points and boxes of all annotation layers, in the order they were set. Lines and ellipsoids are none.

    >>> layer = {**ANCHORS, "annotations": [{"type": "point", "point": [30.5, 20.5, 1.5], "id": "a"}]}
    >>> places_of({"layers": [layer]})
    [((1.5, 20.5, 30.5), (1.5, 20.5, 30.5))]
    """
    found = []
    for layer in state.get("layers", ()):
        for one in layer.get("annotations", ()) if layer.get("type") == "annotation" else ():
            match one:
                case {"type": "point", "point": [x, y, z, *_]}:
                    found.append(((z, y, x), (z, y, x)))
                case {"type": "axis_aligned_bounding_box", "pointA": [x, y, z, *_], "pointB": [u, v, w, *_]}:
                    found.append(((min(z, w), min(y, v), min(x, u)), (max(z, w), max(y, v), max(x, u))))
    return found
