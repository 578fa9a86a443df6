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
    "AssociationJobLimit": "your account has as many jobs as it may: one has to end first",
    "AssociationResourceLimit": "your account has as much as it may: something of it has to end first",
    "QOSJobLimit": "your service class has as many jobs as it may: one has to end first",
    "QOSResourceLimit": "your service class has as much as it may: something has to end first",
    "AccountingPolicy": "a limit of your account is reached: ask the administrator",
    "PowerNotAvail": "there is not enough electric power for it now",
    "PowerReserved": "electric power is kept for others now",
    "JobHoldMaxRequeue": "it was requeued too often, and is held back: ask the administrator",
    "JobLaunchFailure": "its start failed: ask the administrator",
    "SystemFailure": "Slurm or a node failed: ask the administrator",
    "BurstBufferResources": "it waits for room in the burst buffer",
    "BurstBufferStageIn": "its data are being brought in",
    "SchedDefer": "Slurm will look at it in a moment",
    "Constraints": "no node has what it asks for: ask for something else",
    "DeadLine": "it cannot end before its deadline: cancel it",
    "MaxRequeue": "it was requeued too often: ask the administrator",
    "launch failed requeued held": "its start failed, and Slurm holds it back: cancel it, and tell the administrator",
}
STATES: Mapping[str, str] = {  # in which a job waits, other than PENDING
    "CONFIGURING": "its node is being prepared",
    "REQUEUED": "it was put back into the queue, and starts anew",
    "REQUEUE_FED": "it was put back into the queue, and starts anew",
    "REQUEUE_HOLD": "it was put back into the queue and is held back: ask the administrator",
    "SPECIAL_EXIT": "it was put back into the queue and is held back: ask the administrator",
    "RESV_DEL_HOLD": "its reservation was deleted, and it is held back: cancel it",
    "STOPPED": "it was stopped: ask the administrator",
    "SUSPENDED": "it is suspended while others use its node",
}
_WHAT = {
    "Cpu": "many cores", "CPU": "many cores", "Mem": "much memory", "Memory": "much memory", "Node": "many nodes",
    "GRES": "many GPUs", "Jobs": "many jobs", "SubmitJob": "many jobs", "SubmitJobs": "many jobs", "Wall": "much time",
    "WallDuration": "much time", "License": "many licences", "Billing": "much of the budget", "Energy": "much energy",
    "BB": "much burst buffer",
}  # fmt: skip
_ONE_JOB = "it asks for too {what} for one job: ask for less"
# Limits of accounting: who has reached one of them; {what} is "many cores" or "much memory"
_LIMITS = [
    (re.compile(pattern.replace("WHAT", f"(?P<what>{'|'.join(_WHAT)})") + "(Limit)?"), sentence)
    for pattern, sentence in (
        ("(QOS|Assoc)GrpWHAT(Run)?Minutes", "your group has used up its time on the cluster: ask the administrator"),
        ("(QOS|Assoc)MaxWHATMinutesPerJob", "it asks for too {what} for so long: ask for less, or for a shorter time"),
        ("(QOS|Assoc)MaxWHATPer(Job|Node)", _ONE_JOB),
        ("MaxWHATPer", _ONE_JOB),  # MaxMemPerLimit
        ("QOSMinWHAT(NotSatisfied)?", "it asks for less than a job must: ask for more"),
        ("QOSMaxWHATPerUser", "you have as {what} as one user may: something of yours has to end first"),
        ("MaxWHATPerAccount", "your account has as {what} as it may: something of it has to end first"),
        ("Assoc(Grp|Max)WHAT", "your account has as {what} as it may: something of it has to end first"),
        ("QOSGrpWHAT", "the users of your service class together have as {what} as they may: something has to end first"),
    )
]


def plain(reason: str) -> str:
    """The reason in plain words; one that is not known here is quoted.

    >>> plain("QOSMaxJobsPerUserLimit")
    'you have as many jobs as one user may: something of yours has to end first'
    >>> plain("SomethingNew")
    'Slurm says "SomethingNew"'
    """
    word = reason.partition(",")[0].strip()  # "ReqNodeNotAvail, UnavailableNodes:node[1-3]"
    if word in PLAIN:
        return PLAIN[word]
    for pattern, sentence in _LIMITS:
        if found := pattern.fullmatch(word):
            return sentence.format(what=_WHAT[found["what"]])
    return f'Slurm says "{reason}"'
