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
    >>> sooner(Resources(cpus=16, memory_mb=8192), Resources(cpus=8, memory_mb=8192))
    '8 cores instead of 16 start at once'
    """
    new, old = [], []
    if instead.cpus != asked.cpus:
        new.append(cores(instead.cpus or 1))
        old.append(str(asked.cpus))
    if instead.memory_mb != asked.memory_mb:
        new.append(f"{gigabytes(instead.memory_mb or 0)} GB")
        old.append(f"{gigabytes(asked.memory_mb or 0)} GB")
    if instead.gpus != asked.gpus:
        new.append(gpus(instead.gpus))
        old.append(str(asked.gpus))
    if instead.runtime is not None and asked.runtime is not None and instead.runtime != asked.runtime:
        new.append(span(instead.runtime.total_seconds()))
        old.append(span(asked.runtime.total_seconds()))
    one = len(new) == 1 and new[0].startswith("1 ")
    return f"{' and '.join(new)} instead of {' and '.join(old)} start{'s' if one else ''} at once"


def free(room: Free | None, now: float) -> str:
    """What is free in a partition."""
    if room is None:
        return "What is free is not known just now."
    if not room.nodes_up:
        return "Closed at the moment."
    parts = [f"{room.cpus} of {cores(room.cpus_up)}"]
    if room.gpus_up:
        parts.append(f"{room.gpus} of {gpus(room.gpus_up)}")
    if room.nodes_up > 1:
        parts.append(f"{room.nodes} of {room.nodes_up} nodes whole")
    if room.memory_mb:
        parts.append(f"{gigabytes(room.memory_mb)} GB" + (" on one node" if room.nodes_up > 1 else ""))
    age_s = now - room.asked_at
    return f"Free: {', '.join(parts)}" + (f" ({span(age_s)} ago)." if age_s > OLD_S else ".")


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
