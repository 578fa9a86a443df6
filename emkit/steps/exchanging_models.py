"""Trained models to and from the formats of other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from emkit.errors import PathError
from emkit.membrane.model import read_configuration
from emkit.membrane.networks.memory import Levels
from emkit.params import Reads, Writes
from emkit.provenance import Written, written
from emkit.run.executor import needs
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

ONNX_FILE, DESCRIPTION = "model.onnx", "rdf.yaml"
TORCH_BYTES = 130_000_000  # torch and ONNX, without a network; measured
TRIALS = 6  # times what a network holds in bfloat16: it is tried in float32, by torch and by ONNX
EXAMPLES = {"unet2d": 240**2, "unet3d": 112**3, "anisotropic": 24 * 256**2}  # voxels that it is tried on


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how it was tried."""

    to: Literal["onnx", "bioimage.io"]
    tried: str

    def __str__(self) -> str:
        return f"{self.to}: {self.tried}"


@dataclass(frozen=True)
class ImportReport:
    """Which network was read."""

    architecture: str
    targets: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.architecture}, which predicts {', '.join(self.targets)}"


@step
def export_model(
    model: Annotated[Path, Reads("folder")],
    *,
    out: Annotated[Path, Writes("folder")],
    to: Literal["onnx", "bioimage.io"] = "onnx",
    name: str = "membranes by emkit",
    license: str | None = None,
    authors: tuple[str, ...] = (),
) -> Body[ExportReport]:
    """Export a trained model for other programs, and try what was written.

    ONNX is one file, model.onnx, from gray values to probabilities; it is run and compared with the model. A folder of bioimage.io
    holds a description, ONNX, the weights, and an example; it must pass that project's validator, where scripts/bioimageio has made
    its environment.

    Parameters
    ----------
    model
        The model, as train-membranes made it.
    out
        The folder to write.
    to
        The format.
    name
        What the model is called in the description.
    license
        Under which the weights may be used, as an SPDX word such as CC-BY-4.0; those of the training data bind you here.
    authors
        Who made it.
    """
    told = read_configuration(model)
    weights = sum(file.stat().st_size for file in model.iterdir() if file.is_file())
    trial = int(TRIALS * Levels.of(told.architecture, told.options).predicting(told.channels)) * EXAMPLES[told.architecture]
    yield Plan(2_000_000, 3 * weights + 10_000_000, 1.0, stages=(Load(1, TORCH_BYTES + 4 * weights + trial, 4.0 + trial / 1e8),))
    out.mkdir(exist_ok=True)
    if to == "onnx":
        tried = (yield from stage("export", export_onnx, {ONNX_FILE: (model, out)}))[ONNX_FILE]
    else:
        tried = (yield from stage("export", export_bioimageio, {DESCRIPTION: (model, out, name, license, authors)}))[DESCRIPTION]
    return ExportReport(to, tried)


@step
def import_model(source: Annotated[Path, Reads("folder")], *, out: Annotated[Path, Writes("folder")]) -> Body[ImportReport]:
    """Read a model back that export-model wrote, as ONNX or as a folder of bioimage.io.

    Weights are read as numbers; nothing in the folder is run.

    Parameters
    ----------
    source
        The folder that export-model wrote.
    out
        The model.
    """
    if not any((source / name).is_file() for name in (ONNX_FILE, DESCRIPTION)):
        raise PathError(f"source: {source} holds neither {ONNX_FILE} nor {DESCRIPTION}; needed: a folder that export-model wrote.")
    size = sum(file.stat().st_size for file in source.iterdir() if file.is_file())
    yield Plan(30_000_000, size + 10_000_000, 1.0, stages=(Load(1, TORCH_BYTES + 3 * size, 5.0),))
    out.mkdir(exist_ok=True)
    yield from stage("import", take_over, {"model": (source, out)})
    told = read_configuration(out)
    return ImportReport(told.architecture, tuple(target.name for target in told.targets))


@needs("emkit.membrane.onnx_files")
def export_onnx(model: Path, out: Path) -> str:
    """One task: the file, written and run."""
    from emkit.membrane.model import load_model
    from emkit.membrane.onnx_files import write_onnx

    return f"probabilities differ from the model's by {write_onnx(load_model(model), out / ONNX_FILE):.1g} at most"


@needs("emkit.membrane.bioimageio_files")
def export_bioimageio(model: Path, out: Path, name: str, license_name: str | None, authors: tuple[str, ...]) -> str:
    """One task: the folder, written and validated."""
    from emkit.membrane.bioimageio_files import write_bioimageio
    from emkit.membrane.model import load_model

    return write_bioimageio(load_model(model), out, name=name, license_name=license_name, authors=authors)


@needs("emkit.membrane.onnx_files")
def take_over(source: Path, out: Path) -> Written:
    """One task: the model, read and written anew."""
    from emkit.membrane.bioimageio_files import read_bioimageio
    from emkit.membrane.model import write_model
    from emkit.membrane.onnx_files import read_onnx

    found = read_onnx(source / ONNX_FILE) if (source / ONNX_FILE).is_file() else read_bioimageio(source)
    return written(out, *write_model(out, found.network, found.configuration))
