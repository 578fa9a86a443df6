"""Muon: momentum made orthogonal (Jordan et al. 2024), which needs far fewer steps than Adam for the same loss.

The momentum of a convolution is taken as a matrix (outputs × all else), and replaced by the nearest one whose singular values are
all 1, by five steps of a Newton-Schulz iteration. Scaled as by Liu et al. 2025 (arXiv 2502.16982), so that the rate of AdamW fits.
(torch.optim.Muon takes matrices only.)
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import AdamW, Optimizer

STEPS = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)


class Muon(Optimizer):
    """For the weights of convolutions."""

    def __init__(self, weights: Iterable[Parameter], rate: float, momentum: float = 0.95, decay: float = 0.01) -> None:
        super().__init__(weights, {"lr": rate, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(momentum, group["momentum"]).flatten(1)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonal(ahead).view_as(weight), alpha=-group["lr"] * 0.2 * max(ahead.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are all 1; in bfloat16, for only the direction matters."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    found = (wide / (wide.norm() * 1.01 + 1e-7)).bfloat16()
    for a, b, c in STEPS:
        square = found @ found.T
        found = a * found + (b * square + c * square @ square) @ found
    back: Tensor = found if matrix.shape[0] <= matrix.shape[1] else found.T
    return back.to(matrix.dtype)


def optimisers(network: Module, rate: float) -> tuple[Optimizer, ...]:
    """Muon for convolutions within the network; AdamW for all else, and for the last, whose rows are not of one kind."""
    free = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    inner = {name for name, weight in free.items() if weight.ndim > 2 and not name.startswith("out.")}
    groups = [[weight for name, weight in free.items() if (name in inner) == chosen] for chosen in (True, False)]
    made: list[Optimizer] = []
    if groups[0]:
        made.append(Muon(groups[0], rate))
    if groups[1]:
        made.append(AdamW(groups[1], lr=rate, weight_decay=0.0))
    return tuple(made)
