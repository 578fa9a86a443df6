"""Run by the Python of an environment that has PyReconstruct: what it makes of a project and of what it imports into it.

Arguments: a project, its images as zarr, a list of transforms, a project of AlignEM-SWiFT, a folder. Writes there what the
transforms of each section are, and where one takes a point, as seen.json, and its pixels as N.npy; then saves the project.
"""

import json
import os
import sys
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
from PyReconstruct.modules.backend.func.import_swift_transforms import importSwiftTransforms
from PyReconstruct.modules.backend.func.import_transforms import importTransforms
from PyReconstruct.modules.backend.view.image_layer import ImageLayer
from PyReconstruct.modules.datatypes import Series
from PySide6.QtWidgets import QApplication

project, images, listed, alignem, folder = sys.argv[1:]
application = QApplication([])
series = Series.openJser(project)
opened = series.alignment
names = {}
for kind, import_into, file in (("list", importTransforms, listed), ("alignem", importSwiftTransforms, alignem)):
    import_into(series, file)
    names[kind] = series.alignment
series.alignment, series.src_dir = opened, images
seen = []
for number, section in series.enumerateSections(show_progress=False):
    layer = ImageLayer(section, series)
    np.save(Path(folder, f"{number}.npy"), np.array(layer.image))
    own = {"opened": section.tform, **{kind: section.tforms[name] for kind, name in names.items()}}
    six = {kind: transform.getList() for kind, transform in own.items()}
    seen.append(
        {
            "src": section.src, "found": layer.image_found, "shape": list(section.img_dims), "scales": sorted(section.zarr_scales),
            "six": six, "point": section.tform.map(1.0, 2.0), "traces": len(section.tracesAsList()),
        }
    )  # fmt: skip
Path(folder, "seen.json").write_text(json.dumps({"alignment": opened, "sections": seen}))
series.saveJser(save_fp=str(Path(folder, "saved.jser")))
series.close()
