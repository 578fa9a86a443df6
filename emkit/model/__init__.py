"""The nouns that cross rooms, one file for a kind."""

from emkit.model.scan import CountedScan, Thresholds
from emkit.model.volume import Level, SectionFile, Shape, SizeNm, Stack, Volume, VolumeKind

__all__ = ["CountedScan", "Level", "SectionFile", "Shape", "SizeNm", "Stack", "Thresholds", "Volume", "VolumeKind"]
