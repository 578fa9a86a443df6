"""A model as one ONNX file, for programs that know neither emkit nor torch (https://onnx.ai).

Input `image`: gray values, float32, (n, 1, [z,] y, x), sizes that are multiples of the stride. Output `probability`, 0 to 1:
(n, C, [z,] y, x). Normalisation and sigmoid are in the file, and so is the configuration as JSON, under the key `emkit` of its
metadata. Nothing is folded, so that the weights are there by name and can be read back.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emkit.errors import DataError, PathError
from emkit.membrane.model import Configuration, Model, build_network

KEY, OPSET, RUNG = "emkit", 17, "network."
TOLERANCE = 1e-4  # of a probability: another order of additions


class Whole(nn.Module):
    """From gray values to probabilities."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.mean, self.std = model.network, model.mean, model.std

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.network((image - self.mean) / self.std))


def write_onnx(model: Model, file: Path) -> float:
    """Write the file, run it, and return by how much its probabilities differ from the model's at most (DataError beyond 1e-4)."""
    import onnx
    from pydantic import TypeAdapter

    whole = Whole(model).eval()
    image = example(model)
    export(whole, image, file, "probability")
    made = onnx.load(file)
    onnx.helper.set_model_props(made, {KEY: TypeAdapter(Configuration).dump_json(model.configuration).decode()})
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, file)
    with torch.inference_mode():
        expected = whole(image).numpy()
    difference = float(np.abs(run_onnx(file, image.numpy()) - expected).max())
    if difference > TOLERANCE:
        raise DataError(f"{file} gives probabilities that differ from the model's by {difference:.2g}; it is not to be used.")
    return difference


def export(network: nn.Module, image: Tensor, file: Path, output: str) -> None:
    """The network as ONNX, from `image` to `output`; sizes along all axes but that of channels may be others than the example's."""
    free = {axis: f"axis{axis}" for axis in range(image.ndim) if axis != 1}
    with warnings.catch_warnings():
        # the exporter that succeeds this one needs two packages more, and gives weights names of its own
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            network, (image,), str(file), dynamo=False, opset_version=OPSET, input_names=["image"], output_names=[output],
            dynamic_axes={"image": free, output: free}, training=torch.onnx.TrainingMode.EVAL, do_constant_folding=False,
        )  # fmt: skip


def run_onnx(file: Path, image: Any) -> Any:
    """What the file says of an image."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def example(model: Model) -> Tensor:
    """Noise of the gray values and the least size that a model is meant for: (1, 1, [z,] y, x)."""
    sides = [2 * far + 2 * step if far else step for far, step in zip(model.halo, model.stride, strict=True)][3 - model.dim :]
    noise = np.random.default_rng(0).normal(model.mean, model.std, (1, 1, *sides))
    return torch.from_numpy(noise.astype(np.float32))


def read_onnx(file: Path) -> Model:
    """The model of a file that `write_onnx` wrote. PathError for any other file, DataError where weights are missing."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import numpy_helper
    from pydantic import TypeAdapter, ValidationError

    try:
        found = onnx.load(file)
    except (DecodeError, ValueError):
        raise PathError(f"{file} is no ONNX file; needed: one that export-model wrote.") from None
    told = {entry.key: entry.value for entry in found.metadata_props}.get(KEY)
    try:
        configuration = TypeAdapter(Configuration).validate_json(told or "")
    except ValidationError:
        raise PathError(f"{file} does not tell which network of emkit it is; needed: a file that export-model wrote.") from None
    named = {tensor.name: np.array(numpy_helper.to_array(tensor)) for tensor in found.graph.initializer}
    for node in found.graph.node:  # weights that are equal are kept once
        if node.op_type == "Identity" and node.input[0] in named:
            named[node.output[0]] = named[node.input[0]]
    network = build_network(configuration)
    return Model(filled(network, {name.removeprefix(RUNG): value for name, value in named.items()}, file), configuration)


def filled(network: nn.Module, weights: dict[str, Any], file: Path) -> nn.Module:
    """The network with these weights, in inference mode. DataError where they are not its own."""
    state = network.state_dict()
    wrong = [
        name for name, old in state.items()
        if not name.endswith("num_batches_tracked") and (name not in weights or tuple(weights[name].shape) != tuple(old.shape))
    ]  # fmt: skip
    if wrong:
        raise DataError(f"{file} lacks weights that its configuration tells of, such as {wrong[0]}. Export the model again.")
    network.load_state_dict({name: torch.as_tensor(weights[name]) if name in weights else old for name, old in state.items()})
    return network.eval()
