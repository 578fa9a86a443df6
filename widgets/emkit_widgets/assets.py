"""The scripts and styles of the widgets, each after what they share: `dom.js` makes elements, `theme.css` names the colours."""

from pathlib import Path

HERE = Path(__file__).parent


def script(name: str) -> str:
    """An ES module for `_esm`."""
    return _together("dom.js", name)


def style(name: str) -> str:
    """A style sheet for `_css`."""
    return _together("theme.css", name)


def _together(*names: str) -> str:
    return "\n".join((HERE / name).read_text() for name in names)
