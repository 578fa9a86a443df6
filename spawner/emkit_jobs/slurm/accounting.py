"""What a job has used: sstat while it runs, sacct when it has ended, and what scontrol tells of either.

sstat answers only to the job's owner and to Slurm's operators, and sacct only where the site has accounting: what cannot be told
is None.
"""

import time
from collections.abc import Callable

from emkit_jobs.scheduler import Asked, Usage
from emkit_jobs.slurm.commands import NO_SUCH_JOB, CommandError, Commands, moment, resource_counts, size_mb, span_s
from emkit_jobs.slurm.listing import AT_WORK
from emkit_jobs.slurm.nodes import gpus

_STEP = "MaxRSS,TRESUsageInAve,TRESUsageInMax"


async def usage(commands: Commands, job_id: str) -> Usage | None:
    """None for a job that waits, and for one that Slurm has forgotten. CommandError when Slurm does not answer."""
    try:
        shown = await commands.show(job_id)
    except CommandError as error:
        if NO_SUCH_JOB not in str(error):
            raise
        return await _ended(commands, job_id)
    if shown["JobState"] in AT_WORK:
        return await _running(commands, job_id, shown)
    if moment(shown.get("StartTime", "")) is None or shown["JobState"] == "PENDING":
        return None
    return await _ended(commands, job_id) or Usage(span_s(shown["RunTime"]) or 0.0, None, None, None, None, _asked(shown), None)


async def _running(commands: Commands, job_id: str, shown: dict[str, str]) -> Usage:
    cpu_s = memory_mb = gpu = gpu_mb = None
    try:
        rows = await _rows(commands, "sstat", f"AveCPU,NTasks,{_STEP}", job_id, "--allsteps")
    except CommandError:
        rows = []  # not the hub's job, and the hub is no operator
    if rows:
        cpu_s = sum((span_s(row[0]) or 0.0) * int(row[1] or 1) for row in rows)
        memory_mb, gpu, gpu_mb = _peaks([row[2:] for row in rows])
    limit = span_s(shown["TimeLimit"])
    started = moment(shown["StartTime"]) or time.time()
    return Usage(
        max(0.0, time.time() - started), cpu_s, memory_mb, gpu, gpu_mb, _asked(shown), moment(shown["EndTime"]) if limit else None
    )


async def _ended(commands: Commands, job_id: str) -> Usage | None:
    try:
        rows = await _rows(commands, "sacct", f"ElapsedRaw,TotalCPU,TimelimitRaw,ReqCPUS,ReqMem,AllocTRES,{_STEP}", job_id)
    except CommandError:
        return None  # no accounting
    if not rows:
        return None
    elapsed, cpu, limit, cpus, memory, allocated, *_ = rows[0]  # the job itself; its steps follow
    counts = resource_counts(allocated)
    asked = Asked(
        cpus=int(cpus) if cpus.isdigit() else None,
        memory_mb=_whole(size_mb(counts.get("mem", memory))),
        gpus=int(counts.get("gres/gpu", 0)),
        runtime_s=float(limit) * 60 if limit.isdigit() else None,
    )
    return Usage(float(elapsed), span_s(cpu), *_peaks([row[6:] for row in rows]), asked, None)


async def _rows(commands: Commands, program: str, columns: str, job_id: str, *options: str) -> list[list[str]]:
    told = await commands.run(program, "--noheader", "--parsable2", *options, f"--jobs={job_id}", f"--format={columns}")
    return [line.split("|") for line in told.splitlines()]


def _peaks(steps: list[list[str]]) -> tuple[float | None, float | None, float | None]:
    """The largest memory of a step in MiB, its GPUs' mean use in percent, and their largest memory in MiB."""
    mean = [resource_counts(average) for _, average, _ in steps]
    most = [resource_counts(largest) for _, _, largest in steps]
    return (
        _most([memory for memory, _, _ in steps], size_mb),
        _most([counts.get("gres/gpuutil", "") for counts in mean], lambda text: float(text) if text.isdigit() else None),
        _most([counts.get("gres/gpumem", "") for counts in most], size_mb),
    )


def _most(texts: list[str], read: Callable[[str], float | None]) -> float | None:
    return max((value for text in texts if (value := read(text)) is not None), default=None)


def _asked(shown: dict[str, str]) -> Asked:
    counts = resource_counts(shown.get("TRES", ""))
    named = shown.get("TresPerJob", shown.get("TresPerNode", "")).replace("gres:", "")
    return Asked(
        cpus=int(shown["NumCPUs"]) if shown.get("NumCPUs", "").isdigit() else None,
        memory_mb=_whole(size_mb(counts.get("mem", ""))),
        gpus=int(counts["gres/gpu"]) if "gres/gpu" in counts else gpus(named),
        runtime_s=span_s(shown["TimeLimit"]),
    )


def _whole(megabytes: float | None) -> int | None:
    return None if megabytes is None else round(megabytes)
