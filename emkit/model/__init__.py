"""The nouns that cross rooms, one file for a kind."""

from emkit.model.calibration import Calibration
from emkit.model.defect import ADVICE, DEFECT_NAMES, DEFECTS, HELP, REIMAGE, Defect, Remedy
from emkit.model.scan import CountedHeader, CountedScan, Sample, Thresholds, offsets_of
from emkit.model.volume import Level, SectionFile, Shape, SizeNm, Stack, Volume, VolumeKind

__all__ = [
    "ADVICE",
    "DEFECTS",
    "DEFECT_NAMES",
    "HELP",
    "REIMAGE",
    "Calibration",
    "CountedHeader",
    "CountedScan",
    "Defect",
    "Level",
    "Remedy",
    "Sample",
    "SectionFile",
    "Shape",
    "SizeNm",
    "Stack",
    "Thresholds",
    "Volume",
    "VolumeKind",
    "offsets_of",
]
