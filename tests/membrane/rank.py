"""One of some processes that learn together: python -m tests.membrane.rank MEETING RANK SIZE CHECKPOINT"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emkit.membrane import ranks
from emkit.membrane.losses import Objective
from emkit.membrane.model import Target
from emkit.membrane.networks import make_network
from emkit.membrane.sampling import Field, Sampler, Sampling
from emkit.membrane.trainer import Pace, Trainer

STEPS, BATCH = 3, 4


def begun() -> Any:
    """The network before it has learned anything."""
    torch.manual_seed(0)
    return make_network("unet2d", 1, 1, {"width": 4, "depth": 2})


def learn(meeting: Path, rank: int, size: int, checkpoint: Path) -> None:
    """Some steps on dark lines; the first rank keeps what came of them."""
    torch.set_num_threads(1)
    lines = np.zeros((2, 96, 96), bool)
    lines[:, ::12] = lines[:, 1::12] = True
    image = (np.where(lines, -1.5, 0.5) + 0.3 * np.random.default_rng(0).normal(size=lines.shape)).astype(np.float32)
    field = Field(image, lines[None].astype(np.float16), np.where(lines, 0, 1).astype(np.int32), np.full(lines.shape, True))
    network = begun()
    if size > 1:
        ranks.share_statistics(network)
    target = Target("membrane")
    sampler = Sampler([field], Sampling(2, (32, 32), (target,)))
    trainer = Trainer(network, [Objective(target, {"bce": 1.0, "dice": 0.5})], sampler, Pace(steps=STEPS, batch=BATCH, rate=0.02))
    with ranks.meeting(meeting, rank, size, "cpu", ended=checkpoint.is_file) as here:
        if here:
            trainer.until(1.0)
    if rank == 0:
        trainer.save(checkpoint)


if __name__ == "__main__":
    learn(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
