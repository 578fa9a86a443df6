"""A Neuroglancer viewer in a notebook cell, served by the notebook's own server."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from emkit_widgets.assets import script


class NeuroglancerView(anywidget.AnyWidget):
    """An OME-Zarr volume in Neuroglancer; with `before`, beside the folder of sections it was made from.

    `position` (voxels: z, y, x) follows the reader and moves the viewer when set. `state` is the whole state in
    Neuroglancer's JSON: it too follows the reader, and replaces what is shown when set; sources in it may begin with
    `{base}`, the server's address. `ready` is True once the viewer in the browser is up.

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

    def __init__(self, volume: str | Path, before: str | Path | None = None, **kwargs: Any) -> None:
        from emkit.server.capability import inherited_key
        from emkit.server.scene import volume_scene

        state = volume_scene(Path(volume), before=Path(before) if before else None, key=inherited_key())
        super().__init__(state=state, position=tuple(reversed(state["position"])), **kwargs)
