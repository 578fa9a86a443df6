"""Electron counting: arrays in, counted scans out; no files, no workers. Axis order is (sy, sx, ky, kx)."""

from emkit.count.counting import count_frames
from emkit.count.losses import Coincidence, estimate_coincidence
from emkit.count.overlaps import Charge, LocatedScan, estimate_charge, locate_electrons
from emkit.count.reference import Reference, build_gain, build_reference, correct_rows
from emkit.count.thresholds import EstimatedThresholds, estimate_thresholds
from emkit.count.virtual import (
    PhaseContrast,
    annulus,
    centre_of_mass,
    differential_phase_contrast,
    disk,
    estimate_centre,
    integrate,
    radial_profile,
    virtual_image,
)
from emkit.model import CountedScan, Thresholds

__all__ = [
    "Charge",
    "Coincidence",
    "CountedScan",
    "EstimatedThresholds",
    "LocatedScan",
    "PhaseContrast",
    "Reference",
    "Thresholds",
    "annulus",
    "build_gain",
    "build_reference",
    "centre_of_mass",
    "correct_rows",
    "count_frames",
    "differential_phase_contrast",
    "disk",
    "estimate_centre",
    "estimate_charge",
    "estimate_coincidence",
    "estimate_thresholds",
    "integrate",
    "locate_electrons",
    "radial_profile",
    "virtual_image",
]
