"""Run by the Python of an environment that has AlignEM-SWiFT: what its model makes of the project that is named, as JSON."""

import json
import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
from qtpy.QtWidgets import QApplication
from src.models.data import DataModel
from src.utils.funcs_image import alt_SetSingleCafm

application = QApplication([])
with open(sys.argv[1]) as file:
    model = DataModel(data=json.load(file), readonly=True)
written = [model.alt_cafm(l=z) for z in range(len(model))]
composed, matrix = [], np.eye(2, 3)
for z in range(len(model)):
    matrix = alt_SetSingleCafm(model, "s1", z, matrix, model.include(l=z))
    composed.append(matrix.tolist())
print(
    json.dumps(
        {
            "names": [model.name(l=z) for z in range(len(model))], "size": model.image_size(), "aligned": model.is_aligned(),
            "snr": model.snr_list(), "skipped": [z for z, _ in model.skips_list()], "written": written, "composed": composed,
        }
    )
)  # fmt: skip
