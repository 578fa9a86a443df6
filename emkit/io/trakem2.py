"""Projects of TrakEM2, XML: layers of patches, each an image with a matrix that takes its points to points of the layer.

``matrix(a,b,c,d,tx,ty)`` is x' = a x + c y + tx, y' = b x + d y + ty, px whose edges lie at integers. Of a patch that bends
(``ict_transform``) it tells the affine part alone. Parser and writer of what emkit needs: where images lie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from emkit.errors import DataError

NUMBER = r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)"
UNITS = {"nm": 1.0, "micron": 1e3, "um": 1e3, "µm": 1e3, "mm": 1e6}
IDENTITY = "matrix(1.0,0.0,0.0,1.0,0.0,0.0)"
HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE trakem2_anything [
	<!ELEMENT trakem2 (project,t2_layer_set)>
	<!ELEMENT project (anything)>
	<!ATTLIST project id NMTOKEN #REQUIRED>
	<!ATTLIST project title NMTOKEN #REQUIRED>
	<!ELEMENT anything EMPTY>
	<!ATTLIST anything id NMTOKEN #REQUIRED>
	<!ATTLIST anything expanded NMTOKEN #REQUIRED>
] >
"""


@dataclass(frozen=True)
class Patch:
    """An image of a layer at ``z`` and its matrix, six numbers as they stand there; ``bends`` if it is transformed further."""

    z: str
    thickness: float  # of the layer, px
    file: str
    matrix: tuple[float, ...]
    shape: tuple[int, int] | None  # (y, x), where it is told
    bends: bool


@dataclass(frozen=True)
class Project:
    """The patches, layer by layer, and the size of a px, where it is told in a length."""

    patches: tuple[Patch, ...]
    pixel_nm: float | None


def read_project(path: Path) -> Project:
    """DataError if it is no project of TrakEM2, or names a patch without an image or a matrix."""
    text = path.read_bytes()
    if b"<!ENTITY" in text:
        raise DataError(f"{path} defines entities, which no TrakEM2 project does. Needed: a project as TrakEM2 saved it.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as wrong:
        raise DataError(f"{path} is no whole XML: {wrong}. Save the project again.") from None
    layers = enumerate(root.iter("t2_layer"))
    patches = tuple(_patch(path, str(n), layer, patch) for n, layer in layers for patch in layer.iter("t2_patch"))
    calibration = next(root.iter("t2_calibration"), None)
    told = {} if calibration is None else calibration.attrib
    unit = UNITS.get(told.get("unit", "").lower())
    return Project(patches, _number(path, told.get("pixelWidth")) * unit if unit else None)


def _patch(path: Path, number: str, layer: ElementTree.Element, patch: ElementTree.Element) -> Patch:
    name, placed = patch.get("file_path", ""), patch.get("transform", IDENTITY)
    matrix = re.findall(NUMBER, placed)
    if not name or len(matrix) != 6:
        raise DataError(f"{path}: patch {patch.get('oid', '?')} has the transform {placed!r}; needed: a file and six numbers.")
    height, width = patch.get("o_height"), patch.get("o_width")
    return Patch(
        layer.get("z", number),
        _number(path, layer.get("thickness", "1")),
        name,
        tuple(_number(path, value) for value in matrix),
        (round(_number(path, height)), round(_number(path, width))) if height and width else None,
        any(child.tag.startswith("ict_transform") for child in patch),
    )


def _number(path: Path, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"{path}: found {text!r}; needed: a number, as TrakEM2 writes it.") from None


def new_project(patches: Sequence[Patch], pixel_nm: float) -> str:
    """A project of one patch a layer. Sizes of layers are those of the images, thicknesses in px, as TrakEM2 keeps them."""
    height, width = (max(patch.shape[axis] for patch in patches if patch.shape) for axis in (0, 1))
    layers = "".join(_layer(n, patch) for n, patch in enumerate(patches))
    size = f'width="{width}.0" height="{height}.0" layer_width="{width}.0" layer_height="{height}.0"'
    calibration = f'pixelWidth="{pixel_nm!r}" pixelHeight="{pixel_nm!r}" pixelDepth="{pixel_nm!r}" unit="nm"'
    return (
        f'{HEAD}<trakem2>\n<project id="0" title="emkit" unuid="0.0.0">\n</project>\n'
        f'<t2_layer_set oid="1" {size} transform="{IDENTITY}" title="Top Level">\n<t2_calibration {calibration} />\n'
        f"{layers}</t2_layer_set>\n</trakem2>\n"
    )


def _layer(n: int, patch: Patch) -> str:
    height, width = patch.shape or (0, 0)
    name = quoteattr(patch.file)
    return (
        f'<t2_layer oid="{2 * n + 2}" thickness="{patch.thickness!r}" z="{patch.z}" title="">\n'
        f'<t2_patch oid="{2 * n + 3}" width="{width}.0" height="{height}.0" o_width="{width}" o_height="{height}" '
        f'transform="{matrix_text(patch.matrix)}" title={quoteattr(Path(patch.file).name)} type="0" file_path={name} '
        f'style="fill-opacity:1.0;stroke:#ffff00;" links="" min="0.0" max="255.0">\n</t2_patch>\n</t2_layer>\n'
    )


def matrix_text(matrix: Sequence[float]) -> str:
    return f"matrix({','.join(map(repr, matrix))})"


def with_matrices(text: str, matrices: Sequence[Sequence[float]]) -> str:
    """A project with other matrices of its patches, in order, and every other byte as it was."""
    left = iter(matrices)

    def moved(tag: re.Match[str]) -> str:
        placed = f'transform="{matrix_text(next(left))}"'
        told, count = re.subn(r'\btransform="[^"]*"', placed, tag[0])
        return told if count else tag[0].replace("<t2_patch", f"<t2_patch {placed}", 1)

    return re.sub(r"<t2_patch\b[^>]*>", moved, text)
