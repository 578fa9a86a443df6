"""Electron microscopy, one step at a time. Public names load on first use, so that the import itself stays light."""

from importlib import import_module
from typing import Any

_HOME = {
    "EmkitError": "errors",
    "align_sections": "steps.aligning",
    "apply_edits": "steps.correcting",
    "apply_transforms": "steps.applying",
    "build_reference": "steps.referencing",
    "convert": "steps.converting",
    "convert_scan": "steps.exchanging",
    "count_scan": "steps.counting",
    "diff": "runs",
    "export_alignment": "steps.exporting",
    "export_model": "steps.exchanging_models",
    "fetch_data": "steps.fetching",
    "import_alignment": "steps.importing",
    "import_model": "steps.exchanging_models",
    "lineage": "runs",
    "make_mask": "steps.masking",
    "make_phantom": "steps.simulating",
    "make_phase_phantom": "steps.simulating_phases",
    "make_scan_phantom": "steps.simulating_scans",
    "measure_alignment": "steps.measuring",
    "measure_error": "steps.scoring",
    "measure_section": "steps.inspecting",
    "measure_series": "steps.measuring_series",
    "montage_sections": "steps.montaging",
    "open_volume": "io.omezarr",
    "plan": "run.step",
    "predict_membranes": "steps.predicting",
    "reconstruct_phase": "steps.reconstructing",
    "render": "steps.rendering",
    "repair": "runs",
    "report_alignment": "steps.reporting",
    "rerun": "runs",
    "score": "steps.scoring_segmentations",
    "segment": "steps.segmenting",
    "mesh": "steps.meshing",
    "skeletonize": "steps.skeletonizing",
    "train_membranes": "steps.training",
    "verify": "runs",
    "virtual_image": "steps.imaging",
}
__all__ = list(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"emkit.{_HOME[name]}"), name)
    raise AttributeError(f"module 'emkit' has no attribute {name!r}")
