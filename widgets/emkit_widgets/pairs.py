"""The pairs of a stack as a plot and a table: the SNR of each, the threshold, what is flagged and why. A click selects one."""

from collections.abc import Iterable
from typing import Any

import anywidget
import traitlets

from emkit_widgets.assets import script, style


class PairTable(anywidget.AnyWidget):
    """Draws `pairs`; `selected` is the position of one of them, and follows clicks and arrow keys."""

    _esm = script("pairs.js")
    _css = style("style.css")
    pairs = traitlets.List(traitlets.Dict(), help="fixed, moving, names, snr, residual_px, flagged, reasons of each").tag(sync=True)
    threshold = traitlets.Float(help="pairs below this SNR are flagged").tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)

    def show(self, pairs: Iterable[dict[str, Any]], threshold: float) -> None:
        """Other pairs, all in one message; the worst of the flagged ones is selected."""
        with self.hold_sync():
            self.pairs, self.threshold = list(pairs), threshold
            worst = min(self.pairs, key=_worth_a_look, default=None)
            self.selected = self.pairs.index(worst) if worst else 0


def _worth_a_look(pair: dict[str, Any]) -> tuple[bool, int, float]:
    """Flagged pairs come first, neighbours before pairs that bridge others, the lowest SNR before higher ones."""
    return not pair["flagged"], pair["moving"] - pair["fixed"], pair["snr"]
