"""Blocks with a halo are the whole volume, bit for bit, and the proof knows of which networks that is true."""

from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from emkit.blocks import Block
from emkit.errors import DataError, ParameterError, ResourceError
from emkit.membrane.exactness import prove
from emkit.membrane.inference import Precision, Predictor, check_device, tiles
from emkit.membrane.model import Configuration, Model, Target
from emkit.membrane.symmetries import symmetries
from tests.membrane.networks import network_of

NM = (45.0, 4.6, 4.6)


def noise(*shape: int) -> Any:
    return np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)


def whole(predictor: Predictor, gray: Any) -> Any:
    every = Block(*((0, n) for n in gray.shape))
    return predictor.predict(gray, every, every, gray.shape)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("tta", [1, 8])
def test_blocks_are_the_whole_bit_for_bit(precision: Precision, tta: int) -> None:
    predictor = Predictor(network_of(Target("membrane"), Target("contour")), tta=tta, precision=precision)
    gray = noise(2, 107, 86)  # no multiple of the stride
    expected = whole(predictor, gray)
    assert predictor.proof.reach and expected.std() > 0.03
    rounding = 0 if predictor.proof.exact else 1e-6  # the proof tells what the arithmetic of this machine allows
    for side in (64, 45):  # on the stride and off it
        predictor.tile = (1, 40, 50) if side == 64 else (1, 64, 64)
        for block in tiles(Block((0, 2), (0, 107), (0, 86)), (2, side, side)):
            window = predictor.window(block, gray.shape)
            found = predictor.predict(gray[window.slices], window, block, gray.shape)
            np.testing.assert_allclose(found, expected[(..., *block.slices)], rtol=0, atol=rounding)


def test_the_proof_finds_how_far_a_network_looks() -> None:
    predictor = Predictor(network_of())
    assert predictor.proof.reach == predictor.halo == (0, 16, 16)
    assert predictor.model.halo == (0, 20, 20)  # of the worst pixel of a cell; blocks end at the edges of cells


def as_2d(network: nn.Module) -> Any:
    return lambda image: network(image[:, :, 0])[:, :, None]


def test_a_halo_that_was_claimed_too_small_is_found_out() -> None:
    wide = as_2d(nn.Conv2d(1, 1, 31, padding=15))
    assert prove(wide, wide, (1, 4, 4), (0, 4, 4)).reach == (0, 16, 16)


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)])
def test_normalisation_by_the_input_is_not_exact_and_says_so(norm: nn.Module) -> None:
    network = as_2d(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), norm, nn.Conv2d(4, 1, 1)).eval())
    proof = prove(network, network, (1, 4, 4), (0, 4, 4))
    assert proof.reach is None and not proof.exact and "seams are possible" in str(proof)


def test_arithmetic_that_depends_on_the_size_is_told() -> None:
    network = as_2d(nn.Conv2d(1, 1, 3, padding=1))
    proof = prove(network, lambda image: network(image) + 1e-3 * prod(image.shape), (1, 4, 4), (0, 4, 4))
    assert proof.reach == (0, 4, 4) and not proof.exact and "up to" in str(proof)


class Neighbours(nn.Module):
    """The very affinities of an image of labels: 1 where a voxel and its neighbour at the offset are alike."""

    stride, halo = (1, 2, 2), (0, 4, 4)

    def __init__(self, offsets: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__()
        self.offsets = offsets

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        moved = [torch.roll(image, (-y, -x), (2, 3)) for _, y, x in self.offsets]
        return torch.cat([torch.where(image == other, 9.0, -9.0) for other in moved], 1)


def test_affinities_of_mirrored_volumes_are_told_at_the_right_voxel() -> None:
    offsets = ((0, -1, 0), (0, 0, -1), (0, 0, -3), (0, 3, 0), (0, 2, 1))  # the last has no partner when turned
    target = Target("affinity", offsets)
    model = Model(Neighbours(offsets), Configuration("unet2d", {}, 2, NM, (target,), mean=0.0, std=1.0))
    labels = np.kron(noise(1, 5, 6) % 3, np.ones((1, 4, 4), np.uint8))
    one, eight = (Predictor(model, tta=tta).predict for tta in (1, 8))
    inner, every = Block((0, 1), (4, 16), (4, 20)), Block((0, 1), (0, 20), (0, 24))
    expected = one(labels, every, inner, labels.shape)
    np.testing.assert_allclose(eight(labels, every, inner, labels.shape), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dim", [2, 3])
def test_symmetries_are_all_different_and_are_undone(dim: int) -> None:
    array = noise(3, 4, 5)
    every = symmetries(99, dim)
    assert len(every) == {2: 8, 3: 16}[dim] and every[0].apply(array) is not None
    assert len({symmetry.apply(array).tobytes() + bytes(symmetry.turned) for symmetry in every}) == len(every)
    for symmetry in every:
        np.testing.assert_array_equal(symmetry.undo(symmetry.apply(array)), array)


class Greedy(nn.Module):
    """A network that asks for more memory than there is wherever it is shown more than so many pixels."""

    stride, halo, most = (1, 1, 1), (0, 1, 1), 1200

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.mean(image) if image.numel() < self.most else torch.empty(2**60)
        return said


def test_short_memory_halves_the_tile_once_and_says_so() -> None:
    network, gray = Greedy(), noise(1, 40, 40)
    model = Model(network, Configuration("unet2d", {}, 2, NM, (Target("membrane"),), mean=0.0, std=100.0))
    predictor = Predictor(model)
    found = whole(predictor, gray)
    assert predictor.halved and predictor.tile == (1, 40, 20)
    network.most = 2000
    np.testing.assert_allclose(found, whole(Predictor(model), gray), atol=1e-6)
    network.most = 400
    with pytest.raises(ResourceError, match="does not suffice for 1 x 40 x 20 px at once"):
        whole(Predictor(model), gray)


def test_what_is_refused() -> None:
    gray = np.ones((1, 16, 16), np.float32)
    gray[0, 3, 5] = np.nan
    every = Block((0, 1), (0, 16), (0, 16))
    with pytest.raises(DataError, match=r"1 values that are not finite near \(z=0, y=3, x=5\)"):
        Predictor(network_of()).predict(gray, every, every, gray.shape)
    with pytest.raises(ParameterError, match="found 'tpu9'"):
        check_device("tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="sees 0 GPUs here"):
            check_device("cuda:3")
