"""Virtual detectors on the mean diffraction pattern: a disk and a ring around one centre, moved by pointer and keys."""

from typing import Any

import anywidget
import traitlets

from emkit_widgets.assets import script, style


class DetectorView(anywidget.AnyWidget):
    """A pattern with the detectors drawn on it; a place is (ky, kx), px, radii are in px.

    While something is dragged the page waits for the answer to its last message before it sends the next, and sends the newest
    value then: whoever observes may take their time.
    """

    _esm = script("detector.js")
    _css = style("scan.css")
    picture = traitlets.Bytes(help="PNG of the pattern").tag(sync=True)
    width = traitlets.Int(1, help="px of a frame").tag(sync=True)
    height = traitlets.Int(1, help="px of a frame").tag(sync=True)
    centre = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.0, 0.0)).tag(sync=True)
    disk_px = traitlets.Float(1.0, help="radius of the bright-field disk").tag(sync=True)
    inner_px = traitlets.Float(1.0, help="of the dark-field ring").tag(sync=True)
    outer_px = traitlets.Float(2.0, help="of the dark-field ring").tag(sync=True)

    moving = traitlets.Bool(False, help="something is being dragged").tag(sync=True)

    @traitlets.validate("disk_px", "inner_px", "outer_px")
    def _rounded(self, proposal: Any) -> float:
        """As the numbers are shown."""
        return round(float(proposal["value"]), 1)

    @traitlets.validate("centre")
    def _rounded_both(self, proposal: Any) -> tuple[float, float]:
        ky, kx = proposal["value"]
        return round(ky, 1), round(kx, 1)
