"""Which sections of a raw stack are bad, how bad, and what is wrong with each: nine defects by name.

Two kinds of statistics are measured. Those of a *picture* (`picture`) tell what damaged it: `fold`, `tear`, `charging`,
`contrast`, `defocus`. Those of *pairs* (`resemblance`) tell how sections follow each other, and whether two are the same tissue.

Each defect has its own statistic, and a limit for it; *evidence* is the statistic over its limit, so 1 is the border. The limits
lie between what good sections give and what that defect gives: ``python -m benchmarks.quality`` measures and prints both.

A weak pair is charged to one section. A damaged picture explains it; so does a section that repeats the one before it, where the
tissue of two should be. Else a section that is weak to all its neighbours is foreign: `out_of_order` if it matches elsewhere in the
stack, `displaced` if nowhere; one whose other match is no more than poor may still be out of order, if it matches far better
elsewhere. Else, if both of two neighbours fit well with the section beyond the other, they were exchanged: `out_of_order`, both.
What remains is a `gap`, charged to the first section after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal

import numpy as np

from emkit.align.picture import Picture, measure_picture
from emkit.align.quality import Sections
from emkit.align.resemblance import Resemblance, compare_sections, find_place
from emkit.errors import ParameterError
from emkit.model import DEFECTS, Defect
from emkit.transforms import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFECTS", "Defect", "SectionVerdict", "Verdict", "measure_quality"]

LIMITS = {  # statistic: the value at which it is evidence of 1
    "blur": 1.0,  # by how much `sharpness` is below that of the stack, log of power
    "spread": 0.8,  # distance of `spread` from that of the stack, log of grey levels
    "saturated": 0.4,  # share of the pixels
    "stripes": 0.38,
    "stain": 1.9,
    "dark_line": 0.82,
    "bright_line": 0.78,
    "same": 0.4,
    "loss": 0.5,
}
NOISE_SNR = 3.7  # of patches that share nothing
USUAL_SNR = 5.5  # neighbours hardly stay below: a stack whose median does is judged by this
PLACE_SNR = 7.0  # of whole sections: above it two show the same place
ELSEWHERE_SNR = 10.0  # of whole sections: true neighbours reach 15, with two missing between 9, strangers 6
POOR = 0.7  # of the limit of `loss`: a match that may be that of a section that is not at its place
BETTER = 1.5  # times the whole SNR of the match with a neighbour: a section that is poor there belongs elsewhere
STRANGE = 0.5  # share of weak pairs above which a stack is none, and nobody's place in it is searched


@dataclass(frozen=True)
class SectionVerdict:
    """What is wrong with section ``z``: ``defect`` is "" where nothing is; ``score``: higher is worse, 1 is the border.

    ``picture`` is of the section, ``pair`` of it with the section before, None for the first; ``loss`` is the share of the usual
    match which that pair has lost. ``elsewhere`` is the section that one out of order matches best, or -1.
    """

    z: int
    score: float
    defect: Defect | Literal[""]
    picture: Picture
    pair: Resemblance | None
    loss: float | None
    elsewhere: int = -1

    @property
    def statistics(self) -> dict[str, float | None]:
        """Each by its name."""
        pair = asdict(self.pair) if self.pair else dict.fromkeys((field.name for field in fields(Resemblance)), None)
        return {**asdict(self.picture), **pair, "loss": self.loss}


def measure_quality(sections: Sections) -> pd.DataFrame:
    """What is wrong with each section of a stack: a table, one row a section, in order.

    ``score``: higher is worse, 1 is the border of a defect. ``defect``: "", or one of `DEFECTS`. Then each statistic of `Picture`;
    of `Resemblance` for the pair with the section before, NaN for the first; ``loss``, the share of the usual match which that
    pair has lost; ``elsewhere``, the section that one out of order matches best, or -1.

    ``sections[z]`` is a raw image (y, x), not aligned; two are held at a time. A good section beside a bad one is not charged with
    their match. ParameterError if the shapes differ or are below 64 px.
    """
    shapes: set[tuple[int, ...]] = set()
    pictures = []
    for z in range(len(sections)):
        section = np.asarray(sections[z])
        shapes.add(section.shape)
        if len(shapes) == 1 and section.ndim == 2:
            pictures.append(measure_picture(section))
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        found = ", ".join(map(str, sorted(shapes))) or "none"
        raise ParameterError(f"sections: found the shapes {found}; needed: one or more images (y, x), all of one shape.")
    near = [_compare(sections, z, z + 1) for z in range(len(sections) - 1)]
    verdict = Verdict(pictures, near)
    skips = {i: _compare(sections, i, i + 2) for i in verdict.skips()}
    return verdict.table(skips, {z: find_place(sections, z) for z in verdict.searched()})


def _compare(sections: Sections, i: int, j: int) -> Resemblance:
    return compare_sections(np.asarray(sections[i]), np.asarray(sections[j]))


class Verdict:
    """The statistics of a stack, and what follows from them. ``near[z]`` compares sections z and z + 1."""

    def __init__(self, pictures: Sequence[Picture], near: Sequence[Resemblance]) -> None:
        self.pictures, self.near, self.count = pictures, near, len(pictures)
        told = {field.name: np.array([getattr(one, field.name) for one in pictures]) for field in fields(Picture)}
        blur = np.median(told["sharpness"]) - told["sharpness"]
        spread = np.abs(told["spread"] - np.median(told["spread"]))
        self.damage: dict[Defect, Floats] = {  # in the order in which they are named
            "fold": told["dark_line"] / LIMITS["dark_line"],
            "tear": told["bright_line"] / LIMITS["bright_line"],
            "charging": np.maximum(told["stripes"] / LIMITS["stripes"], told["stain"] / LIMITS["stain"]),
            "contrast": np.maximum(spread / LIMITS["spread"], told["saturated"] / LIMITS["saturated"]),
            "defocus": blur / LIMITS["blur"],
        }
        self.repeat = np.array([0.0, *(pair.same for pair in near)]) / LIMITS["same"]
        self.usual_snr = max(float(np.median([pair.snr for pair in near] or [0.0])), USUAL_SNR)
        self.loss = np.array([self.lost(pair) for pair in near])  # of pair (z, z + 1)
        damaged = np.max(list(self.damage.values()), axis=0) >= 1
        explained = damaged[:-1] | damaged[1:] | (self.repeat[:-1] >= 1)
        self.weak = self.loss >= LIMITS["loss"]
        self.open = {int(i) for i in np.flatnonzero(self.weak & ~explained)}  # weak pairs that nothing in the pictures explains
        self.poor = self.loss >= POOR * LIMITS["loss"]
        self.counted = np.where(explained, 0, self.loss)

    def lost(self, pair: Resemblance) -> float:
        """The share of the usual match of neighbours that a pair has lost; 1: it matches no better than strangers."""
        return (self.usual_snr - pair.snr) / (self.usual_snr - NOISE_SNR)

    def skips(self) -> list[int]:
        """Which pairs (i, i + 2) must be compared, by i: those that could tell an exchange of neighbours from a gap."""
        return sorted({i for pair in self.open for i in (pair - 1, pair) if 0 <= i < self.count - 2} if self.is_stack() else ())

    def foreign(self) -> list[int]:
        """Sections whose neighbours all do not match: their place is to be searched."""
        own = {z: {i for i in (z - 1, z) if 0 <= i < len(self.near)} for z in range(self.count)}
        found = [z for z, pairs in own.items() if pairs & self.open and self.weak[sorted(pairs)].all()]
        if not self.is_stack():
            return found
        # beside a section that surely is foreign, the first, the last, or one after a repeat has no other neighbour to speak for it
        sure = [z for z in found if len(own[z]) == 2 and own[z] <= self.open]
        settled = {i for z in sure for i in own[z]}
        return [z for z in found if z in sure or not own[z] & self.open <= settled]

    def doubtful(self) -> list[int]:
        """Sections at a weak pair that no foreign one explains, whose other match is poor."""
        foreign = self.foreign()
        unexplained = self.open - {i for z in foreign for i in (z - 1, z)}
        pairs = [(z, {i for i in (z - 1, z) if 0 <= i < len(self.near)}) for z in range(self.count)]
        return [z for z, own in pairs if z not in foreign and own & unexplained and self.poor[sorted(own)].all()]

    def searched(self) -> list[int]:
        """The foreign and doubtful ones of a stack; in what is none nobody has another place."""
        return sorted((*self.foreign(), *self.doubtful())) if self.is_stack() else []

    def is_stack(self) -> bool:
        """Whether enough neighbours match that a section may have another place."""
        return bool(self.near) and float(self.weak.mean()) <= STRANGE

    def charge(self, skips: Mapping[int, Resemblance], places: Mapping[int, tuple[int, float]]) -> dict[int, tuple[Defect, int]]:
        """Sections to which open pairs are charged: the name of what is wrong, and the pair."""
        charged: dict[int, tuple[Defect, int]] = {}
        for z in self.foreign():
            pair = max((i for i in (z - 1, z) if i in self.open), key=lambda i: self.loss[i])
            other, snr = places.get(z, (-1, 0.0))
            if snr >= ELSEWHERE_SNR and abs(other - z) > 2:
                charged[z] = ("out_of_order", pair)
            elif snr < ELSEWHERE_SNR and self.near[pair].whole_snr < PLACE_SNR:
                charged[z] = ("displaced", pair)
        for z in self.doubtful():
            own = [i for i in (z - 1, z) if 0 <= i < len(self.near)]
            other, snr = places.get(z, (-1, 0.0))
            if snr > BETTER * max(self.near[i].whole_snr for i in own) and abs(other - z) > 2:
                charged[z] = ("out_of_order", max((i for i in own if i in self.open), key=lambda i: self.loss[i]))
        close = {i for i, pair in skips.items() if self.lost(pair) < LIMITS["loss"]}
        ends = {-1, *np.flatnonzero(self.poor).tolist(), len(self.near)}  # pairs at which an exchange may begin or end
        for i in sorted(self.open):
            after = i in close and i + 1 < len(self.near) and not self.weak[i + 1] and i + 2 in ends
            before = i - 1 in close and not self.weak[i - 1] and i - 2 in ends
            if {i, i + 1} & charged.keys():
                continue
            for z in (i + 1, i + 2) if after else (i - 1, i) if before else ():
                charged[z] = ("out_of_order", i)
            if not (after or before):
                charged[i + 1] = ("gap", i)
        return charged

    def sections(self, skips: Mapping[int, Resemblance], places: Mapping[int, tuple[int, float]]) -> tuple[SectionVerdict, ...]:
        """What is wrong with each section. ``skips`` compares sections i and i + 2, ``places`` is `find_place` of each section."""
        charged = self.charge(skips, places)
        ordinary = np.where(self.weak, 0, self.counted) / LIMITS["loss"]  # a match that is not weak is charged as a gap would be
        score = np.max([*self.damage.values(), self.repeat, np.array([0.0, *ordinary])], axis=0)
        told = []
        for z, picture in enumerate(self.pictures):
            found = [name for name, evidence in self.damage.items() if evidence[z] >= 1]
            if found[:2] == ["fold", "tear"] and self.damage["tear"][z] > self.damage["fold"][z]:
                found = ["tear"]
            found += ["duplicate"] if self.repeat[z] >= 1 else []
            if z in charged:
                score[z] = max(score[z], self.loss[charged[z][1]] / LIMITS["loss"])
                found.append(charged[z][0])
            pair, loss = (self.near[z - 1], float(self.loss[z - 1])) if z else (None, None)
            moved = z in charged and charged[z][0] == "out_of_order" and z in places
            elsewhere = places[z][0] if moved else -1
            told.append(SectionVerdict(z, float(score[z]), found[0] if found else "", picture, pair, loss, elsewhere))
        return tuple(told)

    def table(self, skips: Mapping[int, Resemblance], places: Mapping[int, tuple[int, float]]) -> pd.DataFrame:
        """The same as a table, with every number."""
        import pandas as pd

        rows = [
            {"score": one.score, "defect": one.defect, **one.statistics, "elsewhere": one.elsewhere}
            for one in self.sections(skips, places)
        ]
        return pd.DataFrame(rows).astype(dict.fromkeys(rows[0].keys() - {"defect", "elsewhere"}, float))
