"""How a training goes, in files beside its checkpoints: who drives the training writes them, whoever looks on reads them.

Each part of a training has a file of points, a JSON line each; a part that is begun again begins its file again. The last point of
a part has the scores on what was left out, and a picture of that lies beside it. A file called `stop` there is the wish that the
training ends, with a model of what it has learned.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.run.output import unfinished

CHECKPOINTS, POINTS, SAMPLE, STOP = "checkpoints", "points.jsonl", "sample.png", "stop"
SAMPLE_PX, GAP_PX = 256, 4  # of a picture: sides of its panels, and what is between them
MIDDLE, CONTRAST = 128, 45  # gray values of a picture: the mean of the images, and their standard deviation


@dataclass(frozen=True)
class Point:
    """How far a training was: its running loss, and at the end of a part its scores on what was left out.

    `stopped`: it was to end there.
    """

    step: int
    core_s: float
    loss: float
    scores: dict[str, float] = field(default_factory=dict)
    stopped: bool = False

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:.3f}" for name, value in self.scores.items())
        return f"step {self.step}, {self.core_s:.0f} core-s: loss {self.loss:.4f}; on what was left out: {told}"

    @property
    def worth(self) -> float:
        """What makes one part better than another: V-Rand, or IoU where there is none; -1 where nothing was scored."""
        return self.scores.get("v_rand", self.scores.get("iou", -1.0))


@dataclass(frozen=True)
class Standing:
    """How a training onto an output stands. `sample`: a PNG, empty before the first scores; `over`: its model is there."""

    points: tuple[Point, ...]
    sample: bytes
    over: bool
    stopping: bool


def standing(out: Path) -> Standing | None:
    """How the training onto this output stands, whoever drives it, or how it went; None where there is none."""
    for folder, over in ((unfinished(out) / CHECKPOINTS, False), (out, True)):
        try:
            points = tuple(_points(folder / POINTS)) if over else tuple(point for part in _parts(folder) for point in _points(part))
        except FileNotFoundError:  # a training that ends takes its checkpoints away
            continue
        return Standing(points, _bytes(folder / SAMPLE), over, stopping=(folder / STOP).exists())
    return None


def ask_to_stop(out: Path) -> None:
    """The training onto this output is to end with a model of its best part; one that has just ended has one already."""
    with suppress(FileNotFoundError):
        (unfinished(out) / CHECKPOINTS / STOP).touch()


def stop_asked(building: Path) -> bool:
    """Whether the training that builds its output there is to end."""
    return (building / CHECKPOINTS / STOP).exists()


@contextmanager
def points_of_part(building: Path, part: int) -> Iterator[Callable[[Point], None]]:
    """What takes the points of a part, one after the other."""
    with (building / CHECKPOINTS / f"{part}.jsonl").open("w") as file:

        def tell(point: Point) -> None:
            file.write(json.dumps(asdict(point)) + "\n")
            file.flush()

        yield tell


def best_part(building: Path) -> int:
    """The part with the best scores until now, the first one where none has any."""
    files = list(_parts(building / CHECKPOINTS))
    worth = [max((point.worth for point in _points(file)), default=-1.0) for file in files]
    return int(files[int(np.argmax(worth))].stem)


def keep_points(building: Path) -> list[Path]:
    """The points of all parts in one file, and the last picture, go from the checkpoints into the output; the files."""
    folder = building / CHECKPOINTS
    (building / POINTS).write_text("".join(file.read_text() for file in _parts(folder)))
    (building / SAMPLE).write_bytes(_bytes(folder / SAMPLE))
    return [building / POINTS, building / SAMPLE]


def write_sample(building: Path, *panels: NDArray[np.floating[Any]]) -> None:
    """A picture of the middle of sections (y, x) side by side: gray values of mean 0 and standard deviation 1, then what is 0…1."""
    from imagecodecs import png_encode

    gray, *others = (panel[_middle(panel.shape[0]), _middle(panel.shape[1])] for panel in panels)
    gap = np.full((gray.shape[0], GAP_PX), 255.0)
    shown = [MIDDLE + CONTRAST * gray, *(part for other in others for part in (gap, 255.0 * other))]
    picture = np.clip(np.concatenate(shown, axis=1), 0, 255).astype(np.uint8)
    new = building / CHECKPOINTS / f"{SAMPLE}.new"
    new.write_bytes(png_encode(np.ascontiguousarray(picture)))
    new.replace(new.with_name(SAMPLE))


def _middle(size: int) -> slice:
    return slice(max(0, (size - SAMPLE_PX) // 2), (size + SAMPLE_PX) // 2)


def _parts(folder: Path) -> list[Path]:
    """The files of points in their order. FileNotFoundError where there is no such folder."""
    return sorted((file for file in folder.iterdir() if file.suffix == ".jsonl"), key=lambda file: int(file.stem))


def _points(file: Path) -> Iterator[Point]:
    """Of all whole lines: another process may be writing."""
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield Point(**json.loads(line))


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""
