"""A Neuroglancer viewer in a notebook cell, served by the notebook's own server."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from emkit_widgets.assets import script


class NeuroglancerView(anywidget.AnyWidget):
    """An OME-Zarr volume in Neuroglancer; with `before`, beside the folder of sections it was made from; over an `image`.

    With `correct` it is a segmentation, and clicks merge and split its cells (docs/howto/correct-a-segmentation.md).

    `position` (voxels: z, y, x) follows the reader and moves the viewer when set. `state` is the whole state in
    Neuroglancer's JSON: it too follows the reader, and replaces what is shown when set; sources in it may begin with
    `{base}`, the server's address. `ready` is True once the viewer in the browser is up.

    With `predict`, a model, what that says of the places one looks at is laid over the volume, in a `box` (z0:z1,y0:y1,x0:x1) if
    there is one; and there is a layer to set points and boxes in, which `emkit_widgets.learn` takes for places to predict.

    Raises PathError if there is no such volume or folder, ResourceError if this kernel's server does not have the extension
    emkit.server.

        view = NeuroglancerView("aligned.ome.zarr", before="sections/")
        view.position = (10, 512, 512)
    """

    _esm = script("viewer.js")

    state = traitlets.Dict().tag(sync=True)
    position = traitlets.Tuple(traitlets.Float(), traitlets.Float(), traitlets.Float(), help="voxels (z, y, x)").tag(sync=True)
    ready = traitlets.Bool(False, read_only=True).tag(sync=True)
    height = traitlets.Int(600, help="CSS pixels").tag(sync=True)

    def __init__(
        self,
        volume: str | Path,
        before: str | Path | None = None,
        *,
        image: str | Path | None = None,
        correct: bool = False,
        predict: str | Path | None = None,
        box: str | None = None,
        **kwargs: Any,
    ) -> None:
        from emkit.server.capability import inherited_key
        from emkit.server.scene import volume_scene

        key = inherited_key()
        state = volume_scene(Path(volume), before=Path(before) if before else None, key=key)
        if image:
            state["layers"][:0] = volume_scene(Path(image), key=key)["layers"]
        if predict:
            from emkit.server.predicted import predicted_layer
            from emkit.view.places import ANCHORS

            state["layers"] += [predicted_layer(Path(volume), Path(predict), key, box), dict(ANCHORS)]
        if correct:
            from emkit.server.corrected import correctable_scene

            state = correctable_scene(state, Path(volume), key)
        super().__init__(state=state, position=tuple(reversed(state["position"])), **kwargs)
