"""Slurm's reasons for a wait (`squeue --format=%r`, sbatch(1) "JOB REASON CODES") in words for people who do not know Slurm."""

import re
from collections.abc import Mapping

# Reasons for which a job is in no line: nothing ahead of it has to end first
NOT_IN_LINE = re.compile(r"JobHeld|BeginTime|Dependency|PartitionDown|PartitionInactive|AccountNotAllowed|QOSNotAllowed|Licenses")

PLAIN: Mapping[str, str] = {
    "None": "Slurm has not looked at it yet",
    "Priority": "others are before it in the queue",
    "Resources": "it is next, and waits for enough free resources",
    "Cleaning": "what it left at an earlier start is being cleaned up",
    "Prolog": "its node is being prepared",
    "NodesNotReady": "its node is being prepared",
    "BeginTime": "it may not start before a set time",
    "Dependency": "it waits for another job to end",
    "DependencyNeverSatisfied": "it waits for another job that can never end well: cancel it",
    "JobHeldUser": "its owner holds it back (scontrol release lets it go)",
    "JobHeldAdmin": "an administrator holds it back: ask them",
    "JobArrayTaskLimit": "too many tasks of its array run already",
    "Licenses": "no licence that it needs is free",
    "PartitionDown": "its partition is closed at the moment",
    "PartitionInactive": "its partition is closed at the moment",
    "PartitionNodeLimit": "it asks for more nodes than its partition gives to a job: ask for less",
    "PartitionTimeLimit": "it asks for more time than its partition gives to a job: ask for less",
    "PartitionConfig": "its partition does not give what it asks for: ask for less",
    "BadConstraints": "no node has what it asks for: ask for something else",
    "NodeDown": "a node that it needs is down",
    "ReqNodeNotAvail": "a node that it needs is down, drained or reserved (often for maintenance: a shorter time may start before)",
    "Reservation": "it waits for its reservation",
    "ReservationDeleted": "its reservation was deleted: cancel it",
    "FrontEndDown": "the cluster's front end is down",
    "InvalidAccount": "its account is not valid: choose another, or ask the administrator",
    "AccountNotAllowed": "its account may not use this partition",
    "InvalidQOS": "its quality of service is not valid: ask the administrator",
    "QOSNotAllowed": "its quality of service may not use this partition",
    "QOSTimeLimit": "it asks for more time than its quality of service gives: ask for less",
    "QOSUsageThreshold": "the use of its quality of service has passed a threshold",
    "AssociationTimeLimit": "it asks for more time than its account gives: ask for less",
    "AssocMaxJobsLimit": "your account runs as many jobs as it may: one has to end first",
    "BurstBufferResources": "it waits for room in the burst buffer",
    "BurstBufferStageIn": "its data are being brought in",
    "SchedDefer": "Slurm will look at it in a moment",
    "Constraints": "no node has what it asks for: ask for something else",
    "DeadLine": "it cannot end before its deadline: cancel it",
    "MaxRequeue": "it was requeued too often: ask the administrator",
    "launch failed requeued held": "its start failed, and Slurm holds it back: cancel it, and tell the administrator",
}
_WHAT = {
    "Cpu": "cores", "CPU": "cores", "Mem": "memory", "Memory": "memory", "Node": "nodes", "GRES": "GPUs", "Gres": "GPUs",
    "Jobs": "jobs", "Job": "jobs", "Submit": "submitted jobs", "Wall": "time", "Billing": "its budget", "License": "licences",
}  # fmt: skip
# AssocGrpCpuLimit, QOSMaxJobsPerUserLimit, QOSMaxCpuPerUserLimit, AssocGrpCPUMinutesLimit, QOSMaxGRESPerUser, MaxMemPerLimit …
_LIMIT = re.compile(
    r"(?P<of>QOS|Assoc)?(?P<kind>Grp|Max|Min)?(?P<what>CPU|Cpu|Memory|Mem|Node|GRES|Gres|Jobs|Job|Submit|Wall|Billing|License)s?"
    r"(?P<time>RunMinutes|Minutes)?(?P<per>Per\w*?)?(?:Limit)?"
)


def plain(reason: str) -> str:
    """The reason in plain words; one that is not known here is quoted.

    >>> plain("QOSMaxJobsPerUserLimit")
    'you run as many jobs as one user may: one of yours has to end first'
    >>> plain("AssocGrpCpuLimit")
    'your account uses as many cores as it may: something of it has to end first'
    >>> plain("SomethingNew")
    'Slurm says "SomethingNew"'
    """
    word = reason.partition(",")[0].strip()  # "ReqNodeNotAvail, UnavailableNodes:node[1-3]"
    if word in PLAIN:
        return PLAIN[word]
    found = _LIMIT.fullmatch(word)
    return _limit(found) if found else f'Slurm says "{reason}"'


def _limit(found: re.Match[str]) -> str:
    what, per = _WHAT[found["what"]], found["per"] or ""
    if found["kind"] == "Min":
        return f"it asks for fewer {what} than a job must: ask for more" if what != "memory" else "it asks for too little memory"
    if found["time"]:
        return "your group has used up its time on the cluster: ask the administrator"
    if found["kind"] == "Max" and (per.startswith(("PerJob", "PerNode", "PerLimit")) or what == "time"):
        return f"it asks for more {what} than one job may have: ask for less"
    if found["kind"] == "Max" and not per and what not in ("jobs", "submitted jobs"):
        return f"it asks for more {what} than one job may have: ask for less"
    many = "much" if what in ("memory", "time") else "many"
    if per.startswith("PerUser") or (found["kind"] == "Max" and not per):
        verb = "run" if what == "jobs" else "use"
        return f"you {verb} as {many} {what} as one user may: one of yours has to end first"
    whose = "users of this service class together" if found["of"] == "QOS" and not per else "your account"
    verb = "use" if whose.startswith("users") else "uses"
    return f"{whose} {verb} as {many} {what} as it may: something of it has to end first"
