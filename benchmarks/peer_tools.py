"""Other programs that align, in an environment of their own: told a task a line on stdin, answers with its result and CPU time.

Run by `benchmarks.alignment_peers` with the Python of that environment; it imports nothing of emkit. A task is JSON with `tool` and
`file`, an .npz: the answer is `{"seconds": CPU time, "maps": matrices (2, 3)}` from (x, y) px to (x, y) px. The first task of each
tool is done twice, so that what it compiles or loads once is not counted.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, Any]
warm: set[str] = set()


def ecc(given: Arrays) -> list[Any]:
    """OpenCV: fixed px to moving px, from the start that is given (alone it fails in half the cases)."""
    import cv2  # type: ignore[import-not-found]

    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
    start = np.ascontiguousarray(given["start"], np.float32)
    _, found = cv2.findTransformECC(given["fixed"], given["moving"], start, cv2.MOTION_AFFINE, until, None, 5)
    return [found.tolist()]


def stitcher(given: Arrays) -> list[Any]:
    """multiview-stitcher: tile px to world px, affine, at full resolution."""
    from multiview_stitcher import msi_utils, registration  # type: ignore[import-not-found]
    from multiview_stitcher import spatial_image_utils as si_utils

    images = []
    for tile, (x, y) in zip(given["tiles"], given["nominal"].tolist(), strict=True):
        sim = si_utils.get_sim_from_array(
            tile, dims=["y", "x"], scale={"y": 1.0, "x": 1.0}, translation={"y": y, "x": x}, transform_key="stage"
        )
        images.append(msi_utils.get_msim_from_sim(sim, scale_factors=[]))
    registration.register(
        images,
        transform_key="stage",
        new_transform_key="found",
        reg_channel_index=0,
        registration_binning={"y": 1, "x": 1},
        groupwise_resolution_kwargs={"transform": "affine"},
    )
    maps = []
    for image, (x, y) in zip(images, given["nominal"].tolist(), strict=True):
        found = np.asarray(msi_utils.get_transform_from_msim(image, transform_key="found")).reshape(3, 3)
        linear, shift = found[:2, :2], found[:2, 2] + found[:2, :2] @ (y, x)
        maps.append(np.column_stack([linear[::-1, ::-1], shift[::-1]]).tolist())
    return maps


def entry(name: str) -> Callable[[Arrays], list[Any]]:
    """FILE.py:FUNCTION, which takes what the judge hands to `pair`."""
    file, _, function = name.rpartition(":")
    sys.path.insert(0, str(Path(file).parent))
    spec = importlib.util.spec_from_file_location("entry", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} cannot be read")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    pair = getattr(module, function)

    def done(given: Arrays) -> list[Any]:
        found = pair(given["fixed"], given["moving"], str(given["level"]))
        return [np.asarray(found).tolist()] if str(given["level"]) == "affine" else []

    return done


def main() -> None:
    tools: dict[str, Callable[[Arrays], list[Any]]] = {"ecc": ecc, "stitcher": stitcher}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["tool"] not in tools:
            tools[asked["tool"]] = entry(asked["tool"])
        tool = tools[asked["tool"]]
        given = dict(np.load(asked["file"]))
        if asked["tool"] not in warm:
            tool(given)
            warm.add(asked["tool"])
        began = time.process_time()
        maps = tool(given)
        sys.stdout.write("\n" + json.dumps({"answer": {"seconds": time.process_time() - began, "maps": maps}}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
