"""A tensorstore as a lazy xarray.DataArray by xarray's own indexing: no dask, voxels are read when they are used."""

from typing import Any

import numpy as np
import tensorstore
import xarray
from xarray.backends import BackendArray
from xarray.core import indexing

from emkit.io.stores import read_store
from emkit.model import Level


class _Lazy(BackendArray):
    """What xarray asks of a format (its guide 'How to add a new backend')."""

    def __init__(self, store: tensorstore.TensorStore) -> None:
        self.store, self.shape, self.dtype = store, store.shape, store.dtype.numpy_dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # OUTER makes xarray ask for ints, index arrays and slices of positive step only.
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        return read_store(self.store.oindex[key])


def lazy_array(store: tensorstore.TensorStore, level: Level, name: str) -> xarray.DataArray:
    """The level as a DataArray with the coordinates of its voxel centres in nm."""
    coordinates = {
        axis: (axis, origin + size * np.arange(n), {"units": "nm"})
        for axis, n, size, origin in zip("zyx", level.shape, level.voxel_size_nm, level.origin_nm, strict=True)
    }
    variable = xarray.Variable(("z", "y", "x"), indexing.LazilyIndexedArray(_Lazy(store)))
    return xarray.DataArray(variable, coordinates, name=name, attrs={"voxel_size_nm": level.voxel_size_nm})
