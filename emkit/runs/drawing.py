"""The lineage of an output as a picture: what lies on the disk in boxes, raw files at the top, and an arrow for each step."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from xml.sax.saxutils import escape

from emkit.runs.ancestry import Origin

BOX_HEIGHT, MARGIN, GAP, LANE = 52, 24, 36, 12  # px, as all lengths here
LETTER, LINE = 7.0, 17  # the width of a letter of 13 px, as near as one can know, and the height of a line
NARROWEST = 150
LABEL_LETTERS = 46
ABOVE, BELOW = 44, 14  # an arrow: before its label, where sources come together, and after it

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2933 }
.step, .set, .more { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round }
g .more { stroke: none }
.name, .step { font-weight: 600 }
.more { font-size: 12px; fill: #52606d }
rect { fill: #eef4fc; stroke: #3b6fb6; stroke-width: 1.2 }
.raw rect { fill: #f5f6f8; stroke: #8794a3 }
.changed rect { fill: #fff5e0; stroke: #c77700 }
.missing rect { fill: #fdf0ef; stroke: #b3382c; stroke-dasharray: 5 4 }
.changed .more { fill: #9a5b00 }
.missing .more { fill: #b3382c }
circle { fill: #627d98 }
path { fill: none; stroke: #627d98; stroke-width: 1.5; stroke-linejoin: round }
"""


@dataclass(frozen=True)
class Spot:
    """A thing with its place: the middle of its box, and the label of the arrow that leads to it."""

    origin: Origin
    row: int
    x: float
    label: tuple[tuple[str, str], ...]  # class and text of each line


def drawn(origin: Origin) -> str:
    """An SVG document. What two steps have read is drawn once."""
    spots: dict[str, Spot] = {}
    right = _place(origin, float(MARGIN), spots, _rows(origin))
    rows = max(spot.row for spot in spots.values()) + 1
    # where all was made from nothing, the first row is empty
    tops = [float(MARGIN) - (0 if any(spot.row == 0 for spot in spots.values()) else BOX_HEIGHT + ABOVE / 2 - 6)]
    for row in range(1, rows):
        longest = max((len(spot.label) for spot in spots.values() if spot.row == row), default=0)
        tops.append(tops[-1] + BOX_HEIGHT + ABOVE + longest * LINE + BELOW)
    arrows = [part for spot in spots.values() for part in _arrows(spot, spots, tops)]
    boxes = [_box(spot, tops[spot.row]) for spot in spots.values()]
    width, height = round(right + MARGIN), round(tops[-1] + BOX_HEIGHT + MARGIN)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
        f"<title>Lineage of {escape(origin.path.name)}</title>", f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill: #627d98; stroke: none"/></marker></defs>',
        '<rect width="100%" height="100%" style="fill: #fff; stroke: none"/>', *arrows, *boxes, "</svg>\n",
    ])  # fmt: skip


def _rows(origin: Origin) -> dict[str, int]:
    """The row of each thing by its path: just above the first thing that was made from it."""
    found: dict[str, int] = {}

    def visit(one: Origin, row: int) -> None:
        found[_key(one)] = min(row, found.get(_key(one), row))
        for source in one.sources.values():
            visit(source, row - 1)

    visit(origin, 0)
    top = min(row - int(bool(one.step and not one.sources)) for one, row in _with_rows(origin, found))
    return {path: row - top for path, row in found.items()}


def _with_rows(origin: Origin, rows: dict[str, int]) -> Iterator[tuple[Origin, int]]:
    yield origin, rows[_key(origin)]
    for source in origin.sources.values():
        yield from _with_rows(source, rows)


