"""The nouns that cross rooms, one file for a kind."""

from emkit.model.scan import CountedScan, Thresholds, offsets_of
from emkit.model.volume import Level, SectionFile, Shape, SizeNm, Stack, Volume, VolumeKind

__all__ = ["CountedScan", "Level", "SectionFile", "Shape", "SizeNm", "Stack", "Thresholds", "Volume", "VolumeKind", "offsets_of"]
