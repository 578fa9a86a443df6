"""What can be wrong with a section: nine defects, as people call them, and what helps against each."""

from typing import Literal, get_args

Defect = Literal["defocus", "displaced", "duplicate", "gap", "out_of_order", "fold", "tear", "charging", "contrast"]
DEFECTS: tuple[Defect, ...] = get_args(Defect)

DEFECT_NAMES: dict[Defect, str] = {
    "defocus": "focus or astigmatism",
    "displaced": "displaced region",
    "duplicate": "repeated section",
    "gap": "missing section",
    "out_of_order": "out of order",
    "fold": "fold",
    "tear": "tear",
    "charging": "charging",
    "contrast": "contrast",
}

Remedy = Literal["window", "whitening", "clobber", "search", "points", "skip", "swap", "flip"]

HELP: dict[Defect, tuple[Remedy, ...]] = {  # the likeliest first
    "defocus": ("whitening", "window", "skip"),
    "displaced": ("search", "points", "flip", "skip"),
    "duplicate": ("skip",),
    "gap": ("window", "points"),
    "out_of_order": ("swap", "skip"),
    "fold": ("points", "window", "skip"),
    "tear": ("points", "window", "skip"),
    "charging": ("clobber", "whitening", "skip"),
    "contrast": ("skip",),
}

ADVICE: dict[Defect, str] = {
    "defocus": "Image it again in focus. Until then a lower whitening exponent or a larger window leans on coarse structure.",
    "displaced": "Another place was imaged. Search further if the field has only moved, place points, or image the right place.",
    "duplicate": "The same section stands here twice. Skip this one, and look for the one that was not imaged.",
    "gap": "One or more sections before this one are missing. Look for them; the volume is too thin here.",
    "out_of_order": "It stands at another's place. Swap the two.",
    "fold": "The section is folded: tissue is hidden, and its halves moved together. Points on one side hold at least that side.",
    "tear": "The section is torn, and its halves moved apart. Points on one side hold at least that side.",
    "charging": "The section charged up. Image it again with less dose or a new coat; suppress the pattern that stays in place.",
    "contrast": "Grey levels are narrow, shifted or saturated. Image it again with another brightness and contrast.",
}
REIMAGE: tuple[Defect, ...] = ("defocus", "displaced", "gap", "charging", "contrast")  # what the microscope can mend
