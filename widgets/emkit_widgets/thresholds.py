"""The histogram of pixels, the Gaussian fitted to the noise, and two lines to be moved: where electrons begin and end."""

from typing import Any

import anywidget
import traitlets

from emkit.count import EstimatedThresholds
from emkit_widgets.assets import script, style


class ThresholdLines(anywidget.AnyWidget):
    """Draws the histogram of an estimate; `background` and `xray` (ADU) follow the lines, which pointer and arrow keys move.

    While a line is dragged the page waits for the answer to its last message before it sends the next, and sends the newest
    value then: whoever observes the two may take their time.
    """

    _esm = script("thresholds.js")
    _css = style("scan.css")
    histogram = traitlets.List(traitlets.Int(), help="pixels in each bin of 1 ADU").tag(sync=True)
    begins = traitlets.Float(0.0, help="where the first bin begins, ADU").tag(sync=True)
    noise = traitlets.Tuple((1.0, 0.0, 1.0), help="height, mean and sigma of the Gaussian").tag(sync=True)
    estimated = traitlets.Tuple((0.0, 1.0), help="background and xray as they were estimated").tag(sync=True)
    background = traitlets.Float(0.0).tag(sync=True)
    xray = traitlets.Float(1.0).tag(sync=True)

    def show(self, found: EstimatedThresholds, background: float, xray: float, begins: float) -> None:
        """Another histogram, with the lines at these places; whole numbers lie in the middle of their bins."""
        with self.hold_sync():
            self.histogram, self.begins = list(found.histogram), begins
            self.noise = (found.noise_height, found.noise_mean, found.noise_sigma)
            self.estimated = (found.background, found.xray)
        self.place(background, xray)

    def place(self, background: float, xray: float) -> None:
        """Move both lines; who observes them is told of each when both are there."""
        with self.hold_trait_notifications():
            self.background, self.xray = background, xray

    @traitlets.validate("background", "xray")
    def _rounded(self, proposal: Any) -> float:
        """As the numbers are shown and typed."""
        return round(float(proposal["value"]), 2)
