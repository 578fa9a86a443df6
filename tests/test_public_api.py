"""The names users may rely on, and what importing emkit costs them."""

import subprocess
import sys

import emkit

NAMES = {
    "EmkitError",
    "align_sections",
    "apply_edits",
    "apply_transforms",
    "build_reference",
    "convert",
    "convert_scan",
    "count_scan",
    "diff",
    "export_alignment",
    "export_model",
    "fetch_data",
    "import_alignment",
    "import_model",
    "lineage",
    "make_mask",
    "make_phantom",
    "make_phase_phantom",
    "make_scan_phantom",
    "measure_alignment",
    "measure_error",
    "measure_section",
    "measure_series",
    "montage_sections",
    "open_volume",
    "plan",
    "predict_membranes",
    "reconstruct_phase",
    "render",
    "repair",
    "report_alignment",
    "rerun",
    "score",
    "segment",
    "mesh",
    "skeletonize",
    "train_membranes",
    "verify",
    "virtual_image",
}


def test_public_names_are_these_and_all_load() -> None:
    assert set(emkit.__all__) == NAMES
    assert all(callable(getattr(emkit, name)) for name in NAMES)


def test_import_is_light() -> None:
    heavy = "{'torch', 'dask', 'neuroglancer', 'numpy', 'pydantic', 'zarr', 'tensorstore'}"
    code = f"import sys, emkit; print(*sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
