"""Small charts as SVG, which every browser, notebook and editor shows: panels side by side, each with axes, grid and lines.

Written here rather than by a plotting library: three panels of points are a page of code, and no step needs one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by the colour-blind too (Okabe and Ito)
WIDTH, HEIGHT = 300, 210  # px of the field between the axes
LEFT, TOP, BETWEEN, BOTTOM = 72, 40, 84, 62
LEGEND_LINE = 20
TICKS = 5
MARKED = "#c62828"


@dataclass(frozen=True)
class Line:
    """Points (x, y) in ascending order of x; a name for the legend, empty where there is but one line. `marked` are the places
    in the list of points that stand out."""

    name: str
    points: Sequence[tuple[float, float]]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Panel:
    """A chart. `marks`: words for x = 0, 1, … where x is no number. `limit`: a y at which a dashed line is drawn."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    marks: tuple[str, ...] = field(default=())
    limit: float | None = None


def draw(panels: Sequence[Panel]) -> str:
    """The panels side by side, with one legend below, as the text of an SVG file."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines if line.name))
    width = LEFT + len(panels) * WIDTH + (len(panels) - 1) * BETWEEN + 24
    height = TOP + HEIGHT + BOTTOM + LEGEND_LINE * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#333">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({LEFT + number * (WIDTH + BETWEEN)} {TOP})">', *_panel(panel, names), "</g>"]
    for row, name in enumerate(names):
        y = TOP + HEIGHT + BOTTOM + LEGEND_LINE * row
        parts.append(f'<circle cx="{LEFT + 5}" cy="{y - 4}" r="4" fill="{_colour(name, names)}"/>')
        parts.append(f'<text x="{LEFT + 16}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, names: Sequence[str]) -> Iterator[str]:
    points = [point for line in panel.lines for point in line.points]
    x_ticks = [float(n) for n in range(len(panel.marks))] or ticks(
        [x for x, _ in points], whole=all(x.is_integer() for x, _ in points)
    )
    y_ticks = ticks([0.0, panel.limit or 0.0, *(y for _, y in points)])
    low, high = (-0.5, len(panel.marks) - 0.5) if panel.marks else (x_ticks[0], x_ticks[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - low) / (high - low) * WIDTH
        return round(across, 1), round(HEIGHT - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * HEIGHT, 1)

    yield f'<text x="0" y="-16" font-size="14" font-weight="600">{escape(panel.title)}</text>'
    for value in y_ticks:
        _, y = at(low, value)
        yield f'<path d="M0 {y}H{WIDTH}" stroke="#e4e4e4"/><text x="-8" y="{y + 4}" text-anchor="end">{value:.6g}</text>'
    for value in x_ticks:
        x, _ = at(value, 0)
        word = panel.marks[int(value)] if panel.marks else f"{value:.6g}"
        yield f'<path d="M{x} {HEIGHT}v5" stroke="#666"/><text x="{x}" y="{HEIGHT + 19}" text-anchor="middle">{escape(word)}</text>'
    yield f'<path d="M0 {HEIGHT}H{WIDTH}" stroke="#666"/>'
    yield f'<text x="{WIDTH / 2}" y="{HEIGHT + 38}" text-anchor="middle">{escape(panel.x_label)}</text>'
    yield f'<text transform="translate(-54 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(panel.y_label)}</text>'
    if panel.limit is not None:
        _, y = at(low, panel.limit)
        yield f'<path d="M0 {y}H{WIDTH}" stroke="{MARKED}" stroke-dasharray="5 4"/>'
    for line in panel.lines:
        colour, placed = _colour(line.name, names), [at(x, y) for x, y in line.points]
        if len(placed) > 1 and not panel.marks:
            path = " ".join(f"{x},{y}" for x, y in placed)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for k, ((x, y), (told_x, told_y)) in enumerate(zip(placed, line.points, strict=True)):
            word = panel.marks[int(told_x)] if panel.marks else f"{told_x:.6g}"
            said = f"{panel.x_label} {word}: {told_y:.6g}" + (f" ({line.name})" if line.name else "")
            filled, radius = (MARKED, 5) if k in line.marked else (colour, 4)
            yield f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{filled}"><title>{escape(said)}</title></circle>'


def _colour(name: str, names: Sequence[str]) -> str:
    return COLOURS[names.index(name) % len(COLOURS)] if name else COLOURS[0]


def ticks(values: Sequence[float], *, whole: bool = False) -> list[float]:
    """Round numbers from below the least to above the greatest, about five; `whole`: none between whole numbers.

    >>> ticks([0, 8.3])
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high <= low:
        low, high = low - abs(low) / 2, high + (abs(high) / 2 or 1.0)
    rough = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough)
    if whole:
        step = max(step, 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]
