"""A folder of raw sections, judged: which are bad, how bad, and what is wrong with each. Images are (y, x)."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from emkit.align.defects import SectionVerdict, Verdict
from emkit.align.picture import Picture, measure_picture
from emkit.align.quality import PairQuality
from emkit.align.resemblance import Resemblance, compare_sections, find_place
from emkit.errors import DataError
from emkit.io.sections import read_section
from emkit.model import Stack
from emkit.run.stage import Stage, stage

# what pictures and what two raw sections share do not depend on
UNAFFECTED = ("exclude", "remedies", "snr_threshold", "canvas", "voxel_size_nm", "model", "max_shift_px", "fixed_section")


def judge_stack(
    stack: Stack, numbers: Sequence[int], known: Mapping[tuple[int, int], Resemblance]
) -> Generator[Stage[Any], Any, tuple[SectionVerdict, ...]]:
    """In a step: what is wrong with each section. ``known`` compares places in the stack, all neighbours among them; ``numbers``
    are those of the files."""
    count = len(stack.files)
    looked = yield from stage("look", look_at_section, {str(numbers[z]): (stack, z) for z in range(count)}, "sections", UNAFFECTED)
    verdict = Verdict(list(looked.values()), [known[z, z + 1] for z in range(count - 1)])
    skips = [(i, i + 2) for i in verdict.skips()]
    tasks = {f"{numbers[i]}-{numbers[j]}": (stack, i, j) for i, j in skips if (i, j) not in known}
    compared = yield from stage("compare", compare_two, tasks, "pairs", UNAFFECTED)
    places = yield from stage("search", search_section, {str(z): (stack, z) for z in verdict.searched()}, "sections")
    far = {i: known[i, j] if (i, j) in known else compared[f"{numbers[i]}-{numbers[j]}"] for i, j in skips}
    return verdict.sections(far, {int(z): place for z, place in places.items()})


def check_stack(source: Path, pairs: Sequence[PairQuality], linked: Sequence[int]) -> None:
    """DataError, with the scores, where no two sections match: then there is nothing to align."""
    if pairs and not linked:
        best = "; ".join(str(pair) for pair in sorted(pairs, key=lambda pair: -pair.snr)[:3])
        raise DataError(
            f"The images in {source} are no stack: no two of them match. The best: {best}. Give sections of one block, in order; "
            "where they are, search further (--max-shift-px) or lower what is asked for (--snr-threshold)."
        )


class ReadStack(Sequence[NDArray[Any]]):
    """The sections of a stack by number, each read when it is asked for."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __len__(self) -> int:
        return len(self.stack.files)

    def __getitem__(self, z: Any, /) -> Any:
        return read_section(self.stack, z)


def look_at_section(stack: Stack, z: int) -> Picture:
    """One task: what a section shows by itself."""
    return measure_picture(read_section(stack, z))


def compare_two(stack: Stack, i: int, j: int) -> Resemblance:
    """One task: what two sections share."""
    return compare_sections(read_section(stack, i), read_section(stack, j))


def search_section(stack: Stack, z: int) -> tuple[int, float]:
    """One task: where else in the stack a section belongs."""
    return find_place(ReadStack(stack), z)
