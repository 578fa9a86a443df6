"""The metadata of OME-Zarr (NGFF) in our nouns: 0.5 is written, 0.4 and 0.5 are read, by the models of yaozarrs.

https://ngff.openmicroscopy.org/0.5 and /0.4. Axis order is (z, y, x); axes before z (time, channel) may be 1 long.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emkit.blocks import scaled
from emkit.errors import PathError
from emkit.io.stores import PASSING
from emkit.model import Shape, SizeNm, VolumeKind

NM = {
    "angstrom": 0.1, "picometer": 1e-3, "nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6, "centimeter": 1e7, "meter": 1e9,
}  # fmt: skip
OTHER = (
    "Give the path of one image: a folder with a zarr.json (OME-Zarr 0.5) or a .zattrs (0.4) that holds 'multiscales'; "
    "within a converted microscope file that is often the folder '0'."
)


@dataclass(frozen=True)
class Placed:
    """Where the metadata put one level: the array's path, its voxel size and the centre of its first voxel."""

    path: str
    voxel_size_nm: SizeNm
    origin_nm: SizeNm


@dataclass(frozen=True)
class Metadata:
    """`zarr_format` is 2 for OME-Zarr 0.4 and 3 for 0.5; `leading` counts the axes before z."""

    name: str
    kind: VolumeKind
    zarr_format: int
    leading: int
    levels: tuple[Placed, ...]


def group_document(
    name: str, kind: VolumeKind, voxel_size_nm: SizeNm, factors: Sequence[Shape], origin_nm: SizeNm = (0.0, 0.0, 0.0)
) -> dict[str, Any]:
    """The root zarr.json of a volume with levels 0, 1, …; `factors` lead from each level to the next, the first is (1, 1, 1)."""
    from yaozarrs import v05

    datasets, size = list[v05.Dataset](), voxel_size_nm
    for index, factor in enumerate(factors):
        size = scaled(size, factor)
        moved = [first + (coarse - fine) / 2 for first, coarse, fine in zip(origin_nm, size, voxel_size_nm, strict=True)]
        dataset = v05.Dataset(path=str(index), coordinateTransformations=[v05.ScaleTransformation(scale=list(size))])
        if any(moved):
            dataset.coordinateTransformations.append(v05.TranslationTransformation(translation=moved))
        datasets.append(dataset)
    multiscale = v05.Multiscale(
        name=name or None,
        axes=[v05.SpaceAxis(name=axis, unit="nanometer") for axis in "zyx"],
        datasets=datasets,
        type="mode" if kind == "labels" else "mean",
    )
    image: v05.Image = v05.Image(multiscales=[multiscale])
    if kind == "labels":
        image = v05.LabelImage.model_validate({"multiscales": [multiscale], "image-label": {}})
    ome = image.model_dump(mode="json", exclude_none=True)
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}


def read_metadata(path: Path) -> Metadata:
    """What the root of an OME-Zarr image tells. Refuses, with its path, what is no such image or has no three space axes."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05

    attributes, zarr_format = _attributes(path)
    models: Any = v05 if zarr_format == 3 else v04
    labels = "image-label" in attributes
    try:
        image = (models.LabelImage if labels else models.Image).model_validate(attributes)
    except ValidationError as wrong:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong.errors()[:3])
        raise PathError(f"{path} is no OME-Zarr image of version 0.4 or 0.5: {where}. {OTHER}") from None
    multiscale = image.multiscales[0]
    names = [axis.name for axis in multiscale.axes]
    if names[-3:] != ["z", "y", "x"]:
        raise PathError(f"{path} has the axes {', '.join(names)}; needed: a volume whose last axes are z, y, x.")
    units = [NM[axis.unit] for axis in multiscale.axes[-3:] if axis.unit in NM]
    if len(units) < 3:
        told = ", ".join(f"{axis.name} in {axis.unit or 'no unit'}" for axis in multiscale.axes[-3:])
        raise PathError(f"{path} has {told}; needed: a length for each, such as 'nanometer'. Add 'unit' to its axes in {path}.")
    levels = tuple(_placed(dataset, multiscale.coordinateTransformations or [], units) for dataset in multiscale.datasets)
    return Metadata(multiscale.name or path.name, "labels" if labels else "image", zarr_format, len(names) - 3, levels)


def _attributes(path: Path) -> tuple[dict[str, Any], int]:
    for file, zarr_format in ((path / "zarr.json", 3), (path / ".zattrs", 2)):
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as wrong:
            if getattr(wrong, "errno", None) in PASSING:
                raise
            raise PathError(f"{file} cannot be read: {wrong}. Needed: the JSON metadata of an OME-Zarr image.") from None
        found = found.get("attributes", {}).get("ome", {}) if zarr_format == 3 else found
        if "multiscales" not in found:
            raise PathError(f"{path} is a zarr without OME 'multiscales'. {OTHER}")
        return found, zarr_format
    raise PathError(f"{path} {'is' if path.exists() else 'does not exist; needed:'} no OME-Zarr image. {OTHER}")


def _placed(dataset: Any, common: Sequence[Any], units: Sequence[float]) -> Placed:
    """Scales multiply, a later scale also moves what was translated before it."""
    size, origin = [1.0] * 3, [0.0] * 3
    for step in [*dataset.coordinateTransformations, *common]:
        if step.type == "scale":
            size = [a * b for a, b in zip(size, step.scale[-3:], strict=True)]
            origin = [a * b for a, b in zip(origin, step.scale[-3:], strict=True)]
        else:
            origin = [a + b for a, b in zip(origin, step.translation[-3:], strict=True)]
    (sz, sy, sx), (oz, oy, ox) = ([a * unit for a, unit in zip(values, units, strict=True)] for values in (size, origin))
    return Placed(dataset.path, (sz, sy, sx), (oz, oy, ox))
