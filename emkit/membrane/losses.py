"""How far logits are from the truth. Each loss is a function of (logits, truth, weight), all (N, C, ...), to one number.

`truth` is from 0 to 1, `weight` 0 where nothing is known. Which target has which losses, and how much each counts, is said by
`Objective`; `DEFAULTS` are the ones that a target has when nobody says anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emkit.errors import ParameterError
from emkit.membrane.model import Target, TargetName

if TYPE_CHECKING:  # what losses there are is known without torch
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]


def cross_entropy(logits: "Tensor", truth: "Tensor", weight: "Tensor") -> "Tensor":
    """Binary cross-entropy, the mean over what is known."""
    from torch.nn import functional

    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (each * weight).sum() / weight.sum().clamp_min(1)


def balanced(logits: "Tensor", truth: "Tensor", weight: "Tensor") -> "Tensor":
    """Binary cross-entropy in which both classes of a batch count the same: for what is rare."""
    ones = (truth * weight).sum().clamp_min(1)
    zeros = ((1 - truth) * weight).sum().clamp_min(1)
    total = ones + zeros
    return cross_entropy(logits, truth, weight * (truth * (total / ones) + (1 - truth) * (total / zeros)) / 2)


def dice(logits: "Tensor", truth: "Tensor", weight: "Tensor") -> "Tensor":
    """1 less the overlap of what is found and what is true (Milletari et al. 2016), over the batch."""
    found = logits.sigmoid() * weight
    true = truth * weight
    return 1 - (2 * (found * true).sum() + 1) / (found.sum() + true.sum() + 1)


def square(logits: "Tensor", truth: "Tensor", weight: "Tensor") -> "Tensor":
    """The mean square of the difference: for distances."""
    return ((logits.sigmoid() - truth) ** 2 * weight).sum() / weight.sum().clamp_min(1)


LOSSES: Mapping[str, Loss] = {"bce": cross_entropy, "balanced": balanced, "dice": dice, "mse": square}

DEFAULTS: Mapping[TargetName, Mapping[str, float]] = {
    "membrane": {"bce": 1.0, "dice": 0.5},
    "foreground": {"bce": 1.0, "dice": 0.5},
    "contour": {"bce": 1.0, "dice": 0.5},
    "distance": {"mse": 2.0},
    "affinity": {"bce": 1.0},
    "cleft": {"balanced": 1.0, "dice": 1.0},
    "skeleton": {"balanced": 1.0, "dice": 0.5},
    "extracellular": {"bce": 1.0, "dice": 0.5},
}


@dataclass(frozen=True)
class Objective:
    """A target with its losses and how much each counts."""

    target: Target
    losses: Mapping[str, float]

    def of(self, logits: "Tensor", truth: "Tensor", weight: "Tensor") -> "Tensor":
        """Of the channels of this target."""
        first, *others = (factor * LOSSES[name](logits, truth, weight) for name, factor in self.losses.items())
        return sum(others, first)


def parse_losses(text: str, target: TargetName) -> dict[str, float]:
    """The losses that a text asks for. ParameterError for an unknown one, or a weight that is no number.

    >>> parse_losses("bce=1,dice=0.5", "membrane")
    {'bce': 1.0, 'dice': 0.5}
    """
    if not text:
        return dict(DEFAULTS[target])
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, factor = part.partition("=")
        try:
            found[name] = float(factor or 1)
        except ValueError:
            found[name] = -1.0
        if name not in LOSSES or not found[name] > 0:
            raise ParameterError(
                f"target: found the loss {part!r} of {target}; needed: one of {', '.join(LOSSES)}, with a weight above 0, such as "
                f"{target}:bce=1,dice=0.5."
            )
    return found
