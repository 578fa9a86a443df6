"""Electron counting: arrays in, counted scans out; no files, no workers. Axis order is (sy, sx, ky, kx)."""

from emkit.count.counting import check_reference, count_frames
from emkit.count.labels import to_xarray
from emkit.count.losses import Coincidence, coincidence_of, estimate_coincidence
from emkit.count.overlaps import Charge, LocatedScan, estimate_charge, locate_electrons
from emkit.count.parallax import (
    Aberrations,
    Parallax,
    ParallaxImage,
    align_bright_field,
    estimate_disk,
    estimate_parallax,
    reconstruct_parallax,
)
from emkit.count.phase import (
    Orientation,
    PhaseContrast,
    contrast_of,
    differential_phase_contrast,
    estimate_orientation,
    integrate,
)
from emkit.count.reference import Reference, build_gain, build_reference, correct_rows
from emkit.count.thresholds import EstimatedThresholds, check_thresholds, estimate_thresholds
from emkit.count.virtual import (
    annulus,
    centre_of,
    centre_of_mass,
    disk,
    estimate_centre,
    radial_profile,
    ring_pixels,
    sum_of_whole,
    virtual_image,
)
from emkit.model import Calibration, CountedScan, Thresholds

__all__ = [
    "Aberrations",
    "Calibration",
    "Charge",
    "Coincidence",
    "CountedScan",
    "EstimatedThresholds",
    "LocatedScan",
    "Orientation",
    "Parallax",
    "ParallaxImage",
    "PhaseContrast",
    "Reference",
    "Thresholds",
    "align_bright_field",
    "annulus",
    "build_gain",
    "build_reference",
    "centre_of",
    "centre_of_mass",
    "check_reference",
    "check_thresholds",
    "coincidence_of",
    "contrast_of",
    "correct_rows",
    "count_frames",
    "differential_phase_contrast",
    "disk",
    "estimate_centre",
    "estimate_charge",
    "estimate_coincidence",
    "estimate_disk",
    "estimate_orientation",
    "estimate_parallax",
    "estimate_thresholds",
    "integrate",
    "locate_electrons",
    "radial_profile",
    "reconstruct_parallax",
    "ring_pixels",
    "sum_of_whole",
    "to_xarray",
    "virtual_image",
]
