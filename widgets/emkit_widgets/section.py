"""One section at a time on a canvas: contrast, scale bar, and two sections blinked or laid over each other."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Protocol

import anywidget
import numpy as np
import traitlets
from PIL import Image

from emkit.errors import EmkitError, ParameterError
from emkit_widgets.assets import script, style

SHOWN_PX = 2048  # a longer side is reduced before it is sent: no screen shows more, and a section would take seconds to arrive
JPEG_QUALITY = 75


class Sections(Protocol):
    """What can be shown: `len()` sections, each `[z]` a (y, x) array. A (z, y, x) array is one."""

    def __len__(self) -> int: ...
    def __getitem__(self, z: int, /) -> Any: ...


class SectionView(anywidget.AnyWidget):
    """A viewer of sections that answers within a frame: the browser keeps the sections it has and fetches their neighbours ahead.

    `sections` is a (z, y, x) array, or anything with a length whose items are (y, x) arrays. With `pixel_nm` a scale bar is drawn;
    `names` (one per section) are told beside the number.

    `index` is the section shown, `other` the one it is compared with, `mode` how: "single", "blink" (in turn) or "overlay" (`index`
    in red, `other` in cyan: grey where they agree). `window` are the grey values shown black and white. `encoding` is how pixels
    travel: "raw" (exact, 1–2 bytes a pixel), "jpeg" (a fifth, for slow lines) or "auto": raw from this machine, else jpeg.

    Raises ParameterError if there is nothing to show.
    """

    _esm = script("section.js")
    _css = style("section.css")

    count = traitlets.Int(read_only=True).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pixel_nm = traitlets.Float(None, allow_none=True).tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)
    other = traitlets.Int(0).tag(sync=True)
    mode = traitlets.Enum(["single", "blink", "overlay"], default_value="single").tag(sync=True)
    window = traitlets.Tuple(traitlets.Float(), traitlets.Float()).tag(sync=True)
    limits = traitlets.Tuple(traitlets.Float(), traitlets.Float(), help="what the window can be set to").tag(sync=True)
    encoding = traitlets.Enum(["auto", "raw", "jpeg"], default_value="auto").tag(sync=True)

    def __init__(
        self, sections: Sections, *, pixel_nm: float | None = None, names: Sequence[str] = (), index: int = 0, **kwargs: Any
    ) -> None:
        if not len(sections):
            raise ParameterError("There is no section to show: the stack given to SectionView is empty. Give at least one.")
        if names and len(names) != len(sections):
            raise ParameterError(
                f"SectionView was given {len(names)} names for {len(sections)} sections. Give one for each, or none."
            )
        first = np.asarray(sections[index])
        low, high = (float(value) for value in np.nanpercentile(first, (0.5, 99.5)))
        limits = (0.0, 255.0) if first.dtype == np.uint8 else (float(np.nanmin(first)), float(np.nanmax(first)))
        given = {"window": (low, max(high, low + 1)), "limits": limits, "other": min(index + 1, len(sections) - 1)} | kwargs
        super().__init__(names=list(names), pixel_nm=pixel_nm, index=index, **given)
        self.set_trait("count", len(sections))
        self._sections = sections
        self.on_msg(self._answer)

    @traitlets.validate("index", "other")
    def _inside(self, proposal: Any) -> int:
        return int(np.clip(proposal["value"], 0, self.count - 1)) if self.count else int(proposal["value"])

    def compare(self, index: int, other: int, mode: str = "blink") -> None:
        """Show two sections in turn ("blink") or laid over each other ("overlay")."""
        with self.hold_sync():
            self.index, self.other, self.mode = index, other, mode

    def _answer(self, _: Any, message: dict[str, Any], __: list[memoryview]) -> None:
        z = int(message["want"])
        try:
            header, pixels = encode(np.asarray(self._sections[z]), jpeg=message["encoding"] == "jpeg")
        except (EmkitError, OSError) as error:
            self.send({"z": z, "error": str(error)})
            return
        self.send({"z": z, **header}, [pixels])


def encode(section: np.ndarray, *, jpeg: bool) -> tuple[dict[str, Any], bytes]:
    """A (y, x) section as it is sent: a header and its pixels as codes of 8 or 16 bits (`bits`), or as a JPEG.

    Code 0 is the first value of `range`, the largest code the second. `shape` is what is sent, `step` how many of the section's
    pixels one of them spans.
    """
    step = -(-max(section.shape) // SHOWN_PX)
    if step > 1:
        y, x = (size // step * step for size in section.shape)
        mean = section[:y, :x].reshape(y // step, step, x // step, step).mean((1, 3), dtype=np.float32)
        section = mean.astype(section.dtype)
    header = {"shape": list(section.shape), "step": step}
    if jpeg:
        codes, span = _coded(section, np.dtype(np.uint8))
        buffer = BytesIO()
        Image.fromarray(codes).save(buffer, "JPEG", quality=JPEG_QUALITY)
        return {**header, "encoding": "jpeg", "bits": 8, "range": span}, buffer.getvalue()
    codes, span = _coded(section, np.dtype(np.uint8 if section.dtype == np.uint8 else np.uint16))
    return {**header, "encoding": "raw", "bits": 8 * codes.itemsize, "range": span}, codes.tobytes()


def _coded(section: np.ndarray, code: np.dtype[Any]) -> tuple[np.ndarray, list[float]]:
    """The section in codes of this type, and the values of the first and the last of them. NaN becomes the first."""
    top = np.iinfo(code).max
    if section.dtype == code:
        return np.ascontiguousarray(section), [0.0, float(top)]
    low, high = float(np.nanmin(section)), float(np.nanmax(section))
    scaled = (section.astype(np.float32) - low) * (top / max(high - low, 1e-30))
    return np.nan_to_num(scaled).round().astype(code), [low, high]
