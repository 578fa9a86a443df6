"""The images of PyReconstruct as zarr (format 2): ``scale_N/<file name of the section>``, an array (y, x), grey, 8 bits.

PyReconstruct takes a folder for one if its name ends in ``zarr``. At scale N it takes row ``round(height / N)`` for the last, so
that many rows are kept. It knows no voxel size, which lies beside as ``voxel_size_nm`` in ``.zattrs``, for emkit.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import ParameterError, PathError
from emkit.io.arrays import Array
from emkit.io.omezarr import downsample
from emkit.io.sections import natural
from emkit.io.stores import context, create_store, finish, kvstore
from emkit.model import SizeNm

if TYPE_CHECKING:
    import tensorstore

DTYPE = "uint8"
SMALLEST_PX = 1024**2  # PyReconstruct makes scales until an image has fewer
CHUNK_PX = 1024
GROUP = json.dumps({"zarr_format": 2}) + "\n"


def check_images(out: Path, dtype: str) -> None:
    """Refuse what PyReconstruct cannot show."""
    if dtype != DTYPE:
        raise ParameterError(f"PyReconstruct shows grey of 8 bits; found {dtype}. Convert the sections to {DTYPE} first.")
    if not out.name.endswith("zarr"):
        raise ParameterError(
            f"out: found {out.suffix or 'no ending'}; needed: a name that ends in zarr, or PyReconstruct ignores it."
        )


def scales(shape: tuple[int, int]) -> list[int]:
    """1, 2, 4, … for images of ``shape`` (y, x)."""
    found, pixels = [1], shape[0] * shape[1]
    while pixels >= SMALLEST_PX:
        found.append(2 * found[-1])
        pixels //= 4
    return found


def create_images(out: Path, shape: tuple[int, int], voxel_size_nm: SizeNm) -> None:
    """The groups, without images."""
    for folder in (out, *(out / f"scale_{scale}" for scale in scales(shape))):
        folder.mkdir(exist_ok=True)
        (folder / ".zgroup").write_text(GROUP)
    (out / ".zattrs").write_text(json.dumps({"voxel_size_nm": voxel_size_nm}) + "\n")


def write_image(out: Path, name: str, pixels: NDArray[Any]) -> list[Path]:
    """A section (y, x) at all scales; the files. Each pixel is the mean of those it stands for."""
    import tensorstore

    files: list[Path] = []
    shape, whole = (pixels.shape[0], pixels.shape[1]), pixels[None]
    for scale in scales(shape):
        shown = whole[0, : round(shape[0] / scale), : round(shape[1] / scale)]
        folder = out / f"scale_{scale}" / name
        compressor = {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 0}
        metadata = {"shape": shown.shape, "chunks": [CHUNK_PX, CHUNK_PX], "dtype": "|u1", "fill_value": 0, "compressor": compressor}
        spec = {"driver": "zarr", "kvstore": kvstore(folder), "metadata": metadata}
        create_store(spec, context())
        store = tensorstore.open(spec, open=True, write=True, context=context()).result()
        finish([store.write(np.ascontiguousarray(shown))])
        files += sorted(file for file in folder.iterdir() if file.is_file())
        whole = downsample(whole, (1, 2, 2), "mean")
    return files


def is_images(folder: Path) -> bool:
    return (folder / "scale_1" / ".zgroup").is_file()


def open_images(folder: Path) -> Array:
    """The images at full size, one after another in natural order of their names. PathError if they are not of one shape."""
    import tensorstore

    names = sorted(
        (path for path in (folder / "scale_1").iterdir() if (path / ".zarray").is_file()), key=lambda path: natural(path.name)
    )
    stores = [_open(path) for path in names]
    shapes = {store.shape for store in stores}
    if len(shapes) != 1 or {store.dtype.name for store in stores} != {DTYPE}:
        found = ", ".join(map(str, sorted(shapes))) or "none"
        raise PathError(f"{folder / 'scale_1'} holds images of {found} px; needed: {DTYPE} of one shape. Sort them first.")
    attributes = folder / ".zattrs"
    told = json.loads(attributes.read_text()) if attributes.is_file() else {}
    size = told.get("voxel_size_nm")
    return Array(tensorstore.stack(stores), None if size is None else (size[0], size[1], size[2]), kind="image")


def _open(path: Path) -> "tensorstore.TensorStore":
    import tensorstore

    try:
        return tensorstore.open({"driver": "zarr", "kvstore": kvstore(path)}, open=True, read=True, context=context()).result()
    except ValueError as wrong:
        raise PathError(f"{path} cannot be read as zarr of format 2: {wrong}") from None
