"""Slurm's own notations: reasons in plain words, nodes of other clusters than the tests', positions in the line."""

import doctest
import time

import pytest
from emkit_jobs.slurm import commands, listing, nodes, reasons, scheduler
from emkit_jobs.slurm.listing import Line, Listing
from emkit_jobs.slurm.reasons import plain


@pytest.mark.parametrize("module", [commands, listing, nodes, reasons, scheduler])
def test_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", "others are before it"),
        ("Resources", "it is next"),
        ("ReqNodeNotAvail, UnavailableNodes:em[1-3]", "down, drained or reserved"),
        ("QOSMaxJobsPerUserLimit", "you have as many jobs as one user may"),
        ("QOSMaxCpuPerUserLimit", "you have as many cores as one user may"),
        ("QOSMaxGRESPerUser", "you have as many GPUs as one user may"),
        ("QOSMaxSubmitJobPerUserLimit", "you have as many jobs as one user may"),
        ("QOSMaxMemoryPerJob", "it asks for too much memory for one job"),
        ("QOSMaxWallDurationPerJobLimit", "it asks for too much time for one job"),
        ("AssocMaxCpuMinutesPerJobLimit", "it asks for too many cores for so long"),
        ("MaxMemPerLimit", "it asks for too much memory for one job"),
        ("QOSMinGRES", "it asks for less than a job must"),
        ("QOSMinCpuNotSatisfied", "it asks for less than a job must"),
        ("QOSGrpNodeLimit", "the users of your service class together have as many nodes as they may"),
        ("AssocGrpCpuLimit", "your account has as many cores as it may"),
        ("AssocGrpMemLimit", "your account has as much memory as it may"),
        ("AssocGrpGRES", "your account has as many GPUs as it may"),
        ("AssocMaxJobsLimit", "your account has as many jobs as it may"),
        ("AssocGrpCPUMinutesLimit", "used up its time on the cluster"),
        ("AssocGrpBillingRunMinutes", "used up its time on the cluster"),
        ("MaxCpuPerAccount", "your account has as many cores"),
        ("JobHeldUser", "its owner holds it back"),
        ("BeginTime", "may not start before a set time"),
        ("PartitionTimeLimit", "more time than its partition gives"),
        ("Some<New>Reason", 'Slurm says "Some<New>Reason"'),
        ("", 'Slurm says ""'),
    ],
)
def test_reasons_in_plain_words(reason: str, words: str) -> None:
    assert words in plain(reason)


def test_nodes_that_are_down_drained_or_reserved_are_not_free() -> None:
    lines = [
        "gpu*|up|idle|g1|0/64/0/64|512000|0|gpu:a100:4(S:0-1)|gpu:a100:0(IDX:N/A)|1:00:00|2-00:00:00|",
        "gpu*|up|mixed+planned|g2|60/4/0/64|512000|500000|gpu:a100:3,gpu:v100:1|gpu:a100:3(IDX:0-2),gpu:v100:0|1:00:00|2-00:00:00|",
        "gpu*|up|idle+drain|g3|0/0/64/64|512000|0|gpu:a100:4|gpu:a100:0|1:00:00|2-00:00:00|",
        "gpu*|up|down+not_responding|g4|0/0/64/64|512000|0|gpu:a100:4|gpu:0|1:00:00|2-00:00:00|",
        "gpu*|up|idle+maint+reserved|g5|0/64/0/64|512000|0|gpu:a100:4|gpu:0|1:00:00|2-00:00:00|",
        "cloud|up|idle+cloud+powered_down|c1|0/8/0/8|16000|0|(null)|gpu:0|n/a|infinite|",
        "old|inact|idle|o1|0/8/0/8|16000|0|(null)|gpu:0|n/a|infinite|",
    ]
    found = nodes.read("\n".join(lines) + "\n", time.time())
    gpu, cloud, old = found["gpu"], found["cloud"], found["old"]
    assert (gpu.nodes, gpu.nodes_up, gpu.cpus, gpu.cpus_up, gpu.gpus, gpu.gpus_up) == (1, 2, 68, 128, 5, 8)
    assert (gpu.memory_mb, gpu.runtime_s, gpu.longest_s, gpu.default) == (512000, 3600.0, 2 * 86400.0, True)
    assert [(room.node, room.cpus, room.memory_mb, room.gpus) for room in gpu.rooms] == [("g1", 64, 512000, 4), ("g2", 4, 12000, 1)]
    assert (cloud.nodes, cloud.cpus, cloud.runtime_s, cloud.default) == (1, 8, None, False)
    assert (old.nodes_up, old.rooms) == (0, ())


def line(job_id: str, priority: int, partitions: str = "main", reason: str = "Priority", planned: str = "(null)") -> Line:
    return Line.read(f"{job_id}|PENDING|n/a|{int(time.time()) + 600}|N/A|1:00:00|{priority}|{partitions}|{planned}|ann|{reason}")


def test_places_in_the_line_are_by_priority_then_by_age_in_each_partition() -> None:
    lines = [
        line("9", 5), line("11", 5), line("7", 1, "main,gpu"), line("8", 9, "gpu"), line("5_[1-9]", 3),
        line("3", 0, reason="JobHeldUser"), line("4", 9, reason="BeginTime"),
    ]  # fmt: skip
    places = Listing({one.job_id: one for one in lines}).positions
    assert places == {"9": 1, "11": 2, "5_[1-9]": 3, "8": 1, "7": 2}


def test_nodes_are_kept_for_the_first_who_waits_for_them() -> None:
    soon = line("1", 5, planned="em[1-2]")
    later = Line.read(f"2|PENDING|n/a|{int(time.time()) + 9000}|N/A|1:00:00|4|main|em[2-3]|ann|Priority")
    planned = Listing({"1": soon, "2": later}).planned
    assert planned == {"em1": soon.start, "em2": soon.start, "em3": later.start}


def test_a_start_in_many_years_and_an_unlimited_end_are_none() -> None:
    never = Line.read(f"1|RUNNING|em1|{int(time.time()) + 10**10}|{int(time.time()) + 10**7}|UNLIMITED|1|main|(null)|ann|None")
    assert (never.start, never.end) == (None, None)
