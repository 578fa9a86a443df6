"""What the form says about free room and starts. Whoever waits reads these words with and without JavaScript."""

from emkit_jobs.efficiency import gigabytes, span
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Free, Outlook

AT_ONCE_S = 90.0
OLD_S = 60.0  # an answer older than this shows its age


def start(outlook: Outlook, now: float) -> str:
    """When it starts: a sentence."""
    if outlook.refused:
        return f"The scheduler would refuse this: {outlook.refused.rstrip('.')}."
    if outlook.starts_at is None:
        return "When this would start is not known."
    wait_s = outlook.starts_at - now
    return "This starts at once." if wait_s < AT_ONCE_S else f"This starts in {about(wait_s)}."


def state(outlook: Outlook, now: float) -> str:
    """The same in one word: refused, unknown, now or later."""
    if outlook.refused:
        return "refused"
    if outlook.starts_at is None:
        return "unknown"
    return "now" if outlook.starts_at - now < AT_ONCE_S else "later"


def about(seconds: float) -> str:
    """
    >>> about(100), about(2500), about(4 * 3600), about(80 * 3600)
    ('about 2 min', 'about 40 min', 'about 4 h', 'about 3 days')
    """
    minutes = seconds / 60
    if minutes < 10:
        return f"about {max(1, round(minutes))} min"
    if minutes < 57:
        return f"about {5 * round(minutes / 5)} min"
    return f"about {round(minutes / 60)} h" if minutes < 36 * 60 else f"about {round(minutes / 1440)} days"


def sooner(asked: Resources, instead: Resources) -> str:
    """
    >>> asked = Resources(cpus=16, memory_mb=8192, runtime="8:00:00")
    >>> sooner(asked, Resources(cpus=8, memory_mb=8192, runtime="8:00:00"))
    '8 cores instead of 16 start at once'
    >>> sooner(asked, Resources(cpus=1, memory_mb=8192, runtime="30"))
    '1 core and 30 min instead of 16 cores and 8 h start at once'
    """
    changed = []  # new, old, and old beside a new one that names the unit
    if instead.cpus != asked.cpus:
        changed.append((cores(instead.cpus or 1), cores(asked.cpus or 1), str(asked.cpus or 1)))
    if instead.memory_mb != asked.memory_mb:
        before = f"{gigabytes(asked.memory_mb or 0)} GB"
        changed.append((f"{gigabytes(instead.memory_mb or 0)} GB", before, before))
    if instead.gpus != asked.gpus:
        changed.append((gpus(instead.gpus), gpus(asked.gpus), str(asked.gpus)))
    if instead.runtime is not None and asked.runtime is not None and instead.runtime != asked.runtime:
        before = span(asked.runtime.total_seconds())
        changed.append((span(instead.runtime.total_seconds()), before, before))
    if len(changed) == 1:
        new, _, old = changed[0]
        return f"{new} instead of {old} {'starts' if new in ('1 core', '1 GPU') else 'start'} at once"
    return f"{_listed([new for new, _, _ in changed])} instead of {_listed([old for _, old, _ in changed])} start at once"


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def free(room: Free | None, shape: Resources, now: float) -> str:
    """What is free in the partition where a job of this shape would run, and whether there is room for it."""
    if room is None:
        return "What is free is not known just now."
    if not room.nodes_up:
        return "Closed at the moment."
    parts = [f"{room.cpus} of {cores(room.cpus_up)}"]
    if shape.gpus:
        parts.append(f"{room.gpus} of {gpus(room.gpus_up)}")
    if room.nodes_up > 1:
        parts.append(f"{room.nodes} of {room.nodes_up} whole nodes")
    if room.memory_mb:
        parts.append(f"up to {gigabytes(room.memory_mb)} GB on one" if room.nodes_up > 1 else f"{gigabytes(room.memory_mb)} GB")
    age_s = now - room.asked_at
    age = f" ({span(age_s)} ago)" if age_s > OLD_S else ""
    full = "" if fits(room, shape) else "Busy: it will share the cores. " if room.shared else "No room for this now. "
    return f"{full}Free: {', '.join(parts)}{age}."


def fits(room: Free | None, shape: Resources) -> bool:
    return room is not None and any(one.holds(shape) for one in room.rooms)


def cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"


def gpus(number: int) -> str:
    return "1 GPU" if number == 1 else f"{number} GPUs"


def size(resources: Resources) -> str:
    """
    >>> size(Resources(cpus=8, memory_mb=16384, gpus=1, runtime="8:00:00"))
    '8 cores · 16 GB · 1 GPU · 8 h'
    """
    parts = [
        cores(resources.cpus) if resources.cpus else "",
        f"{gigabytes(resources.memory_mb)} GB" if resources.memory_mb else "",
        gpus(resources.gpus) if resources.gpus else "",
        span(resources.runtime.total_seconds()) if resources.runtime else "",
    ]
    return " · ".join(filter(None, parts))
