"""Scores of synaptic clefts, as CREMI defines them (cremi.org/metrics): how far what is found lies from what is true, in nm."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.model import SizeNm

FAR_NM = 200.0  # a voxel further than this from any of the other side is a false positive, or a false negative


def cleft_scores(found: NDArray[Any], truth: NDArray[Any], voxel_size_nm: SizeNm) -> dict[str, float]:
    """ADGT, ADF, their mean, and the false voxels of two masks (non-zero is cleft), (z, y, x).

    ADGT: the mean distance of a found voxel to the nearest true one, ADF: of a true one to the nearest found. Infinite where
    one side has a cleft and the other has none; 0 where neither has.

    >>> cleft_scores(np.eye(3)[None], np.eye(3)[None], (1, 1, 1))["cremi_cleft"]
    0.0
    """
    a, b = found != 0, truth != 0
    to_truth, to_found = _distances(a, b, voxel_size_nm), _distances(b, a, voxel_size_nm)
    adgt, adf = (float(d.mean()) if d.size else 0.0 for d in (to_truth, to_found))
    return {
        "adgt_nm": adgt,
        "adf_nm": adf,
        "cremi_cleft": (adgt + adf) / 2,
        "false_positives": float(np.count_nonzero(to_truth > FAR_NM)),
        "false_negatives": float(np.count_nonzero(to_found > FAR_NM)),
    }


def _distances(of: NDArray[np.bool_], to: NDArray[np.bool_], voxel_size_nm: SizeNm) -> NDArray[np.float64]:
    """From each voxel of one mask to the nearest of the other, centre to centre."""
    if not to.any():
        return np.full(np.count_nonzero(of), np.inf)
    from scipy import ndimage

    far: NDArray[np.float64] = ndimage.distance_transform_edt(~to, sampling=voxel_size_nm)[of]
    return far
