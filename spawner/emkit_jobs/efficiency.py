"""What a job's use says about the next request, in words: what was used of what was asked, and what to ask for instead.

Smaller requests start sooner, and leave more to others. Too little memory ends a job, so the advice keeps a margin.
"""

import math
from collections.abc import Iterator

from emkit_jobs.scheduler import Usage

MARGIN = 1.3  # asked for over used
TOO_MUCH = 0.5  # of what was asked: less than that is worth a word
CLOSE = 0.95  # of the memory: more than that is dangerous
SHORTEST_S = 120.0  # a job that ran for less says nothing about the next
IDLE_GPU_PERCENT = 10.0


def advice(usage: Usage) -> str:
    """Sentences; empty when nothing is known or the job was too short.

    >>> from emkit_jobs.scheduler import Asked
    >>> advice(Usage(3600, 4000, 1229, None, None, Asked(cpus=8, memory_mb=16384), None))
    'It used 1.2 of 16 GB: ask for 2 GB. It kept 1.1 of 8 cores busy: ask for 2. A smaller request starts sooner.'
    """
    if usage.elapsed_s < SHORTEST_S:
        return ""
    less = [*_memory(usage), *_cores(usage), *_gpus(usage), *_time(usage)]
    if risk := _risk(usage):
        return " ".join([risk, *(f"{sentence}." for sentence in less)])
    if less:
        return " ".join([*(f"{sentence}." for sentence in less), "A smaller request starts sooner."])
    return "It used most of what it asked for." if usage.memory_peak_mb is not None or usage.cpu_s is not None else ""


def _memory(usage: Usage) -> Iterator[str]:
    used, asked = usage.memory_peak_mb, usage.asked.memory_mb
    if used is not None and asked is not None and used < TOO_MUCH * asked:
        enough = round_memory_mb(used * MARGIN)
        if enough < asked:
            yield f"It used {gigabytes(used)} of {gigabytes(asked)} GB: ask for {gigabytes(enough)} GB"


def _risk(usage: Usage) -> str:
    used, asked = usage.memory_peak_mb, usage.asked.memory_mb
    if used is None or asked is None or used < CLOSE * asked:
        return ""
    enough = gigabytes(round_memory_mb(used * MARGIN))
    return f"It used {gigabytes(used)} of {gigabytes(asked)} GB: ask for {enough} GB, a job that needs more than it has is ended."


def _cores(usage: Usage) -> Iterator[str]:
    asked = usage.asked.cpus
    if usage.cpu_s is not None and asked is not None and asked > 1:
        busy = usage.cpu_s / usage.elapsed_s
        enough = max(1, math.ceil(busy * MARGIN))
        if busy < TOO_MUCH * asked and enough < asked:
            yield f"It kept {f'{busy:.1f}' if busy >= 0.1 else 'under 0.1'} of {asked} cores busy: ask for {enough}"


def _gpus(usage: Usage) -> Iterator[str]:
    if usage.gpu_percent is not None and usage.asked.gpus and usage.gpu_percent < IDLE_GPU_PERCENT:
        what = "Its GPU was" if usage.asked.gpus == 1 else f"Its {usage.asked.gpus} GPUs were"
        yield f"{what} busy for {usage.gpu_percent:.0f} % of the time: try without"


def _time(usage: Usage) -> Iterator[str]:
    asked = usage.asked.runtime_s
    if usage.ends_at is None and asked is not None and usage.elapsed_s < TOO_MUCH * asked:
        enough = max(1800, math.ceil(usage.elapsed_s * MARGIN / 1800) * 1800)
        if enough < asked:
            yield f"It ended after {span(usage.elapsed_s)} of {span(asked)}: ask for {span(enough)}"


def round_memory_mb(megabytes: float) -> int:
    """The next number that a person would ask for: 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32 … GB.

    >>> [round_memory_mb(mb) / 1024 for mb in (100, 1200, 5000, 9000, 20000)]
    [0.5, 2.0, 6.0, 12.0, 24.0]
    """
    step = 512
    while step < megabytes:
        if step >= 2048 and step * 3 // 2 >= megabytes:
            return step * 3 // 2
        step *= 2
    return step


def gigabytes(megabytes: float) -> str:
    """
    >>> gigabytes(1229), gigabytes(16384), gigabytes(300), gigabytes(24000)
    ('1.2', '16', '0.3', '23')
    """
    value = megabytes / 1024
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")


def span(seconds: float) -> str:
    """
    >>> span(3000), span(3600), span(9000), span(200000)
    ('50 min', '1 h', '2.5 h', '2.3 days')
    """
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f}".removesuffix(".0") + " h"
    return f"{seconds / 86400:.1f}".removesuffix(".0") + " days"
