"""How good an image is, from its pixels alone. Arrays in, numbers out."""

from emkit.measure.sections import SectionQuality, measure_quality

__all__ = ["SectionQuality", "measure_quality"]
