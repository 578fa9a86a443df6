"""The nouns that cross rooms, one file for a kind."""

from emkit.model.calibration import Calibration
from emkit.model.scan import CountedHeader, CountedScan, Sample, Thresholds, offsets_of
from emkit.model.volume import Level, SectionFile, Shape, SizeNm, Stack, Volume, VolumeKind

__all__ = [
    "Calibration",
    "CountedHeader",
    "CountedScan",
    "Level",
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
