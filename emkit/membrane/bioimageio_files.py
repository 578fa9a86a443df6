"""A model as a folder of the bioimage.io model description (https://bioimage.io, format 0.5), and back.

Its weights are there twice: as a state dict of torch, for which the architecture is emkit's, and as ONNX, which needs neither. In
both, gray values are normalised and probabilities made by the description's own pre- and postprocessing. What is read back is the
state dict, with `weights_only=True`: nothing in it is run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from emkit.errors import DataError, PathError
from emkit.membrane.model import Configuration, Model, build_network
from emkit.membrane.networks import ARCHITECTURES
from emkit.membrane.onnx_files import OPSET, example, export, filled

DESCRIPTION, STATE, ONNX = "rdf.yaml", "weights.pt", "weights.onnx"
KEY, VALIDATOR, LAST_LINES = "emkit", "EMKIT_BIOIMAGEIO", 30


def write_bioimageio(model: Model, folder: Path, *, name: str, license_name: str | None, authors: tuple[str, ...]) -> str:
    """Write the model into a folder that is there; what the validator of bioimage.io says, if there is one.

    DataError where it does not pass. It has an environment of its own (`scripts/bioimageio`, or what EMKIT_BIOIMAGEIO names): its
    releases so far do not work with the pydantic that emkit stands on.
    """
    gray = example(model)
    image = (gray - model.mean) / model.std
    torch.save(model.network.state_dict(), folder / STATE)
    export(model.network, image, folder / ONNX, "logits")
    with torch.inference_mode():
        said = torch.sigmoid(model.network(image))
    np.save(folder / "image.npy", gray.numpy())
    np.save(folder / "probability.npy", said.numpy())
    (folder / "README.md").write_text(_readme(model, name))
    told = _description(model, name) | {"authors": [{"name": author} for author in authors]}
    told |= {"license": license_name} if license_name else {}
    (folder / DESCRIPTION).write_text(json.dumps(told, indent=1) + "\n")  # JSON is YAML
    return validate(folder)


def validate(folder: Path) -> str:
    """What the validator says of the description, and of what its ONNX weights make of the example."""
    place = Path(os.environ.get(VALIDATOR) or Path(sys.prefix) / "bioimageio")
    if not (python := place / "bin" / "python").is_file():
        return (
            f"written, not validated: the validator needs an environment of its own, and there is none in {place}. Make it with "
            f"scripts/bioimageio, or name one by {VALIDATOR}=FOLDER"
        )
    command = [str(python), "-m", "bioimageio.core", "test", str(folder / DESCRIPTION), "--weight-format", "onnx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:])
        raise DataError(f"{folder} does not pass the validator of bioimage.io: it ended with {done.returncode}.\n{last}")
    return "passes the validator of bioimage.io"


def read_bioimageio(folder: Path) -> Model:
    """The model of a folder that `write_bioimageio` wrote. PathError for any other folder, DataError for weights that do not fit.

    Descriptions of networks that are not emkit's name Python code to run; none is run.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        configuration = TypeAdapter(Configuration).validate_python(json.loads((folder / DESCRIPTION).read_text())["config"][KEY])
    except (OSError, ValueError, LookupError, TypeError, ValidationError):
        raise PathError(
            f"{folder} holds no network of emkit; needed: a folder that export-model wrote. The code of other networks is not run: "
            "use their ONNX weights in the program that made them."
        ) from None
    try:
        state = torch.load(folder / STATE, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError) as wrong:
        told = str(wrong).splitlines()[0] if str(wrong) else type(wrong).__name__
        raise DataError(f"{folder / STATE} holds no weights that can be read safely: {told}. Copy the folder again.") from None
    return Model(filled(build_network(configuration), state, folder / STATE), configuration)


def _description(model: Model, name: str) -> dict[str, Any]:
    from pydantic import TypeAdapter

    told = TypeAdapter(Configuration).dump_python(model.configuration, mode="json")
    axes = [_axis(model, number, axis) for number, axis in enumerate("zyx")][3 - model.dim :]
    out = [
        {key: value for key, value in axis.items() if key != "size"}
        | {"size": {"tensor_id": "image", "axis_id": axis["id"]}, "halo": far}
        for axis, far in zip(axes, model.halo[3 - model.dim :], strict=True)
    ]
    names = [f"{t.name}_{k}" if t.offsets else t.name for t in model.targets for k in range(t.channels)]
    module = f"emkit.membrane.networks.{ARCHITECTURES[model.configuration.architecture]}"
    options = {"inputs": 1, "outputs": model.configuration.channels} | dict(model.configuration.options)
    normalise = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": model.mean, "std": model.std}}
    return {
        "format_version": "0.5.12",
        "type": "model",
        "name": name,
        "description": f"{', '.join(names)} of electron micrographs, in {model.dim}D",
        "documentation": {"source": "README.md"},
        "tags": ["electron-microscopy", "membrane", "segmentation", f"{model.dim}d", "pytorch"],
        "inputs": [
            {
                "id": "image",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["gray"]}, *axes],
                "test_tensor": {"source": "image.npy"},
                "data": {"type": "float32"},
                "preprocessing": [normalise, {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}],
            }
        ],
        "outputs": [
            {
                "id": "probability",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": names}, *out],
                "test_tensor": {"source": "probability.npy"},
                "postprocessing": [{"id": "sigmoid"}],
            }
        ],
        "weights": {
            "pytorch_state_dict": {
                "source": STATE,
                "pytorch_version": torch.__version__.partition("+")[0],
                "architecture": {"import_from": module, "callable": "Network", "kwargs": options},
            },
            "onnx": {"source": ONNX, "opset_version": OPSET, "parent": "pytorch_state_dict"},
        },
        "config": {KEY: told},
    }


def _axis(model: Model, number: int, name: str) -> dict[str, Any]:
    step, far = model.stride[number], model.halo[number]
    least = 2 * far + 2 * step if far else step
    size = {"min": least, "step": step}
    return {"type": "space", "id": name, "unit": "nanometer", "scale": model.voxel_size_nm[number], "size": size}


def _readme(model: Model, name: str) -> str:
    size = " x ".join(f"{size:g}" for size in model.voxel_size_nm)
    scores = "".join(f"- {key}: {value:.4g}\n" for key, value in model.configuration.validation.items())
    targets = ", ".join(target.name for target in model.targets)
    return (
        f"# {name}\n\nPredicts {targets} of electron micrographs with voxels of {size} nm (z, y, x). Made with emkit.\n\n"
        f"## Validation\n\n{scores or 'No scores were kept.'}\n"
    )
