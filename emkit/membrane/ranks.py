"""Ranks: processes, here or on several machines, that learn from one batch together, through `torch.distributed`.

Each rank computes its share of a batch. So that together they do what one process does with the whole batch, and not what each
would do with a smaller one: batch statistics are those of all shares (`share_statistics`), the loss is that of all shares
(`gathered`), and the gradients of that one loss are added up (`add_gradients`). What remains is the order in which numbers are
rounded. Where there is no meeting a process is the only rank, and all of this leaves everything as it is.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is exported

PATIENCE = timedelta(hours=1)  # until all have come: jobs wait in queues
LOOK_S = 0.05
Norm = nn.BatchNorm2d | nn.BatchNorm3d


@contextmanager
def meeting(place: Path, rank: int, size: int, device: str, ended: Callable[[], bool]) -> Iterator[bool]:
    """Within: this process is a rank among others. `place`: a file on a disk that all see, by which they find the first.

    False, and no meeting, where what it is for has `ended` while this rank waited. RuntimeError when a rank is lost.
    """
    if size == 1:
        yield True
        return
    if (store := _invited(place, size) if rank == 0 else _found(place, size, ended)) is None:
        yield False
        return
    backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield True
    finally:
        dist.destroy_process_group()


def _invited(place: Path, size: int) -> TCPStore:
    """Of the first rank: it listens, and tells where."""
    host = socket.gethostname()
    store = TCPStore(host, 0, size, is_master=True, timeout=PATIENCE, wait_for_workers=False)
    new = place.with_suffix(".new")
    new.write_text(f"{host} {store.port}")
    new.replace(place)
    return store


def _found(place: Path, size: int, ended: Callable[[], bool]) -> TCPStore | None:
    """Of any other rank. A meeting that is broken up may still be told of: nobody answers there, or its seats are taken."""
    until = time.monotonic() + PATIENCE.total_seconds()
    while not ended():
        if time.monotonic() > until:
            raise TimeoutError(f"{place}: the first of {size} processes has not come within {PATIENCE}.")
        try:
            host, port = place.read_text().split()
            store = TCPStore(host, int(port), size, is_master=False, timeout=timedelta(seconds=5))
            if store.add("seats", 1) < size:
                store.set_timeout(PATIENCE)
                return store
        except (FileNotFoundError, dist.DistError):
            pass
        time.sleep(LOOK_S)
    return None


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: int) -> range:
    """Which patches of a batch are this rank's; as many as any other's."""
    rank, each = (dist.get_rank() if dist.is_initialized() else 0), batch // size()
    return range(rank * each, (rank + 1) * each)


def total(number: float) -> float:
    """The sum over all ranks, the same on each."""
    if size() == 1:
        return number
    held = torch.tensor([number], dtype=torch.float64, device=_device())
    dist.all_reduce(held)
    return float(held)


def core_seconds() -> float:
    """What all ranks have taken."""
    return total(time.process_time())


def gathered(own: Tensor) -> Tensor:
    """The shares of all ranks along the batch. Gradients reach the own one: with those of the others they are of one loss."""
    if size() == 1:
        return own
    parts = [torch.empty_like(own) for _ in range(size())]
    dist.all_gather(parts, own.detach().contiguous())
    parts[dist.get_rank()] = own
    return torch.cat(parts)


def add_gradients(network: nn.Module) -> None:
    """Each weight's gradient becomes the sum over all ranks, in one message."""
    if size() == 1:
        return
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, summed in zip(gradients, torch.split(flat, [one.numel() for one in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def share_statistics(network: nn.Module) -> None:
    """From now on batches are normalised by the statistics of all ranks. (torch.nn.SyncBatchNorm takes GPUs only.)"""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Norm):
                setattr(parent, name, _Shared(layer))


class _Sum(torch.autograd.Function):
    """Over all ranks; the gradient of a sum of all is the sum of all their gradients."""

    @staticmethod
    def forward(context: Any, own: Tensor) -> Tensor:
        found = own.contiguous().clone()
        dist.all_reduce(found)
        return found

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        found = gradients[0].contiguous().clone()
        dist.all_reduce(found)
        return found


class _Shared(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with the weights of another, by the statistics of all ranks."""

    def __init__(self, like: Norm) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self.weight, self.bias = like.weight, like.bias
        for name, held in like.named_buffers():
            setattr(self, name, held)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes after the channels."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or size() == 1:
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        places = (1, -1, *[1] * (input.ndim - 2))
        held = input.float()
        count = size() * held.numel() // held.shape[1]
        mean: Tensor = _Sum.apply(held.sum(axes)) / count  # type: ignore[no-untyped-call]
        centred = held - mean.view(places)
        variance: Tensor = _Sum.apply(centred.square().sum(axes)) / count  # type: ignore[no-untyped-call]
        self._note(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(places) + self.bias.view(places)).to(input.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor) -> None:
        """The running means of both."""
        keep = 1 - (self.momentum or 0.1)
        for held, new in ((self.running_mean, mean), (self.running_var, variance)):
            if held is not None:
                held.mul_(keep).add_(new, alpha=1 - keep)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
