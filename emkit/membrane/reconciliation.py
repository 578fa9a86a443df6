"""Labels of blocks become labels of the volume, the same for any blocks. Axis order is (z, y, x).

Each block labels its components 1 to n; with the numbers of the blocks before it added they differ everywhere. Pairs of labels that
touch across faces of blocks are united. A component is then numbered by the place of its first voxel, in the order in which
an array lies in memory, so that no number depends on the blocks. Lookup tables are applied where labels are read.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.membrane.regions import Edges, Labels, unite
from emkit.model import Shape

Numbers = NDArray[np.int64]


def offsets_of(counts: Sequence[int]) -> Numbers:
    """What is added to the labels of each block: the number of labels in the blocks before it."""
    return np.cumsum([0, *counts[:-1]], dtype=np.int64)


def first_voxels(labels: Labels, count: int, block: Block, shape: Shape) -> Numbers:
    """Of each label 1 to `count` of a block, the place in the volume of its first voxel."""
    flat = labels.reshape(-1)
    found = np.full(count + 1, flat.size, np.int64)
    where = np.flatnonzero(flat)
    found[flat[where[::-1]]] = where[::-1]  # of several assignments the last one stays: the first voxel
    z, y, x = np.unravel_index(found[1:], labels.shape)
    return ((z + block.z[0]) * shape[1] + y + block.y[0]) * shape[2] + x + block.x[0]


def face_pairs(before: Numbers, after: Numbers) -> Edges:
    """The pairs of labels that touch across a face, each once. Given are the planes of voxels on both sides of it."""
    touching = (before > 0) & (after > 0)
    pairs: Edges = np.unique(np.stack([before[touching], after[touching]], axis=1), axis=0).astype(np.uint64)
    return pairs


def number_components(first: Numbers, pairs: Edges) -> Numbers:
    """The lookup table: of each label of a block (index 0 is no label) its number in the volume, 1 to n.

    `first`: the first voxel of each label from 1 on. `pairs`: which labels are one.
    """
    if in_order := not (np.diff(first) < 0).any():
        roots = unite(len(first) + 1, pairs)  # no label, 0, is connected with nothing
    else:
        rank = np.zeros(len(first) + 1, np.uint64)
        rank[1 + np.argsort(first, kind="stable")] = np.arange(1, len(rank))
        roots = unite(len(rank), rank[pairs])
    found = np.cumsum(roots == np.arange(len(roots)))[roots] - 1  # a root is the first of its component
    return found if in_order else found[rank]
