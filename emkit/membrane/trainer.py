"""A training: a network with its optimisers and its running mean, brought forward step by step, kept in checkpoints.

What step `k` does depends on the seed, on `k` and on the state before it: a training that was cut off and goes on from a
checkpoint is, bit for bit on one CPU and with a number of steps, the one that was not. Where core-seconds are given instead, the
rate falls with what is left of them. Checkpoints are safetensors: nothing is unpickled.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from emkit.errors import DataError, ParameterError
from emkit.membrane import ranks
from emkit.membrane.geometry import as_tensor
from emkit.membrane.losses import Objective
from emkit.membrane.optimisation import optimisers
from emkit.membrane.sampling import Sampler, randomness

WARM_UP = 0.05  # of the training: the rate rises
FORGET = 0.995  # what the running mean of the weights keeps at each step, once it has begun
SMOOTH = 0.98  # of the loss that is told


@dataclass(frozen=True)
class Pace:
    """How long a training is: a number of steps, or core-seconds, those of reading and validating included."""

    steps: int | None = None
    cpu_seconds: float | None = None
    batch: int = 8
    rate: float = 4e-3
    seed: int = 0


@dataclass
class Progress:
    """How far a training is. `loss` is smoothed over some steps; `validate_s`: core-seconds that the last validation took."""

    step: int = 0
    spent_s: float = 0.0
    loss: float = math.nan
    step_s: float = 0.0
    validate_s: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Of a network on a device."""

    def __init__(
        self, network: nn.Module, objectives: Sequence[Objective], sampler: Sampler, pace: Pace, device: str = "cpu"
    ) -> None:
        self.network = network
        network.to(device=device, memory_format=_near(network))  # type: ignore[call-overload]  # known to torch, not to its types
        self.objectives, self.sampler, self.pace, self.device = objectives, sampler, pace, device
        self.optimisers = optimisers(network, pace.rate)
        self.mean = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.progress = Progress()

    def until(self, part: float, clock: Callable[[], float] = ranks.core_seconds) -> None:
        """Go on until this part of the whole is done, and one more validation in time."""
        began_s = clock() - self.progress.spent_s
        self.network.train()
        for module in self.network.modules():  # what is frozen keeps its statistics too
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.weight.requires_grad:
                module.eval()
        while not self._is_reached(part):
            before_s = self.progress.spent_s
            self.step()
            self.progress.spent_s = clock() - began_s
            took_s = self.progress.spent_s - before_s
            self.progress.step_s = took_s if self.progress.step == 1 else 0.9 * self.progress.step_s + 0.1 * took_s

    def _is_reached(self, part: float) -> bool:
        done = self.progress
        if self.pace.steps is not None:
            return done.step >= round(part * self.pace.steps)
        return done.step > 0 and done.spent_s + done.step_s / 2 + done.validate_s >= part * (self.pace.cpu_seconds or 0)

    def took(self, seconds: float) -> None:
        """A validation took so many core-seconds."""
        self.progress.spent_s += seconds
        self.progress.validate_s = seconds

    @property
    def done(self) -> float:
        """Which part of the training is done, 0…1."""
        if self.pace.steps is not None:
            return self.progress.step / self.pace.steps
        return min(1.0, self.progress.spent_s / ((self.pace.cpu_seconds or 0) - self.progress.validate_s))

    def step(self) -> None:
        """One batch."""
        done, number = self.done, self.progress.step * self.pace.batch
        rate = self.pace.rate * (done / WARM_UP if done < WARM_UP else (1 - done) / (1 - WARM_UP))
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = max(rate, 1e-3 * self.pace.rate)
        drawn = [self.sampler.example(randomness(self.pace.seed, number + k)) for k in ranks.share(self.pace.batch)]
        image, truth, weight = (as_tensor(np.stack([getattr(one, name) for one in drawn])) for name in ("image", "truth", "weight"))
        image, truth, weight = (part.to(self.device) for part in (image, truth, weight))
        image = image[:, None].contiguous(memory_format=_near(self.network))
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            logits = self.network(image)
        loss = total_loss(self.objectives, *(ranks.gathered(part) for part in (logits.float(), truth, weight)))
        loss.backward()  # type: ignore[no-untyped-call]
        ranks.add_gradients(self.network)
        for optimiser in self.optimisers:
            optimiser.step()
        self._average()
        told, before = loss.item(), self.progress.loss
        self.progress.loss = told if math.isnan(before) else SMOOTH * before + (1 - SMOOTH) * told
        self.progress.step += 1

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(FORGET, (1 + self.progress.step) / (10 + self.progress.step))
        for name, tensor in self.network.state_dict().items():
            if tensor.dtype.is_floating_point:
                self.mean[name].lerp_(tensor, 1 - keep)
            else:
                self.mean[name].copy_(tensor)

    def save(self, file: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"mean.{name}": tensor for name, tensor in self.mean.items()}
        for number, optimiser in enumerate(self.optimisers):
            for weight, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{weight}.{name}": torch.as_tensor(value) for name, value in state.items()}
        new = file.with_suffix(".new")
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()},
            new,
            {"progress": json.dumps(asdict(self.progress))},
        )
        new.replace(file)

    def load(self, file: Path) -> None:
        """Stand where the checkpoint stands. DataError for a file that is none, or one of another network."""
        try:
            with safe_open(file, "pt") as held:
                told = Progress(**json.loads((held.metadata() or {})["progress"]))
                tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118 (no mapping)
            self.network.load_state_dict(_below("network.", tensors))
            self.mean = {name: tensor.to(self.device) for name, tensor in _below("mean.", tensors).items()}
            for number, optimiser in enumerate(self.optimisers):
                state: dict[int, dict[str, Any]] = {}
                for name, tensor in _below(f"optimiser.{number}.", tensors).items():
                    weight, _, part = name.partition(".")
                    state.setdefault(int(weight), {})[part] = tensor
                optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as wrong:
            told_of = str(wrong).splitlines()[0]
            raise DataError(f"{file} is no checkpoint of this training: {told_of}. Remove it, and train again.") from None
        self.progress = told


def total_loss(objectives: Sequence[Objective], logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """The sum over the targets, each of its own channels (N, C, ...)."""
    sizes = [objective.target.channels for objective in objectives]
    parts = zip(objectives, *(torch.split(tensor, sizes, 1) for tensor in (logits, truth, weight)), strict=True)
    return torch.stack([objective.of(found, true, counts) for objective, found, true, counts in parts]).sum()


def freeze(network: nn.Module, patterns: Sequence[str]) -> None:
    """Keep the weights whose names fit one of these patterns as they are. ParameterError where none does, or all do."""
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            parts = sorted({name.rsplit(".", 1)[0] for name in names})
            raise ParameterError(
                f"freeze: no weight is called {pattern!r}; the network has {', '.join(parts)}. Patterns may hold *."
            )
    for name, weight in network.named_parameters():
        weight.requires_grad_(not any(fnmatch(name, pattern) for pattern in patterns))
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ParameterError("freeze: these patterns leave nothing to learn. Give fewer.")


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _near(network: nn.Module) -> torch.memory_format:
    """Channels near to each other in memory: what convolutions in bfloat16 are fastest with."""
    return torch.channels_last if network.dim == 2 else torch.channels_last_3d
