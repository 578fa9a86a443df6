"""The steps that people see. A name that is typed is looked up here and nowhere else."""

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from emkit.errors import ParameterError

STEPS = {  # name: module of this package
    "align_sections": "aligning",
    "montage_sections": "montaging",
    "render": "rendering",
    "apply_transforms": "applying",
    "measure_alignment": "measuring",
    "report_alignment": "reporting",
    "measure_error": "scoring",
    "measure_section": "inspecting",
    "convert": "converting",
    "make_phantom": "simulating",
    "predict_membranes": "predicting",
    "export_model": "exchanging_models",
    "import_model": "exchanging_models",
    "make_mask": "masking",
    "segment": "segmenting",
    "apply_edits": "correcting",
    "mesh": "meshing",
    "skeletonize": "skeletonizing",
    "score": "scoring_segmentations",
    "fetch_data": "fetching",
    "count_scan": "counting",
    "build_reference": "referencing",
    "virtual_image": "imaging",
    "reconstruct_phase": "reconstructing",
    "convert_scan": "exchanging",
    "import_alignment": "importing",
    "export_alignment": "exporting",
    "measure_series": "measuring_series",
    "make_scan_phantom": "simulating_scans",
    "make_phase_phantom": "simulating_phases",
    "train_membranes": "training",
}


def find(name: str) -> Callable[..., Any]:
    """The step of this name, its module imported now."""
    if name not in STEPS:
        raise ParameterError(f"There is no step {name!r}; there are {', '.join(STEPS)}.")
    function: Callable[..., Any] = getattr(import_module(f"emkit.steps.{STEPS[name]}"), name)
    return function


def summary(name: str) -> str:
    """The first line of a step's docstring, read without importing the step."""
    tree = ast.parse(Path(__file__).with_name(f"{STEPS[name]}.py").read_text())
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(found) or "").partition("\n")[0]
