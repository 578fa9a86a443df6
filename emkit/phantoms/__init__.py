"""Synthetic data with the true answer known: serial sections, and scans of an electron camera."""

from emkit.phantoms.phases import PhasePhantom
from emkit.phantoms.scans import ScanPhantom
from emkit.phantoms.sections import SectionPhantom

__all__ = ["PhasePhantom", "ScanPhantom", "SectionPhantom"]
