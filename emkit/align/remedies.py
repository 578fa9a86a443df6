"""What a person asks to be done otherwise with single sections, as words: so it stands in a recipe, and can be typed.

Sections are counted by their files, from 0; each word begins with those that it is about.

=====================================  ====================================================================================
``7:window=64``                        patches of 64 px where section 7 is compared with another
``7:whitening=0.35``                   the exponent of the match signal: lower leans on coarse structure
``7:clobber=3``                        agreement of the same pixels, within 3 px, is not believed: a pattern of the camera
``7:search=900``                       its middle may lie 900 px from that of its neighbour, at any turn
``7:flip``                             it was imaged face down: left and right are exchanged
``7:swap=8``                           7 and 8 change places in the stack
``6-7:points=10/20@12/25+…``           y/x in section 6 that is y/x in section 7, three or more
=====================================  ====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from emkit.align.options import LEAST_POINTS, USUAL, MatchOptions, PointPair
from emkit.errors import ParameterError

WORD = re.compile(r"(\d+)(?:-(\d+))?:(\w+)(?:=(.*))?")
NEEDED = {
    "window": "the side of the patches in px, as 7:window=64",
    "whitening": "an exponent from 0 to 1, as 7:whitening=0.35",
    "clobber": "a radius in px above 0, as 7:clobber=3",
    "search": "a distance in px above 0, as 7:search=900",
    "flip": "a section alone, as 7:flip",
    "swap": "another section, as 7:swap=8",
    "points": "three or more pairs, not on one line, as 6-7:points=10/20@12/25+200/40@203/47+90/180@95/186",
}


@dataclass(frozen=True)
class Remedies:
    """What was asked for: ``options`` by section, ``points`` by pair of sections, ``order`` as places of files."""

    options: Mapping[int, MatchOptions] = field(default_factory=dict)
    points: Mapping[tuple[int, int], tuple[PointPair, ...]] = field(default_factory=dict)
    flipped: frozenset[int] = frozenset()
    order: tuple[int, ...] = ()

    @classmethod
    def of(cls, words: Sequence[str], count: int) -> Remedies:
        """From words, for ``count`` sections. ParameterError with the word that cannot be followed."""
        options: dict[int, MatchOptions] = {}
        points: dict[tuple[int, int], tuple[PointPair, ...]] = {}
        flipped, order = set(), list(range(count))
        for word in words:
            first, second, kind, value = _parts(word, count)
            if kind == "points" and second is not None:
                low, high = sorted((first, second))
                points[low, high] = _points(word, value)
            elif kind == "swap" and second is None:
                other = _section(word, value, count)
                order[first], order[other] = order[other], order[first]
            elif kind == "flip" and second is None and not value:
                flipped.add(first)
            elif kind in ("window", "whitening", "clobber", "search") and second is None:
                options[first] = _changed(options.get(first, USUAL), word, kind, value)
            else:
                raise _wrong(word, kind)
        return cls(options, points, frozenset(flipped), tuple(order))

    def of_pair(self, i: int, j: int) -> MatchOptions:
        """Options for the pair of sections i and j: what either asks for; where both do, the second."""
        one, two = self.options.get(i, USUAL), self.options.get(j, USUAL)
        asked = {name: getattr(two, name) for name in vars(USUAL) if getattr(two, name) != getattr(USUAL, name)}
        placed = self.points.get((min(i, j), max(i, j)), ())
        if i > j:
            placed = tuple((y, x, v, u) for v, u, y, x in placed)
        return replace(one, **asked, points=placed)

    def words_of_pair(self, i: int, j: int) -> str:
        """What is different about this pair, in words; empty where nothing is. Equal for pairs that are matched alike."""
        options = self.of_pair(i, j)
        told = [f"{name}={getattr(options, name)}" for name in vars(USUAL) if getattr(options, name) != getattr(USUAL, name)]
        return " ".join([*told, *(f"flip={z}" for z in (i, j) if z in self.flipped)])


def _parts(word: str, count: int) -> tuple[int, int | None, str, str]:
    found = WORD.fullmatch(word)
    if not found or found[3] not in NEEDED:
        kinds = ", ".join(NEEDED)
        raise ParameterError(f"remedies: found {word!r}; needed: SECTION:KIND=VALUE with one of {kinds}, as 7:window=64.")
    sections = [_section(word, part, count) for part in (found[1], found[2]) if part is not None]
    return sections[0], sections[1] if len(sections) > 1 else None, found[3], found[4] or ""


def _section(word: str, text: str, count: int) -> int:
    if not text.isdecimal() or int(text) >= count:
        raise ParameterError(f"remedies: {word!r} names section {text or 'none'}; needed: one of sections 0 to {count - 1}.")
    return int(text)


def _changed(options: MatchOptions, word: str, kind: str, value: str) -> MatchOptions:
    try:
        number = float(value)
    except ValueError:
        raise _wrong(word, kind) from None
    if kind == "window" and number.is_integer() and number > 0:
        return replace(options, window_px=int(number))
    if kind == "whitening" and 0 <= number <= 1:
        return replace(options, whitening=number)
    if kind == "clobber" and 0 < number < np.inf:
        return replace(options, clobber_px=number)
    if kind == "search" and 0 < number < np.inf:
        return replace(options, max_shift_px=number)
    raise _wrong(word, kind)


def _points(word: str, value: str) -> tuple[PointPair, ...]:
    try:
        pairs = [tuple(float(part) for place in pair.split("@") for part in place.split("/")) for pair in value.split("+")]
    except ValueError:
        raise _wrong(word, "points") from None
    if len(pairs) < LEAST_POINTS or any(len(pair) != 4 for pair in pairs) or not np.isfinite(pairs).all():
        raise _wrong(word, "points")
    for part in (np.array(pairs)[:, :2], np.array(pairs)[:, 2:]):
        spread = np.linalg.svd(part - part.mean(axis=0), compute_uv=False)
        if spread[1] < 1e-2 * spread[0] or spread[0] == 0:
            raise _wrong(word, "points")
    return tuple((a, b, c, d) for a, b, c, d in pairs)


def _wrong(word: str, kind: str) -> ParameterError:
    return ParameterError(f"remedies: found {word!r}; needed: {NEEDED[kind]}.")
