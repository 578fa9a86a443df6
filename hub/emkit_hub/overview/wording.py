"""Words for people: times and sizes, as filters of the templates, and what was wrong with what they sent."""

from pydantic import ValidationError

NEVER_BREAK = "\N{NO-BREAK SPACE}"


def duration(seconds: float | None) -> str:
    """In the two largest units that say enough; a dash for None.

    >>> [duration(s).replace("\N{NO-BREAK SPACE}", " ") for s in (None, 0.4, 45, 61, 3599, 7500, 90000, 864000)]
    ['–', '0 s', '45 s', '1 min', '59 min', '2 h 5 min', '1 d 1 h', '10 d']
    """
    if seconds is None:
        return "–"
    left = max(0, int(seconds))
    if left < 60:
        return f"{left}{NEVER_BREAK}s"
    for large, small, large_s, small_s in (("d", "h", 86400, 3600), ("h", "min", 3600, 60)):
        if left >= large_s:
            rest = left % large_s // small_s
            return f"{left // large_s}{NEVER_BREAK}{large}" + (f"{NEVER_BREAK}{rest}{NEVER_BREAK}{small}" if rest else "")
    return f"{left // 60}{NEVER_BREAK}min"


def memory(megabytes: float | None) -> str:
    """Megabytes (of 2**20 bytes) as MB or GB; a dash for None.

    >>> [memory(mb).replace("\N{NO-BREAK SPACE}", " ") for mb in (None, 512, 1024, 3276.8, 64000)]
    ['–', '512 MB', '1 GB', '3.2 GB', '62.5 GB']
    """
    if megabytes is None:
        return "–"
    return f"{megabytes:.0f}{NEVER_BREAK}MB" if megabytes < 1024 else f"{megabytes / 1024:.3g}{NEVER_BREAK}GB"


def size(count: float | None) -> str:
    """Bytes in the unit that leaves up to three figures before the point; a dash for None.

    >>> [size(b).replace("\N{NO-BREAK SPACE}", " ") for b in (None, 900, 5e9, 2.5e12)]
    ['–', '900 B', '5 GB', '2.5 TB']
    """
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g}{NEVER_BREAK}{unit}"
        count /= 1000
    return f"{count:.3g}{NEVER_BREAK}PB"


def first_words(error: Exception) -> str:
    """What was wrong first, with the name of its field."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
