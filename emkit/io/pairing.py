"""Which sections of an image a labelled volume or folder labels. Axis order is (z, y, x)."""

from dataclasses import dataclass

from emkit.blocks import Block
from emkit.errors import PathError
from emkit.io.arrays import Voxels
from emkit.io.sections import ranges, section_numbers
from emkit.io.spool import SectionImages


@dataclass(frozen=True)
class Pairing:
    """Label section k belongs to image section `sections[k]`; its first pixel lies at `corner` (y, x) of it."""

    sections: tuple[int, ...]
    corner: tuple[int, int] = (0, 0)

    def window(self, k: int, shape: tuple[int, int]) -> Block:
        """The part of the image under label section k of this shape (y, x)."""
        z, (y, x) = self.sections[k], self.corner
        return Block((z, z + 1), (y, y + shape[0]), (x, x + shape[1]))


def pair_labels(images: Voxels, labels: Voxels) -> Pairing:
    """By where they lie, if both are volumes that say so; by name or number, if both are folders; else by order, from the first on.

    PathError where they do not overlap, where one label has two places or none, or where sections are of other sizes.
    """
    if images.voxel_size_nm and labels.voxel_size_nm:
        return _by_place(images, labels)
    if images.shape[1:] != labels.shape[1:]:
        raise PathError(
            f"labels: sections of {labels.shape[1:]} px (y, x), those of the images have {images.shape[1:]} px; needed: the same. "
            "Give labels of the whole sections, or volumes (OME-Zarr) that say where they lie."
        )
    if isinstance(images, SectionImages) and isinstance(labels, SectionImages) and (found := _by_name(images, labels)):
        return Pairing(found)
    if labels.shape[0] > images.shape[0]:
        raise PathError(
            f"labels: {labels.shape[0]} sections, but the images have {images.shape[0]}; needed: no more labels than images. "
            "Give the images that were labelled."
        )
    return Pairing(tuple(range(labels.shape[0])))


def _by_name(images: SectionImages, labels: SectionImages) -> tuple[int, ...] | None:
    """By equal names, else by number; None where labels are counted on their own, from 0 or 1."""
    stems, wanted = ([file.path.stem for file in one.stack.files] for one in (images, labels))
    if set(wanted) <= set(stems):
        return tuple(stems.index(stem) for stem in wanted)
    numbers, asked = section_numbers(stems), section_numbers(wanted)
    there = [number for number in numbers if number is not None]
    given = [number for number in asked if number is not None]
    if not there or len(given) < len(asked) or len(set(there)) < len(there):
        return None
    if set(given) <= set(there):
        return tuple(there.index(number) for number in given)
    if given == list(range(given[0], given[0] + len(given))) and given[0] in (0, 1):
        return None
    missing = sorted(set(given) - set(there))
    overlap = "no overlap" if len(missing) == len(given) else f"no image for labels {ranges(missing)}"
    raise PathError(
        f"labels: {overlap}: images are numbered {ranges(sorted(there))}, labels {ranges(sorted(given))}; needed: an image for "
        "each label section. Name them alike, or give the images that were labelled."
    )


def _by_place(images: Voxels, labels: Voxels) -> Pairing:
    size, other = images.voxel_size_nm, labels.voxel_size_nm
    if not size or not other or any(abs(a - b) > 0.01 * a for a, b in zip(size, other, strict=True)):
        raise PathError(
            f"labels: voxels of {other} nm, those of the images are {size} nm (z, y, x); needed: the same. Convert one."
        )
    offsets = [round((b - a) / nm) for a, b, nm in zip(images.origin_nm, labels.origin_nm, size, strict=True)]
    if any(o < 0 or o + n > m for o, n, m in zip(offsets, labels.shape, images.shape, strict=True)):
        ends = [f"{axis} {o}:{o + n} of {m}" for axis, o, n, m in zip("zyx", offsets, labels.shape, images.shape, strict=True)]
        apart = any(o + n <= 0 or o >= m for o, n, m in zip(offsets, labels.shape, images.shape, strict=True))
        found = "no overlap" if apart else "they reach beyond the image"
        raise PathError(f"labels: {found}: in px of the image they lie at {', '.join(ends)}; needed: within it. Crop the labels.")
    z, y, x = offsets
    return Pairing(tuple(range(z, z + labels.shape[0])), (y, x))
