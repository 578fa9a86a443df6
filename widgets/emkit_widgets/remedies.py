"""What is to be done otherwise with a section, as buttons and fields; one button runs the step again with all of it."""

import html
from collections.abc import Callable
from math import hypot

import ipywidgets as widgets

from emkit.align import AlignmentReport
from emkit.align.pairs import WINDOWS_PX
from emkit.align.verdicts import partner_of
from emkit.model import ADVICE, DEFECT_NAMES, HELP, Remedy
from emkit_widgets.form import StepForm

WHITENINGS, CLOBBERS = (0.2, 0.35, 0.65, 0.8), (2, 4, 8)
NAMES: dict[Remedy, str] = {
    "window": "another window",
    "whitening": "another whitening exponent",
    "clobber": "suppress the fixed pattern",
    "search": "search further",
    "points": "place points",
    "skip": "skip it",
    "swap": "swap it",
    "flip": "turn it over",
}
LIKELIER_AT = 0.8  # of the threshold: a pair this near it may be reached by another window or exponent


class RemedyBox(widgets.VBox):
    """The remedies for one section of an alignment, as `offer` names it, and all that were asked for.

    `words` are those of the step's `remedies`, `skipped` its `exclude`; both count sections by their files. `on_points` is
    called with the pair for which a person wants to place points. `shape` (y, x) is that of the sections.
    """

    def __init__(
        self, form: StepForm, report: AlignmentReport, shape: tuple[int, int], on_points: Callable[[int, int], None]
    ) -> None:
        self.form, self.report, self.on_points = form, report, on_points
        self.numbers = [place.z if place.number < 0 else place.number for place in report.sections]
        self.words: list[str] = list(form.fields["remedies"].given or [])
        self.skipped = {self.numbers[place.z] for place in report.sections if place.excluded}
        self.before = (sorted(self.words), set(self.skipped))
        self.z, self._showing = 0, False

        self.advice, self.asked = widgets.HTML(), widgets.HBox().add_class("emkit-asked")
        self.skip = widgets.ToggleButton(description="Skip", icon="ban", tooltip="Do not match this section [s]")
        self.flip = widgets.ToggleButton(description="Turn over", icon="exchange", tooltip="It was imaged face down [f]")
        self.swap = widgets.Button(description="Swap with", icon="random", tooltip="Exchange the two in the stack [x]")
        self.other = widgets.BoundedIntText(min=0, max=len(report.sections) - 1, description="section")
        self.points = widgets.Button(description="Place points", icon="crosshairs", tooltip="Three or more, by eye [o]")
        sizes = [px for px in WINDOWS_PX if px <= report.window_px]
        far = int(hypot(*shape)) + 1
        reaches = [*((f"{px} px", str(px)) for px in (400, 800) if px < far), ("all", str(far))]
        self.choices: dict[Remedy, widgets.Dropdown] = {
            "window": _choice("Window", [("usual", ""), *((f"{px} px", str(px)) for px in sizes)]),
            "whitening": _choice("Whitening", [("usual (0.5)", ""), *((f"{w:g}", f"{w:g}") for w in WHITENINGS)]),
            "clobber": _choice("Fixed pattern", [("believed", ""), *((f"not within {px} px", str(px)) for px in CLOBBERS)]),
            "search": _choice("Search", [("usual", ""), *reaches]),
        }
        self.again = widgets.Button(icon="repeat", button_style="primary", disabled=True, tooltip="Run the step again [r]")
        first = widgets.HBox([self.skip, self.flip, self.swap, self.other, self.points]).add_class("emkit-buttons")
        second = widgets.HBox(list(self.choices.values())).add_class("emkit-buttons")
        super().__init__([self.advice, first, second, self.asked, self.again])
        self.add_class("emkit-remedies")

        self.skip.observe(lambda change: self._switched("skip", change["new"]), names="value")
        self.flip.observe(lambda change: self._switched("flip", change["new"]), names="value")
        self.swap.on_click(lambda _: self.swap_with(self.other.value))
        self.points.on_click(lambda _: self.place_points())
        for kind, choice in self.choices.items():
            choice.observe(lambda change, kind=kind: self._chosen(kind, change["new"]), names="value")
        self.again.on_click(lambda _: self.run_again())

    def offer(self, z: int) -> None:
        """Show what is asked for section z, and what would help."""
        self.z = z
        self._show()

    def press(self, key: str) -> None:
        """What a letter on the table does."""
        if key == "s":
            self.skip.value = not self.skip.value
        elif key == "f":
            self.flip.value = not self.flip.value
        elif key == "x":
            self.swap_with(self.other.value)
        elif key == "o":
            self.place_points()
        elif key == "r" and not self.again.disabled:
            self.run_again()

    def swap_with(self, z: int) -> None:
        """Exchange the section with that at place z of the stack; once more takes it back."""
        if z != self.z:
            low, high = sorted((self.numbers[self.z], self.numbers[z]))
            word = f"{low}:swap={high}"
            self.words = [kept for kept in self.words if kept != word] if word in self.words else [*self.words, word]
            self._show()

    def place_points(self) -> None:
        """Begin to place points for the pair of this section with the one in use before it."""
        before = [place.z for place in self.report.sections[: self.z] if self.numbers[place.z] not in self.skipped]
        if before:
            self.on_points(before[-1], self.z)

    def placed(self, fixed: int, moving: int, pairs: list[list[float]]) -> None:
        """Take points (y, x in fixed, y, x in moving; px) for a pair of places; fewer than three take them back."""
        head = f"{self.numbers[fixed]}-{self.numbers[moving]}:points="
        self.words = [kept for kept in self.words if not kept.startswith(head)]
        if len(pairs) >= 3:
            self.words.append(head + "+".join("{:.1f}/{:.1f}@{:.1f}/{:.1f}".format(*pair) for pair in pairs))
        self._show()

    def run_again(self) -> None:
        """Fill the form's `exclude` and `remedies`, and run onto the same output."""
        self.form.fields["exclude"].fill(sorted(self.skipped))
        self.form.fields["remedies"].fill(self.words)
        self.form.overwrite.value = True
        self.again.disabled = self.form.start() is not None

    def _switched(self, kind: Remedy, is_on: bool) -> None:
        if self._showing:
            return
        number = self.numbers[self.z]
        if kind == "skip":
            (self.skipped.add if is_on else self.skipped.discard)(number)
        else:
            self.words = [word for word in self.words if word != f"{number}:flip"] + [f"{number}:flip"] * is_on
        self._show()

    def _chosen(self, kind: Remedy, value: str) -> None:
        if self._showing:
            return
        head = f"{self.numbers[self.z]}:{kind}="
        self.words = [word for word in self.words if not word.startswith(head)] + [head + value] * bool(value)
        self._show()

    def _show(self) -> None:
        self._showing = True  # nothing is switched by a person now
        number = self.numbers[self.z]
        asked = {word.split("=")[0]: word.partition("=")[2] for word in self.words}
        self.skip.value, self.flip.value = number in self.skipped, f"{number}:flip" in asked
        for kind, choice in self.choices.items():
            given = asked.get(f"{number}:{kind}", "")
            if given not in dict(choice.options).values():
                choice.options = [*choice.options, (given, given)]
            choice.value = given
        partner = partner_of(self.report.verdicts, self.z) if self.report.verdicts else None
        self.other.value = partner if partner is not None else self.z + (1 if self.z + 1 < len(self.numbers) else -1)
        self.advice.value, helpful = self._advised()
        boxes = {"skip": self.skip, "flip": self.flip, "swap": self.swap, "points": self.points, **self.choices}
        for kind, box in boxes.items():
            (box.add_class if kind in helpful else box.remove_class)("emkit-helpful")
        self._show_asked()
        self._showing = False

    def _show_asked(self) -> None:
        left_out = [f"{number}:skip" for number in sorted(self.skipped)]
        chips = []
        for word in [*left_out, *self.words]:
            shown = word if len(word) < 40 else f"{word.partition('=')[0]}={word.count('@')} pairs"
            chip = widgets.Button(description=shown, icon="times", tooltip=f"Take back {word}")
            chip.on_click(lambda _, word=word: self._take_back(word))
            chips.append(chip)
        self.asked.children = [widgets.Label("Asked for:"), *chips] if chips else []
        changed = (sorted(self.words), self.skipped) != self.before
        self.again.disabled = not changed
        count = len(chips)
        what = f" with {count} {'remedies' if count > 1 else 'remedy'}" if count else " without remedies"
        self.again.description = "Run again" + (what if changed else "")

    def _take_back(self, word: str) -> None:
        if word.endswith(":skip"):
            self.skipped.discard(int(word.partition(":")[0]))
        else:
            self.words = [kept for kept in self.words if kept != word]
        self._show()

    def _advised(self) -> tuple[str, tuple[Remedy, ...]]:
        """What is wrong with the section, as HTML, and which remedies would help."""
        place = self.report.sections[self.z]
        said, helpful = "good", tuple[Remedy, ...]()
        if self.z in self.report.mirrored:
            said, helpful = "mirrored. Turned over, it matches.", ("flip",)
        elif self.report.verdicts and (defect := self.report.verdicts[self.z].defect):
            said, helpful = f"{DEFECT_NAMES[defect]}. {ADVICE[defect]}", HELP[defect]
        elif flagged := [pair for pair in self.report.flagged if self.z in (pair.fixed, pair.moving)]:
            said = "nothing is wrong with the picture, but a pair of it does not match. "
            near = any(pair.snr > LIKELIER_AT * pair.snr_threshold for pair in flagged)
            helpful = ("window", "whitening", "search", "points") if near else ("search", "points", "flip", "skip")
        help_ = f" <em>What helps: {', '.join(NAMES[kind] for kind in helpful)}.</em>" if helpful else ""
        return f"<b>Section {self.z}</b> ({html.escape(place.file)}): {html.escape(said)}{help_}", helpful


def _choice(label: str, options: list[tuple[str, str]]) -> widgets.Dropdown:
    return widgets.Dropdown(description=label, options=options, value="")
