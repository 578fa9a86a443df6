"""What a training is made of: losses, places of patches, changes of gray values, and steps that a checkpoint can take up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emkit.errors import DataError, ParameterError
from emkit.membrane import augmentation, geometry
from emkit.membrane.losses import LOSSES, Objective, parse_losses
from emkit.membrane.model import Target
from emkit.membrane.networks import make_network
from emkit.membrane.optimisation import orthogonal
from emkit.membrane.sampling import Field, Sampler, Sampling, randomness
from emkit.membrane.trainer import Pace, Trainer, freeze

NAMES = ("gray", "gamma", "noise", "defocus", "motion_blur", "cut_out")
CHANGES = [getattr(augmentation, name) for name in NAMES]


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_falls_towards_the_truth_and_sees_only_what_counts(name: str) -> None:
    truth = (torch.rand(1, 1, 8, 8, generator=torch.manual_seed(0)) > 0.5).float()
    weight = torch.ones_like(truth)
    weight[..., 4:] = 0
    right, wrong = 8 * (2 * truth - 1), -8 * (2 * truth - 1)
    mixed = torch.where(weight > 0, right, wrong)
    loss = LOSSES[name]
    assert loss(right, truth, weight) < 0.05 < loss(wrong, truth, weight)
    torch.testing.assert_close(loss(mixed, truth, weight), loss(right, truth, weight))


def test_losses_by_their_names() -> None:
    assert parse_losses("", "distance") == {"mse": 2.0} and parse_losses("bce,dice=0.5", "contour") == {"bce": 1.0, "dice": 0.5}
    for wrong in ("focal", "bce=-1", "bce=much"):
        with pytest.raises(ParameterError, match=f"found the loss '{wrong}' of contour"):
            parse_losses(wrong, "contour")


def test_a_patch_is_taken_from_where_it_lies() -> None:
    image = np.arange(20 * 30.0).reshape(1, 20, 30)
    straight = geometry.place((8.0, 11.0), (5, 7))
    np.testing.assert_allclose(straight.take(image)[0], image[0, 6:11, 8:15], atol=1e-3)
    turned = geometry.place((8.0, 11.0), (5, 7), np.array([[0.0, -1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(turned.take(image)[0], np.rot90(image[0, 5:12, 9:14], -1), atol=1e-3)
    beyond = geometry.place((0.0, 15.0), (5, 5)).take(image, nearest=True)[0]
    np.testing.assert_array_equal(beyond, image[0, [2, 1, 0, 1, 2], 13:18])


def test_ids_are_never_mixed() -> None:
    ids = np.random.default_rng(0).integers(0, 2**20, (1, 40, 40))
    rng = np.random.default_rng(1)
    placed = geometry.bent(geometry.place((20.0, 20.0), (16, 16), geometry.turned(rng, 2)), rng, 3.0)
    assert np.isin(placed.take(ids, nearest=True).astype(int), ids).all()


@pytest.mark.parametrize("shape", [(40, 48), (6, 40, 48)])
@pytest.mark.parametrize("change", CHANGES)
def test_gray_values_change_and_shapes_do_not(change: Callable[..., Any], shape: tuple[int, ...]) -> None:
    patch = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    made, again = (change(patch.copy(), np.random.default_rng(5)) for _ in range(2))
    assert made.shape == shape and made.dtype == np.float32 and np.isfinite(made).all()
    assert (made == again).all() and (made != patch).any()


def test_sections_are_lost_and_slip() -> None:
    patch = np.random.default_rng(0).normal(size=(6, 20, 20)).astype(np.float32)
    lost = augmentation.missing_section(patch, np.random.default_rng(0))
    assert (lost != patch).any((1, 2)).sum() == 1 and np.ptp(lost, (1, 2)).min() == 0
    straight = geometry.place((3.0, 30.0, 30.0), (6, 20, 20))
    moved = (geometry.slipped(straight, np.random.default_rng(0), 8.0).places != straight.places).any((0, 2, 3))
    assert 0 < moved.sum() < 6


def test_momentum_is_made_orthogonal() -> None:
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(orthogonal(torch.randn(24, 100)))
    assert singular.min() > 0.6 and singular.max() < 1.4


def stripes(known: bool = True) -> Field:
    """Membranes are dark lines."""
    lines = np.zeros((6, 96, 96), bool)
    lines[:, ::12] = lines[:, 1::12] = True
    noise = np.random.default_rng(0).normal(size=lines.shape)
    image = (np.where(lines, -1.5, 0.5) + 0.3 * noise).astype(np.float32)
    return Field(image, lines[None].astype(np.float16), np.where(lines, 0, 1).astype(np.int32), np.full(lines.shape, known))


def trainer(steps: int = 8, **changed: Any) -> Trainer:
    torch.manual_seed(0)
    network = make_network("unet2d", 1, 1, {"width": 4, "depth": 2})
    freeze(network, changed.get("freeze", ()))
    target = Target("membrane")
    sampler = Sampler([stripes()], Sampling(2, (32, 32), (target,)))
    return Trainer(network, [Objective(target, {"bce": 1.0})], sampler, Pace(steps=steps, batch=4, rate=0.02))


@pytest.fixture
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_training_that_was_cut_off_goes_on_bit_for_bit(tmp_path: Path, one_thread: None) -> None:
    whole = trainer()
    whole.until(1.0)
    begun = trainer()
    begun.until(0.5)
    begun.save(tmp_path / "half.safetensors")
    resumed = trainer()
    resumed.load(tmp_path / "half.safetensors")
    assert resumed.progress.step == 4
    resumed.until(1.0)
    assert resumed.progress.step == whole.progress.step == 8 and resumed.progress.loss == whole.progress.loss
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]) and torch.equal(whole.mean[name], resumed.mean[name])


def test_a_training_learns(one_thread: None) -> None:
    made = trainer(steps=40)
    made.until(0.1)
    before = made.progress.loss
    made.until(1.0)
    assert made.progress.loss < 0.8 * before


def test_a_budget_of_core_seconds_is_kept(one_thread: None) -> None:
    clock = iter(np.arange(0, 1000, 0.5))  # each look at the clock takes half a second
    made = trainer()
    made.pace = Pace(cpu_seconds=20.0, batch=1)
    made.until(0.5, lambda: float(next(clock)))
    made.took(2.0)
    made.until(1.0, lambda: float(next(clock)))
    made.took(2.0)
    assert 19.0 <= made.progress.spent_s <= 21.0


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(DataError, match="x.safetensors is no checkpoint of this training"):
        trainer().load(tmp_path / "x.safetensors")


def test_what_is_frozen_stays(one_thread: None) -> None:
    made = trainer(freeze=("down.*",))
    before = {name: tensor.clone() for name, tensor in made.network.state_dict().items()}
    made.until(1.0)
    for name, tensor in made.network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, before[name]) == name.startswith("down."), name
    with pytest.raises(ParameterError, match=r"no weight is called 'encoder.\*'; the network has .*down.0.0"):
        freeze(made.network, ["encoder.*"])
    with pytest.raises(ParameterError, match="leave nothing to learn"):
        freeze(made.network, ["*"])


def test_the_largest_patch_that_fits_is_told() -> None:
    field = stripes()
    field.known[:, 60:] = False
    with pytest.raises(DataError, match="the largest that fits the labels is 64 px"):
        Sampler([field], Sampling(2, (96, 96), (Target("membrane"),)))
    drawn = Sampler([field], Sampling(2, (32, 32), (Target("membrane"),)))
    assert all(drawn.example(randomness(0, k)).weight.min() == 1 for k in range(20))


def test_half_of_isotropic_patches_are_voxels_as_they_are() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, (40, 40, 40)).astype(np.float32)
    field = Field(image, np.zeros((1, *image.shape), np.float16), np.zeros(image.shape, np.int32), np.ones(image.shape, bool))
    sampler = Sampler([field], Sampling(3, (16, 16, 16), (Target("membrane"),), isotropic=True))
    placed = [sampler._placed([20.0, 19.0, 18.0], randomness(0, k)) for k in range(60)]
    whole = [one for one in placed if not (one.places % 1).any()]
    assert 20 <= len(whole) <= 40
    for one in whole:
        z, y, x = one.places.astype(int)
        np.testing.assert_allclose(one.take(image[None])[0], image[z, y, x], atol=0.01)


def test_empty_patches_are_rejected() -> None:
    field = stripes()
    field.maps[:, 1:] = 0  # membranes in one section of six
    drawn = [
        Sampler([field], Sampling(2, (32, 32), (Target("membrane"),), empty=part)).example(randomness(0, k)).truth.max() > 0.5
        for part in (1.0, 0.0)
        for k in range(30)
    ]
    assert sum(drawn[:30]) < 15 and sum(drawn[30:]) > 25


@pytest.mark.parametrize("isotropic", [True, False])
def test_patches_of_volumes_have_affinities_of_their_own_ids(isotropic: bool) -> None:
    target = Target("affinity", ((0, -1, 0), (0, 0, -1)))
    sampling = Sampling(3, (4, 16, 16), (Target("membrane"), target), isotropic)
    found = Sampler([stripes()], sampling).example(randomness(0, 3))
    assert found.image.shape == (4, 16, 16) and found.truth.shape == found.weight.shape == (3, 4, 16, 16)
    assert set(np.unique(found.truth[1:])) == {0.0, 1.0} and (found.weight[2, ..., 0] == 0).all() and found.weight[0].all()
