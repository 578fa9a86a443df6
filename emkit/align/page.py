"""The report of an alignment as one page for the person at the microscope: to read on a screen, to print, to send.

It holds all that it shows (pictures, chart, style), so it opens anywhere and without a network. Nothing in it depends on the day.
"""

from __future__ import annotations

import csv
from base64 import b64encode
from collections.abc import Callable
from html import escape
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.align.defects import SectionVerdict
from emkit.align.report import AlignmentReport
from emkit.align.verdicts import STATISTICS, partner_of, speaking
from emkit.model import ADVICE, DEFECT_NAMES, REIMAGE
from emkit.plotting import Line, Panel, draw

Thumbnail = Callable[[int], NDArray[np.generic]]  # z to a small image (y, x)
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #212121; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 1.8rem; }
h3 { margin: 0 0 .2rem; font-size: 1rem; }
p { margin: .2rem 0 .5rem; } svg { max-width: 100%; height: auto; display: block; margin-bottom: -1rem; }
.section { border: 1px solid #ccc; border-radius: 6px; padding: .8rem 1rem; margin: .8rem 0; break-inside: avoid; }
.pictures { display: flex; gap: .6rem; } .pictures figure { margin: 0; flex: 1; }
.pictures img { width: 100%; display: block; background: black; }
figcaption { font-size: 12px; color: #555; } figure.this figcaption { color: #c62828; font-weight: 600; }
table { border-collapse: collapse; font-size: 10px; font-variant-numeric: tabular-nums; }
th, td { padding: 2px 4px; text-align: right; border-bottom: 1px solid #e0e0e0; } th { vertical-align: bottom; }
td.word, th.word { text-align: left; white-space: nowrap; } .marked, tr.bad .verdict { color: #c62828; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: 12px; } dd { margin: 0; }
@page { size: A4 landscape; margin: 12mm; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } .all { break-before: page; } }
"""


def page_of(report: AlignmentReport, title: str, thumbnail: Thumbnail) -> str:
    """The page as HTML. ``thumbnail`` gives a section as it lies in the volume; it is asked for bad ones and their neighbours."""
    bad = [one for one in report.verdicts if one.defect]
    marked = speaking(report.verdicts)
    pairs = f"{len(report.pairs)} pairs, {len(report.flagged) or 'none'} flagged"
    facts = f"{len(report.sections)} sections, {len(bad) or 'none'} bad; {pairs}"
    left_out = [str(place.z) for place in report.sections if place.excluded]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>',
        f"<h1>{escape(title)}</h1><p>{facts}.{' Skipped: ' + ', '.join(left_out) + '.' if left_out else ''}</p>",
        _chart(report),
        *(["<h2>Sections to look at</h2>"] if bad else ["<p>No section is bad.</p>"]),
        *(_section(report, one, marked[one.z], thumbnail) for one in bad),
        _to_image(report),
        '<h2 class="all">All sections</h2>',
        _table(report, marked),
        "<h2>What the numbers say</h2><dl>",
        *(f"<dt>{escape(one.title)}</dt><dd>{escape(one.says)}</dd>" for one in STATISTICS),
        "</dl></html>\n",
    ]
    return "\n".join(parts)


def reimage_list(report: AlignmentReport) -> str:
    """The sections to image again as CSV: section, file, what is wrong, what to do."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("section", "file", "defect", "score", "advice"))
    for one in report.verdicts:
        if one.defect in REIMAGE and one.z not in report.mirrored:
            file = report.sections[one.z].file
            table.writerow((one.z, file, DEFECT_NAMES[one.defect], f"{one.score:.2f}", ADVICE[one.defect]))
    return text.getvalue()


def _chart(report: AlignmentReport) -> str:
    near = [pair for pair in report.pairs if pair.moving - pair.fixed == 1]
    bad = frozenset(k for k, one in enumerate(report.verdicts) if one.defect)
    score = Line("", [(float(one.z), round(one.score, 3)) for one in report.verdicts], marked=bad)
    flagged = frozenset(k for k, pair in enumerate(near) if pair.flagged)
    snr = Line("", [(float(pair.moving), round(pair.snr, 3)) for pair in near], marked=flagged)
    panels = [
        Panel("How bad each section is", "section", "score", [score], limit=1.0),
        Panel("How well each follows the one before", "section", "SNR", [snr], limit=report.snr_threshold),
    ]
    return draw([panel for panel in panels if panel.lines[0].points]) if score.points or snr.points else ""


def _section(report: AlignmentReport, one: SectionVerdict, marked: frozenset[str], thumbnail: Thumbnail) -> str:
    assert one.defect
    place, z = report.sections[one.z], one.z
    near = [k for k in (z - 1, z, z + 1) if 0 <= k < len(report.sections)]
    pictures = "".join(
        f'<figure class="{"this" if k == z else ""}"><img alt="Section {k}" src="data:image/png;base64,{_png(thumbnail(k))}">'
        f"<figcaption>{k} · {escape(report.sections[k].file)}</figcaption></figure>"
        for k in near
    )
    numbers = one.statistics
    said = [f"{each.title} {each.written(numbers[each.name])}" for each in STATISTICS if each.name in marked]
    if (partner := partner_of(report.verdicts, z)) is not None and one.defect == "out_of_order":
        said.append(f"changed places with section {partner}, probably")
    why = f" ({escape('; '.join(said))})" if said else ""
    advice = "It was imaged face down: turned over, it matches." if z in report.mirrored else ADVICE[one.defect]
    return (
        f'<div class="section"><h3>Section {z} · {escape(place.file)}: {DEFECT_NAMES[one.defect]}</h3>'
        f"<p>Score {one.score:.1f}{why}. {escape(advice)}{' It was skipped.' if place.excluded else ''}</p>"
        f'<div class="pictures">{pictures}</div></div>'
    )


def _to_image(report: AlignmentReport) -> str:
    rows = list(csv.reader(StringIO(reimage_list(report))))[1:]
    if not rows:
        return ""
    told = "".join(f"<li>{escape(file)} (section {z}): {escape(defect)}</li>" for z, file, defect, _, _ in rows)
    return f"<h2>To image again</h2><ul>{told}</ul>"


def _table(report: AlignmentReport, marked: list[frozenset[str]]) -> str:
    head = "".join(f"<th>{escape(one.title)}</th>" for one in STATISTICS)
    rows = []
    for one in report.verdicts:
        numbers, place = one.statistics, report.sections[one.z]
        cells = "".join(_cell(each.written(numbers[each.name]), each.name in marked[one.z]) for each in STATISTICS)
        verdict = DEFECT_NAMES[one.defect] if one.defect else "good"
        rows.append(
            f'<tr class="{"bad" if one.defect else ""}"><td>{one.z}</td><td class="word">{escape(place.file)}</td>'
            f'<td class="word verdict">{verdict}</td><td>{one.score:.1f}</td>{cells}</tr>'
        )
    fixed = '<th>Section</th><th class="word">File</th><th class="word">Verdict</th><th>Score</th>'
    return f"<table><thead><tr>{fixed}{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(shown: str, is_marked: bool) -> str:
    return f'<td class="marked">{shown}</td>' if is_marked else f"<td>{shown}</td>"


def _png(image: NDArray[Any]) -> str:
    from imagecodecs import png_encode

    low, high = (float(value) for value in np.percentile(image, (0.5, 99.5)))
    grey = image if image.dtype == np.uint8 else np.clip((image - low) * (255 / max(high - low, 1e-9)), 0, 255).astype(np.uint8)
    return b64encode(png_encode(np.ascontiguousarray(grey))).decode()
