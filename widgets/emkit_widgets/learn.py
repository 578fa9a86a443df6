"""Paint a little, train a little, look at what the model makes of it, and paint where it is wrong: in one panel, without code."""

from pathlib import Path
from typing import Any

import ipywidgets as widgets

import emkit
from emkit.errors import EmkitError
from emkit.membrane.model import read_configuration
from emkit.run.step import bind
from emkit.server.easel import Easel
from emkit.view.places import places_of
from emkit_widgets.assets import style
from emkit_widgets.attach import Here
from emkit_widgets.follow import Follower
from emkit_widgets.form import StepForm
from emkit_widgets.paint import PaintView
from emkit_widgets.viewer import NeuroglancerView

STROKES, ROUND = "strokes.ome.zarr", "round_"
CPU_SECONDS, RATE = 30, 3e-4  # at 1e-3 a round forgets what was right before (docs/explanation/figures.md)
STYLE = f"<style>{style('style.css')}</style>"


class LearnPanel(Follower):
    """Corrects what a model predicts of `source`, an OME-Zarr volume or a folder of sections, round by round.

    Strokes and the model of each round are kept in `folder`: opened again, the panel goes on from the last of them. `model` is
    where the first round starts; without one it trains anew. `viewer` is a NeuroglancerView whose points and boxes are places
    to predict, `predicting` the form of predict-membranes, in which the model of each round is filled in. Raises PathError and
    ParameterError as `Easel` does.

        LearnPanel("raw.ome.zarr", "corrected", model="model")
    """

    def __init__(
        self,
        source: str | Path,
        folder: str | Path,
        model: str | Path | None = None,
        voxel_size_nm: tuple[float, float, float] | None = None,
        viewer: NeuroglancerView | None = None,
        predicting: StepForm | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.viewer, self.predicting = Path(folder), viewer, predicting
        self.easel = Easel(Path(source), self.folder / STROKES, voxel_size_nm)
        if (last := self.last_model() or (Path(model) if model else None)) is not None:
            self.easel.use(last)
        self.view = PaintView(self.easel, self.train)
        self.budget = widgets.BoundedIntText(
            value=CPU_SECONDS, min=10, max=100_000, description="Train for", tooltip="Core-seconds of each round"
        )
        self.from_viewer = widgets.Button(description="Places of the viewer", icon="map-marker", tooltip="Its points and boxes")
        self.from_viewer.on_click(lambda _: self.take_places())
        offered = [self.from_viewer] if viewer else []
        line = widgets.HBox([self.budget, widgets.Label("core-seconds"), self.cancel, *offered]).add_class("emkit-buttons")
        self.children = [widgets.HTML(STYLE), self.view, line, self.progress, self.message]
        self.add_class("emkit-learn")

    def last_model(self) -> Path | None:
        """The model of the last round that came to its end."""
        found = [path for path in self.folder.glob(f"{ROUND}*") if path.name.removeprefix(ROUND).isdigit()]
        return max(found, key=_number, default=None)

    def call(self) -> Any:
        """The training that Train begins: from the strokes so far, on from the model that is shown."""
        last, model = self.last_model(), self.easel.model
        held = read_configuration(model) if model else None
        learned: dict[str, Any] = {}
        if held:
            learned = {"dim": held.dim, "target": [target.name for target in held.targets], "rate": RATE}
        return bind(
            emkit.train_membranes, images=self.easel.source, labels=self.easel.strokes.path, label_kind="strokes",
            voxel_size_nm=self.easel.voxel_size_nm, cpu_seconds=float(self.budget.value), continue_from=model, **learned,
            out=self.folder / f"{ROUND}{_number(last) + 1 if last else 1}",
        )  # fmt: skip

    def train(self) -> Any:
        """Begin a round: train on, then predict with what was learned. A future, done when all is said; None while one trains."""
        if self.running:
            return None
        self.view.busy = "Training"
        return self.follow(Here(self.call(), overwrite=False))

    def take_places(self) -> None:
        """What is annotated in the viewer are places to predict."""
        if self.viewer is not None:
            self.view.places = [[list(corner) for corner in place] for place in places_of(self.viewer.state)]

    def _end(self, run: Any, ended: BaseException | None) -> None:
        super()._end(run, ended)
        self.view.busy = ""
        if ended is None:
            self.easel.strokes.begin_round(run.call.out.name)
            self._use(run.call.out)
            if self.predicting is not None:
                self.predicting.fields["model"].fill(run.call.out)

    def _use(self, model: Path) -> None:
        try:
            self.view.use(model)
        except EmkitError as refused:
            self.refuse(refused)


def _number(path: Path) -> int:
    return int(path.name.removeprefix(ROUND))
