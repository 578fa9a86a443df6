"""Targets of labels whose answer is known: two cells with a membrane between them, and what is unlabelled beside them."""

from typing import Literal

import numpy as np
import pytest
from scipy import ndimage

from emkit.errors import DataError
from emkit.membrane.model import TargetName
from emkit.membrane.targets import Truth, affinities_of, check_learnable, maps_of, radius_of, room_in, understand

NM = (50.0, 4.0, 4.0)


def two_cells(gap: int) -> np.ndarray:
    """Cell 7 on the left and cell 9 on the right of one section of 20 x 40 px, with so many columns of 0 between them."""
    labels = np.zeros((1, 20, 40), np.uint16)
    labels[..., : 20 - gap // 2] = 7
    labels[..., 20 - gap // 2 + gap :] = 9
    return labels


@pytest.mark.parametrize("kind", ["membrane", "interior"])
def test_membranes_part_cells(kind: Literal["membrane", "interior"]) -> None:
    interior = two_cells(4) != 0
    truth = understand(~interior if kind == "membrane" else interior, kind, 2, 4)
    assert (truth.membrane == ~interior).all() and truth.known.all()
    assert len(np.unique(truth.ids[interior])) == 2 and (truth.ids[~interior] == 0).all()


@pytest.mark.parametrize("thickness", [2, 4, 6])
def test_instances_that_touch_have_a_contour_as_thick_as_asked(thickness: int) -> None:
    truth = understand(two_cells(0), "instances", 2, thickness)
    columns = np.flatnonzero(truth.membrane[0].all(0))
    assert truth.known.all() and columns.tolist() == list(range(20 - thickness // 2, 20 + thickness // 2))


def test_a_narrow_gap_is_membrane_and_a_wide_one_is_unknown() -> None:
    narrow = understand(two_cells(4), "instances", 2, 4)
    assert narrow.known.all() and narrow.membrane[..., 18:22].all()
    wide = understand(two_cells(16), "instances", 2, 4)
    assert not wide.known[..., 12:28].any() and wide.known[..., :12].all() and not wide.membrane.any()
    space = understand(two_cells(16), "instances", 2, 4, extracellular=True)
    assert space.known.all() and space.membrane[..., 11:13].all() and not space.membrane[..., 16:24].any()


def test_strokes_say_nothing_of_what_they_leave_out() -> None:
    labels = np.zeros((1, 8, 8), np.uint8)
    labels[0, 2], labels[0, 5] = 1, 2
    truth = understand(labels, "strokes", 2, 2)
    assert (truth.known == (labels != 0)).all() and (truth.membrane == (labels == 2)).all()


def test_three_classes() -> None:
    """Two cells with their membranes, the space between them, and what is not labelled."""
    labels = np.zeros((1, 20, 40), np.uint8)
    labels[..., 2:10], labels[..., 10:12], labels[..., 12:26], labels[..., 26:28], labels[..., 28:36] = 1, 2, 3, 2, 1
    truth = understand(labels, "classes", 2, 4)
    assert (truth.known == (labels != 0)).all() and set(np.unique(truth.ids)) == {0, 1, 2}
    told = maps_of(truth, ("membrane", "foreground", "extracellular"), 2, NM, 4)
    for found, value in zip(told, (2, 1, 3), strict=True):
        assert (found.astype(bool) == (labels == value)).all()
    filled = understand(two_cells(16), "instances", 2, 4, extracellular=True)
    of_instances = maps_of(filled, ("membrane", "foreground", "extracellular"), 2, NM, 4)
    assert (of_instances.sum(0) == 1).all() and of_instances[2, 0, 5, 16:24].all()


def test_labels_that_are_no_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"found values up to 9 in labels of the kind classes; needed: 1 in cells, 2 on membranes"):
        understand(two_cells(4), "classes", 2, 4)
    with pytest.raises(DataError, match="no voxel is extracellular space"):
        maps_of(understand(two_cells(4) != 0, "interior", 2, 4), ("extracellular",), 2, NM, 4)


def test_the_maps_of_a_disk() -> None:
    disk = np.hypot(*np.mgrid[-20:21, -20:21]) < 12.5
    truth = understand(disk[None], "interior", 2, 4)
    maps = dict(zip(NAMES, maps_of(truth, NAMES, 2, NM, 4), strict=True))
    assert (maps["membrane"][0] == ~disk).all() and (maps["foreground"][0] == disk).all()
    deep = ndimage.distance_transform_edt(disk) * 4.0
    np.testing.assert_allclose(maps["distance"][0], np.tanh(deep / 160.0), atol=1e-5)
    edge = maps["contour"][0] > 0
    assert edge.any() and (np.abs(np.hypot(*np.mgrid[-20:21, -20:21]) - 12.5)[edge] < 3.5).all()
    assert (maps["cleft"][0] >= disk).all() and 0 < maps["skeleton"][0].sum() < (~disk).sum()


NAMES: tuple[TargetName, ...] = ("membrane", "foreground", "distance", "contour", "cleft", "skeleton")


def test_affinities_by_their_definition() -> None:
    ids = np.random.default_rng(0).integers(0, 3, (4, 6, 7)).astype(np.int32)
    offsets = ((-1, 0, 0), (0, 2, -3), (-9, 0, 0))
    same, inside = affinities_of(ids, offsets)
    for k, offset in enumerate(offsets):
        for place in np.ndindex(*ids.shape):
            other = tuple(int(p + o) for p, o in zip(place, offset, strict=True))
            is_inside = all(0 <= p < n for p, n in zip(other, ids.shape, strict=True))
            assert inside[(k, *place)] == is_inside
            assert same[(k, *place)] == (is_inside and ids[place] == ids[other] and ids[place] != 0)


def test_a_saturated_patch_holds_labels_only_at_any_angle() -> None:
    known = np.zeros((200, 200), bool)
    known[20:170, 40:180] = True
    radius = radius_of(48, 1.25)
    centres = np.argwhere(room_in(known) >= radius)
    assert len(centres)
    for y, x in centres[:: len(centres) // 20]:
        for angle in np.linspace(0, np.pi, 7):
            turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 1.25
            corners = turned @ np.array([[-24, -24, 24, 24], [-24, 24, -24, 24]]) + [[y], [x]]
            assert known[tuple(np.round(corners).astype(int))].all()


def test_the_edge_of_a_section_is_no_end_of_its_labels() -> None:
    assert (room_in(np.ones((30, 40), bool)) > 1000).all()
    known = np.ones((30, 40), bool)
    known[:, 30:] = False
    assert room_in(known)[0, 0] == 30


def test_labels_that_teach_nothing_are_refused() -> None:
    ones = np.ones((1, 4, 4), bool)
    for truth, words in (
        (Truth(np.zeros((1, 4, 4), np.int32), ~ones, ~ones), "nothing is labelled"),
        (Truth(np.zeros((1, 4, 4), np.int32), ones, ones), "every voxel is membrane"),
        (Truth(np.ones((1, 4, 4), np.int32), ~ones, ones), "no voxel is membrane"),
    ):
        with pytest.raises(DataError, match=words):
            check_learnable(truth, "labels")
