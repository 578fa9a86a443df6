import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import DataError
from emkit.stream.assembly import Assembly, Group, check_data
from emkit.stream.messages import Data
from tests.stream.scans import a_plan, frames_of

Key = tuple[int, int]  # group, sector


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, int, list[Key], list[Key]]:
    """Batch, axis, what arrives in this order (some of it twice, some never), what arrives after the flush."""
    batch, axis = draw(st.integers(1, 4)), draw(st.integers(0, 1))
    keys = [(g, s) for g in range(a_plan(batch=batch).groups) for s in range(4)]
    sent = draw(st.lists(st.sampled_from(keys), max_size=2 * len(keys)))
    if draw(st.booleans()):
        sent = draw(st.permutations([*keys, *sent]))
    return batch, axis, sent, draw(st.lists(st.sampled_from(keys), max_size=9))


@given(deliveries())
def test_any_order_any_loss_any_repetition(delivery: tuple[int, int, list[Key], list[Key]]) -> None:
    batch, axis, sent, after = delivery
    plan = a_plan(batch=batch, axis=axis)
    frames, assembly = frames_of(plan), Assembly(plan)
    found: dict[int, Group] = {}

    def take(groups: list[Group]) -> None:
        for group in groups:
            assert group.number not in found
            found[group.number] = Group(group.number, group.frames.copy(), group.masks)
            assembly.release(group)

    def add(key: Key) -> None:
        numbers = tuple(plan.group(key[0]))
        block = frames[numbers[0] : numbers[-1] + 1][(slice(None), *plan.window(key[1]))]
        if ready := assembly.add(Data(scan="a", sector=key[1], group=key[0], frames=numbers), block):
            take([ready])

    for key in sent:
        add(key)
    take(assembly.flush(1))
    for key in after:
        add(key)

    arrived = set(sent)
    assert found.keys() == {group for group, _ in arrived}
    for number, group in found.items():
        expected = frames[plan.group(number).start : plan.group(number).stop].copy()
        for sector in {s for s in range(4) if (number, s) not in arrived}:
            expected[(slice(None), *plan.window(sector))] = 0
        assert np.array_equal(group.frames[: len(expected)], expected)
        assert set(group.masks.tolist()) == {sum(1 << s for g, s in arrived if g == number)}
    size = {group: len(plan.group(group)) for group in range(plan.groups)}
    new = [key for key in after if key[0] in found]
    late = [key for key in new if key not in arrived]
    fresh = [key for key in after if key[0] not in found]
    assert assembly.late == sum(size[g] for g, _ in late)
    again = [g for g, _ in sent] + [g for g, _ in new if (g, _) in arrived] + [g for g, _ in fresh]
    assert assembly.duplicate == sum(size[g] for g in again) - sum(size[g] for g, _ in arrived | set(fresh))


def test_a_sector_that_is_given_up_holds_nobody_up() -> None:
    plan = a_plan(sectors=2)
    assembly, frames = Assembly(plan), frames_of(plan)
    one = Data(scan="a", sector=0, group=0, frames=(0, 1))
    assert assembly.add(one, frames[:2, :4]) is None
    (given_up,) = assembly.expect(1, False)
    assert given_up.masks.tolist() == [1, 1] and not given_up.frames[:, 4:].any()
    next_one = assembly.add(one.model_copy(update={"group": 1, "frames": (2, 3)}), frames[2:4, :4])
    assert next_one and next_one.masks.tolist() == [1, 1]
    assert (
        assembly.expect(1, True) == []
        and assembly.add(one.model_copy(update={"group": 2, "frames": (4, 5)}), frames[4:6, :4]) is None
    )


def test_frames_that_a_sector_never_had_are_told_by_their_mask() -> None:
    plan = a_plan(sectors=2)
    assembly, frames = Assembly(plan), frames_of(plan)
    assembly.add(Data(scan="a", sector=0, group=0, frames=(1,)), frames[1:2, :4])
    group = assembly.add(Data(scan="a", sector=1, group=0, frames=(0, 1)), frames[:2, 4:])
    assert group and group.masks.tolist() == [2, 3]


def test_memory_is_bounded_and_what_is_refused_may_come_again() -> None:
    plan = a_plan(shape=(10, 10))
    assembly, block = Assembly(plan, most_bytes=1), np.zeros((2, 2, 8), np.uint16)
    for group in range(6):
        assembly.add(Data(scan="a", sector=0, group=group, frames=tuple(plan.group(group))), block)
    assert (assembly.waiting, assembly.refused) == (4, 4)
    assembly.forget()
    assembly.add(Data(scan="a", sector=0, group=5, frames=(10, 11)), block)
    assert (assembly.waiting, assembly.duplicate) == (1, 0)


@pytest.mark.parametrize(
    ("changed", "size", "reason"),
    [
        ({"sector": 4}, 64, "beyond the scan"),
        ({"group": 8}, 64, "beyond the scan"),
        ({"frames": (2, 3)}, 64, "frames of another group"),
        ({"frames": (1, 0)}, 64, "frames of another group"),
        ({"frames": (0, 0)}, 64, "frames of another group"),
        ({}, 63, "wrong size"),
        ({"frames": ()}, 64, "wrong size"),
    ],
)
def test_what_does_not_fit_its_scan_is_refused(changed: dict[str, object], size: int, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        check_data(a_plan(), Data(scan="a", sector=0, group=0, frames=(0, 1)).model_copy(update=changed), size)