def _place(
    origin: Origin, left: float, spots: dict[str, Spot], rows: dict[str, int], below: Mapping[str, str] = MappingProxyType({})
) -> float:
    """Give a thing and its sources, as far as they have none, their places right of `left`; where they end."""
    label = _label(origin, below)
    half = _width(origin) / 2
    reach = max([half, *(12 + len(text) * LETTER for _, text in label)])  # a label stands right of its arrow
    right, before, mine = left, set(spots), []
    for source in origin.sources.values():
        if (name := _key(source)) not in spots:
            right = _place(source, right + GAP * (right > left), spots, rows, origin.versions)
            mine.append(name)
    x = (spots[mine[0]].x + spots[mine[-1]].x) / 2 if mine else left + half
    if (aside := left + half - x) > 0:  # narrower than what is made from them: they stand in its middle
        for name in spots.keys() - before:
            spots[name] = replace(spots[name], x=spots[name].x + aside)
        x, right = x + aside, right + aside
    spots[_key(origin)] = Spot(origin, rows[_key(origin)], x, label)
    return max(right, x + reach)


def _label(origin: Origin, below: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if not origin.step:
        return ()
    settings, software = _wrapped(origin.settings, 4), _wrapped(origin.software(below), 5)
    return ("step", origin.step), *(("set", line) for line in settings), *(("more", line) for line in software)


def _wrapped(text: str, most: int) -> list[str]:
    """In lines, never between a name and its value."""
    kept = text.replace(", ", ",\n").replace(" ", "\N{NO-BREAK SPACE}").replace("\n", " ")
    return textwrap.wrap(kept, LABEL_LETTERS, max_lines=most, placeholder=" …")


def _width(origin: Origin) -> float:
    return max(NARROWEST, 28 + LETTER * max(len(origin.path.name) * 1.2, len(origin.about)))


def _arrows(spot: Spot, spots: dict[str, Spot], tops: list[float]) -> list[str]:
    """From each source to where they come together, then down along the label to the box."""
    origin, top = spot.origin, tops[spot.row]
    if not origin.step:
        return []
    meet = top - BELOW - len(spot.label) * LINE - ABOVE / 2
    parts = []
    for source in origin.sources.values():
        one = spots[_key(source)]
        x, start = one.x, tops[one.row] + BOX_HEIGHT
        if one.row == spot.row - 1:
            way = f"M{x:.0f} {start:.0f}C{x:.0f} {meet:.0f} {spot.x:.0f} {start:.0f} {spot.x:.0f} {meet:.0f}"
        else:  # past the rows in between, at the left of all
            way = f"M{x:.0f} {start:.0f}v9H{LANE}V{meet:.0f}H{spot.x:.0f}"
        parts.append(f'<path d="{way}"/>')
    parts += [] if parts else [f'<circle cx="{spot.x:.0f}" cy="{meet:.0f}" r="3.5"/>']
    parts.append(f'<path d="M{spot.x:.0f} {meet:.0f}V{top:.0f}" marker-end="url(#tip)"/>')
    first = meet + ABOVE / 2 + 10
    for k, (kind, text) in enumerate(spot.label):
        parts.append(f'<text class="{kind}" x="{spot.x + 12:.0f}" y="{first + k * LINE:.0f}">{escape(text)}</text>')
    return parts


def _box(spot: Spot, top: float) -> str:
    origin, width = spot.origin, _width(spot.origin)
    kind = {"missing": "missing", "changed since": "changed"}.get(origin.standing, "made" if origin.step else "raw")
    lines = (("name", origin.path.name, 21), ("more", origin.about, 40))
    words = "".join(
        f'<text class="{c}" x="{spot.x:.0f}" y="{top + y:.0f}" text-anchor="middle">{escape(t)}</text>' for c, t, y in lines
    )
    rect = f'<rect x="{spot.x - width / 2:.0f}" y="{top:.0f}" width="{width:.0f}" height="{BOX_HEIGHT}" rx="6"/>'
    return f'<g class="{kind}"><title>{escape(str(origin.path))}</title>{rect}{words}</g>'


def _key(origin: Origin) -> str:
    """What was changed between two runs is another thing for each of them."""
    return f"{origin.standing} {origin.path}"
