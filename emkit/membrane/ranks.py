"""Ranks: processes, here or on several machines, that learn from one batch together, through `torch.distributed`.

Each rank computes its share of a batch. So that together they do what one process does with the whole batch, and not what each
would do with a smaller one: batch statistics are those of all shares (`share_statistics`), the loss is that of all shares
(`gathered`), and the gradients of that one loss are added up (`add_gradients`). What remains is the order in which numbers are
rounded. Where there is no meeting a process is the only rank, and all of this leaves everything as it is.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]  # they are exported

from emkit.errors import ResourceError

PATIENCE = timedelta(minutes=10)  # until all have come: they are begun at the same time
LONGEST = timedelta(hours=2)  # that one does alone while the others wait: it scores
LOOK_S = 0.05
NETWORKS = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"
BOOT = Path("/proc/sys/kernel/random/boot_id")
Norm = nn.BatchNorm2d | nn.BatchNorm3d


@dataclass(frozen=True)
class Seat:
    """Where a rank computes: on which device, with how many on the same node, all of them `homes` processes' children."""

    device: str
    here: int = 1
    homes: int = 1


@contextmanager
def meeting(place: Path, rank: int, size: int, device: str, address: str) -> Iterator[Seat]:
    """Within: this process is a rank among others, which reach it at this address.

    `place`: a file that is not there yet, on a disk that all see, by which they find the first; no other meeting may have it.
    `device`: of cuda each on a node takes another GPU. ResourceError where there are not as many, TimeoutError where not all come
    within PATIENCE, RuntimeError when one is lost.
    """
    if size == 1:
        yield Seat(device)
        return
    store = _invited(place, size, address) if rank == 0 else _found(place, size)
    seat = _seated(store, rank, size, device)
    if seat.device != "cpu":
        torch.cuda.set_device(seat.device)
    for variable in NETWORKS:  # by the name of the host they may take another than the one that leads to the others
        os.environ.setdefault(variable, network(address))
    backend = "gloo" if seat.device == "cpu" else "nccl"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONGEST)
    place.unlink(missing_ok=True)
    try:
        yield seat
    finally:
        dist.destroy_process_group()


def _invited(place: Path, size: int, address: str) -> Store:
    """Of the first rank: it listens there and nowhere else, and tells on which port."""
    listening = socket.create_server((address, 0))
    port = listening.getsockname()[1]
    store = TCPStore(
        address, port, size, is_master=True, timeout=PATIENCE, wait_for_workers=False, master_listen_fd=listening.detach()
    )
    new = place.with_suffix(".new")
    new.write_text(f"{address} {port}")
    new.replace(place)
    return store


def _found(place: Path, size: int) -> Store:
    """Of any other rank."""
    until = time.monotonic() + PATIENCE.total_seconds()
    while not place.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{place}: the first of {size} processes has not come within {PATIENCE}.")
        os.listdir(place.parent)  # that makes NFS look again
        time.sleep(LOOK_S)
    address, port = place.read_text().split()
    return TCPStore(address, int(port), size, is_master=False, timeout=PATIENCE)


def _seated(store: Store, rank: int, size: int, device: str) -> Seat:
    """Once all have told where they are."""
    node = BOOT.read_text() + os.environ.get("SLURM_JOB_ID", "")
    mine = {"node": node, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "home": os.getppid(), "process": os.getpid()}
    store.set(f"seat {rank}", json.dumps(mine))
    others = [json.loads(store.get(f"seat {k}")) for k in range(size)]
    sharing = sorted(one["process"] for one in others if (one["node"], one["gpus"]) == (node, mine["gpus"]))
    return Seat(
        own_device(device, sharing.index(os.getpid()), len(sharing), torch.cuda.device_count()),
        here=sum(one["node"] == node for one in others),
        homes=len({(one["node"], one["home"]) for one in others}),
    )


def own_device(device: str, index: int, here: int, gpus: int) -> str:
    """Of one among those processes that see the same GPUs. ResourceError where there are fewer.

    >>> own_device("cuda", 1, 2, 4)
    'cuda:1'
    """
    if device == "cpu":
        return device
    if here > gpus:
        raise ResourceError(
            f"device: found {gpus} GPUs for {here} processes on {socket.gethostname()}, needed one for each. Give fewer processes, "
            "spread them over more nodes (--on slurm:PROFILE:N), or leave the device out to compute on the CPU."
        )
    return f"cuda:{index}"


def network(address: str) -> str:
    """The name of this machine's network interface that has the address.

    >>> network("127.0.0.1")
    'lo'
    """
    known: dict[str, str] = {one.address: name for name, addresses in psutil.net_if_addrs().items() for one in addresses}
    return known[socket.gethostbyname(address)]


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


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


def of_first(number: int) -> int:
    """What the first rank has, the same on each."""
    return round(total(number if is_first() else 0))


def core_seconds() -> float:
    """What all ranks have taken."""
    return total(time.process_time())


def gathered(own: Tensor) -> Tensor:
    """The shares of all ranks along the batch. Gradients reach the own one: with those of the others they are of one loss."""
    if size() == 1:
        return own
    sent = own.detach().contiguous()  # channels may lie near to each other, and parts are filled as they lie
    parts = [torch.empty_like(sent) for _ in range(size())]
    dist.all_gather(parts, sent)
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
