"""Pairs of a stack, matched as tasks and judged: each as all are, or as a person asked for its sections. Images are (y, x)."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit import align
from emkit.align.alignment import why_not
from emkit.align.options import MatchOptions
from emkit.align.preparing import Preparing
from emkit.align.remedies import Remedies
from emkit.align.resemblance import Resemblance, resemblance
from emkit.io.sections import read_section
from emkit.model import Stack
from emkit.run.stage import Stage, stage
from emkit.transforms import Affine

UNAFFECTED = (  # by these: matches
    "exclude", "remedies", "snr_threshold", "canvas", "voxel_size_nm", "model", "fixed_section", "landmarks", "flip_mirrored",
)  # fmt: skip
Pair = tuple[int, int]  # places in the stack
Task = tuple[Stack, Stack, int, int, Preparing, float, MatchOptions, tuple[bool, bool]]


@dataclass(frozen=True)
class Matched:
    """A pair as the alignment sees it, and as the judge of sections does."""

    match: align.Match
    shared: Resemblance


@dataclass(frozen=True)
class Chain:
    """A stack that was matched: every pair, how those of the sections in use are judged, where all lie by them, and which of those
    in use hold together."""

    matched: Mapping[Pair, Matched]
    pairs: tuple[align.PairQuality, ...]
    placed: align.Placement
    linked: tuple[int, ...]


@dataclass(frozen=True)
class Pairing:
    """How the pairs of a stack are matched and judged. The stack is in the order that remedies ask for, which count by files.

    ``prepared`` are the same sections as they are matched, made so by ``preparing``. ``depths`` are those of the places in the
    stack; a threshold of None is calibrated for the window of each pair.
    """

    stack: Stack
    prepared: Stack
    preparing: Preparing
    asked: Remedies
    depths: tuple[int, ...]
    max_shift_px: float
    snr_threshold: float | None

    def distance(self, i: int, j: int) -> int:
        return self.depths[j] - self.depths[i]

    def reach(self, i: int, j: int) -> float:
        return self._options(i, j).max_shift_px or self.max_shift_px * self.distance(i, j)

    def matched(self, name: str, pairs: Iterable[Pair]) -> Generator[Stage[Any], Any, dict[Pair, Matched]]:
        """In a step: the matches of these pairs. What a task gives does not depend on where its sections stand."""
        pairs = sorted(pairs)
        tasks = {self._key(i, j): self._task(i, j) for i, j in pairs}
        found = yield from stage(name, match_sections, tasks, "pairs", UNAFFECTED)
        return {(i, j): found[self._key(i, j)] for i, j in pairs}

    def chain(
        self, used: Sequence[int], known: Mapping[Pair, Matched] | None = None, word: str = ""
    ) -> Generator[Stage[Any], Any, Chain]:
        """In a step: all neighbours matched, but for those ``known``, and flagged pairs of the sections in use bridged."""
        count, near = len(self.stack.files), dict(known or {})
        wanted = {*pairwise(used), *pairwise(range(count))}  # the excluded are judged too
        near |= yield from self.matched(f"match{word}", wanted - near.keys())
        found = [self.judged(pair, near[pair].match) for pair in pairwise(used)]
        around = align.bridges([(pair.fixed, pair.moving) for pair in found if pair.flagged], used)
        near |= yield from self.matched(f"bridge{word}", set(around) - near.keys())
        more = [self.judged(pair, near[pair].match) for pair in around]
        pairs = tuple(sorted((*found, *more), key=lambda pair: (pair.fixed, pair.moving)))
        placed = align.place_sections(count, align.links(pairs), self.stack.shape)
        return Chain(near, pairs, placed, tuple(z for z in used if placed.linked[z]))

    def flipping(self, sections: Iterable[int]) -> Pairing:
        """The same with these sections turned over."""
        return replace(self, asked=replace(self.asked, flipped=self.asked.flipped ^ {self.asked.order[z] for z in sections}))

    def judged(self, pair: Pair, match: align.Match) -> align.PairQuality:
        threshold = align.threshold_of(match) if self.snr_threshold is None else self.snr_threshold
        shape, reach, distance = self.stack.shape, self.reach(*pair), self.distance(*pair)
        return align.judge_match(match, *pair, shape=shape, threshold=threshold, max_shift_px=reach, distance=distance)

    def mirrored(self, loose: Iterable[int], linked: Sequence[int]) -> Generator[Stage[Any], Any, tuple[int, ...]]:
        """In a step: which of the sections that nothing matches do match their nearest ``linked`` one face down."""
        near = {z: min(linked, key=lambda k: abs(k - z)) for z in loose if linked}
        found = yield from self.flipping(near).matched("turn over", {(min(z, k), max(z, k)) for z, k in near.items()})
        return tuple(z for z, k in near.items() if not why_not(found[min(z, k), max(z, k)].match))

    def turned_over(self, mirrored: Collection[int]) -> Generator[Stage[Any], Any, dict[Pair, Matched]]:
        """In a step: what ``mirrored`` sections and their neighbours would share were the former turned over, which is all that is
        wrong with them."""
        around = [pair for pair in pairwise(range(len(self.stack.files))) if {*pair} & {*mirrored}]
        found = yield from self.flipping(mirrored).matched("compare turned", around)
        return found

    def _options(self, i: int, j: int) -> MatchOptions:
        return self.asked.of_pair(self.asked.order[i], self.asked.order[j])

    def _key(self, i: int, j: int) -> str:
        """Equal for what is compared alike, so that it tells what need not be compared again."""
        numbers, apart = self.asked.order, self.distance(i, j)
        words = [f"{numbers[i]}-{numbers[j]}", f"over {apart}" * (apart > 1), self.asked.words_of_pair(numbers[i], numbers[j])]
        return " ".join(filter(None, words))

    def _task(self, i: int, j: int) -> Task:
        flipped = (self.asked.order[i] in self.asked.flipped, self.asked.order[j] in self.asked.flipped)
        return self.stack, self.prepared, i, j, self.preparing, self.reach(i, j), self._options(i, j), flipped


def match_sections(
    stack: Stack,
    prepared: Stack,
    i: int,
    j: int,
    preparing: Preparing,
    max_shift_px: float,
    options: MatchOptions,
    flipped: tuple[bool, bool],
) -> Matched:
    """One task: match two sections as they are prepared, and see what they share as they were imaged; ``flipped`` says of each
    whether it was imaged face down."""
    flip = Affine.of(np.diag([1.0, -1.0]), (0, stack.shape[1] - 1))
    asked, reach = preparing.options(options), max_shift_px / preparing.downscale
    match = preparing.match(align.match_pair(_read(prepared, i, flipped[0]), _read(prepared, j, flipped[1]), reach, asked))
    shared = resemblance(match, _read(stack, i, flipped[0]), _read(stack, j, flipped[1]))
    if flipped[1]:
        match = replace(match, affine=flip.compose(match.affine))
    if flipped[0]:
        match = replace(match, affine=match.affine.compose(flip))
    return Matched(match, shared)


def _read(stack: Stack, z: int, flipped: bool) -> NDArray[Any]:
    return read_section(stack, z)[:, :: -1 if flipped else 1]
