"""The door to the libraries that label, flood and cut: cc3d, edt, bioimage_cpp. Arrays are (z, y, x) or (y, x).

Nothing else of emkit calls them, and tests hold each function against scipy or scikit-image. bioimage_cpp still changes its names.
Union-find has a kernel of its own: what takes bioimage_cpp's the time is to wait for memory.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.native import load_library

LIBRARY = Path(__file__).with_name("unite.so")
Labels = NDArray[np.uint32]
Edges = NDArray[np.uint64]  # (n, 2), the smaller label first
Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]


def label_components(mask: Bools) -> tuple[Labels, int]:
    """Components that touch along faces, 1 to n, and n."""
    import cc3d

    found, count = cc3d.connected_components(mask, connectivity=4 if mask.ndim == 2 else 6, return_N=True)
    return found.astype(np.uint32), int(count)


def distance_inside(mask: Bools, voxel_size: Sequence[float]) -> NDArray[np.float32]:
    """How far each voxel of the mask is from the nearest outside it, in units of `voxel_size`; beyond the array is inside."""
    import edt

    found: NDArray[np.float32] = edt.edt(np.ascontiguousarray(mask), anisotropy=tuple(voxel_size), black_border=False, parallel=1)
    return found


def flood(height: Floats, seeds: Labels, mask: Bools | None = None) -> Labels:
    """Watershed: each voxel of the mask gets the seed from which it is reached over the lowest pass; 0 where none reaches it."""
    from bioimage_cpp.segmentation import watershed

    found: Labels = watershed(np.ascontiguousarray(height, np.float32), np.ascontiguousarray(seeds), mask=mask)
    return found


def contacts(labels: Labels, values: NDArray[np.int16], own: tuple[int, ...]) -> tuple[Edges, NDArray[np.int64]]:
    """Which labels touch, and for each pair [how many faces it shares, the sum over both sides of each of `values`], exactly.

    A face belongs to the voxel before it; those of the first `own` voxels along each axis count. Label 0 touches nothing.
    """
    from bioimage_cpp.graph.distributed import block_edge_map_stats

    pairs, stats = block_edge_map_stats(labels, values, (0,) * labels.ndim, own, number_of_threads=1)
    faces = stats[:, 0]
    sums = np.rint(2 * stats[:, 1] * faces)  # its values on a face are means of two integers
    kept = pairs[:, 0] > 0
    return pairs[kept], np.stack([faces, sums], axis=1)[kept].astype(np.int64)


def cut(count: int, edges: Edges, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Greedy multicut of a graph of nodes 0 to count - 1: a label for each node. Positive weights attract."""
    from bioimage_cpp.graph import UndirectedGraph
    from bioimage_cpp.graph.multicut import GreedyAdditiveMulticut, MulticutObjective

    graph = UndirectedGraph.from_unique_edges(count, np.ascontiguousarray(edges, np.uint64))
    return np.asarray(GreedyAdditiveMulticut().optimize(MulticutObjective(graph, weights)), np.int64)


def unite(count: int, pairs: Edges) -> NDArray[np.int64]:
    """Union-find: of each of the nodes 0 to count - 1 the smallest node that pairs connect it with. IndexError for other nodes."""
    if (largest := pairs.max(initial=0)) >= count > 0:
        raise IndexError(f"pairs name nodes up to {largest}; there are {count}, from 0 on.")
    if not LIBRARY.is_file() or count > np.iinfo(np.uint32).max:
        return _united_slowly(count, pairs)
    parents, pairs = np.arange(count, dtype=np.uint32), np.ascontiguousarray(pairs, np.uint64)
    _library().unite(parents.ctypes.data, count, pairs.ctypes.data, len(pairs))
    return parents.astype(np.int64)


def _united_slowly(count: int, pairs: Edges) -> NDArray[np.int64]:
    """The same by bioimage_cpp, where the kernel was not built."""
    from bioimage_cpp.utils import UnionFind

    found = UnionFind(count)
    found.merge(np.ascontiguousarray(pairs, np.uint64))
    roots = found.element_labeling().astype(np.int64)
    smallest = np.empty(count, np.int64)
    smallest[roots[::-1]] = np.arange(count)[::-1]  # of several assignments the last one stays: the smallest node
    united: NDArray[np.int64] = smallest[roots]
    return united


@cache
def _library() -> ctypes.CDLL:
    library = load_library(LIBRARY)
    place, size = ctypes.c_void_p, ctypes.c_size_t
    library.unite.argtypes, library.unite.restype = [place, size, place, size], None
    return library
