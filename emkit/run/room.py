"""What a place gives to a run, whether a plan fits into it, and who does the tasks there."""

import os
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from math import prod
from pathlib import Path
from typing import Any

from emkit_jobs.offered import Offer, OfferError, offers
from emkit_jobs.profiles import Resources

from emkit.errors import ParameterError
from emkit.run.executor import Executor, Serial
from emkit.run.machine import cores, memory_left
from emkit.run.place import KNOWN, LOCAL, Place
from emkit.run.plan import Plan, in_words
from emkit.run.pool import Pool

BASE_BYTES = 300_000_000  # of a driver and its workers in a job, before they do anything
NURSERY_BYTES = 150_000_000  # of that, the process that workers are forked from, with torch; measured
MB = 2**20


@dataclass(frozen=True)
class Room:
    """What a place gives to a run. Where workers have memory of their own, `worker_bytes` is that of each; None: nobody knows.

    These stand on so many `nodes` (jobs, or workers of dask), as many on each: one without work leaves its memory to them.
    """

    words: str
    workers: int
    cores: int = 0  # that the workers share; 0: each has one
    memory_bytes: int | None = None  # for the driver, and for the workers too that have none of their own
    worker_bytes: int | None = None
    apart: bool = False  # workers have memory of their own
    nodes: int = 1
    runtime_s: float | None = None

    def takes(self, plan: Plan) -> Plan:
        """The plan with as many tasks at once as fit here, one at least."""
        if self.apart:
            return replace(plan.spread(self.workers), memory_bytes=plan.memory_bytes)
        return plan.fitted(self.workers, self.memory_bytes) if self.memory_bytes is not None else plan.spread(self.workers)

    def threads_of(self, workers: int) -> int:
        """Of each worker, so that all together take the cores."""
        return max(1, self.cores // max(1, workers))

    def lacks(self, plan: Plan) -> str:
        """Why the plan cannot be run here, even with as few tasks at once as can be, in numbers; empty where it can."""
        if plan.least > self.workers:
            return f"The run needs {plan.least} tasks at the same time; {self.words} does {self.workers} at once."
        least = plan.memory_bytes if self.apart else plan.spread(plan.least).memory_bytes
        if self.memory_bytes is not None and least > self.memory_bytes:
            alone = "" if self.apart else ", with one task at a time" if plan.least == 1 else f", with {plan.least} tasks at once"
            return f"The run needs {in_words(least)} of memory{alone}; {self.words} has {in_words(self.memory_bytes)}."
        if self.worker_bytes is not None:
            of_node = self.worker_bytes * (self.workers // self.nodes)
            at_once = [(-(-min(load.tasks, self.workers) // self.nodes), load.task_bytes) for load in plan.stages]
            count, task = max(at_once, key=prod, default=(0, 0))
            if count * task > of_node:
                tasks = "A task needs" if count == 1 else f"{count} tasks at once need"
                return f"{tasks} {in_words(count * task)} of memory; a worker of {self.words} has {in_words(of_node)}."
        longest = max((load.task_s for load in plan.stages), default=0)
        if self.runtime_s is not None and longest > self.runtime_s:
            return f"A task takes {longest:,.0f} s; {self.words} lasts {self.runtime_s:,.0f} s."
        return ""


def room(place: Place, offer: Offer | None = None) -> Room:
    """What there is at a place, asked now. ParameterError or ResourceError where there is no such place."""
    match place.kind:
        case "serial":
            return Room("this process", 1, cores(), memory_left())
        case "local":
            return Room("this machine", place.count or cores(), cores(), _left_to_workers())
        case "slurm":
            return _room_of_jobs(place, offer or offer_of(place))
        case "dask":
            from emkit.run.cluster import look

            nodes, workers, worker_bytes = look(place.name)
            return Room(f"the dask scheduler at {place.name}", workers, 0, memory_left(), worker_bytes, apart=True, nodes=nodes)


@dataclass(frozen=True)
class Placed:
    """A plan at a place: how it would be run there, `plan` with as many tasks at once as fit."""

    place: Place
    room: Room
    plan: Plan
    offer: Offer | None  # of a job

    def facts(self) -> dict[str, Any]:
        """What the run's folder tells of it."""
        return {"place": str(self.place), "workers": self.plan.workers, "threads": self.room.threads_of(self.plan.workers)}

    def requests(self) -> dict[str, Any]:
        """What is asked for of a scheduler, as JSON: `offer` is for the run's own job, `worker_offer` for those of its workers."""
        if not self.offer:
            return {"offer": None, "worker_offer": None}
        if not self.place.count:
            resources = self.offer.resources if self.place.name else _asked(self.offer.resources, self.plan)
            return {"offer": replace(self.offer, resources=resources).facts(), "worker_offer": None}
        driver = _asked(self.offer.resources, replace(self.plan, workers=1)).model_copy(update={"gpus": 0})
        return {"offer": replace(self.offer, resources=driver).facts(), "worker_offer": self.offer.facts()}

    def executor(self, log: Path) -> Executor:
        """The hands that do the tasks, in the process that drives the run: of a job that is its own. `log`: for what jobs say."""
        if self.place.kind == "serial":
            return Serial()
        if self.place.kind == "dask":
            from emkit.run.cluster import Dask

            return Dask(self.place.name)
        if self.place.kind == "slurm" and self.place.count and self.offer:
            from emkit.run.cluster import Jobs

            return Jobs(self.offer, self.place.count, log)
        return Pool(self.plan.workers, self.room.threads_of(self.plan.workers))


def placed(plan: Plan, place: Place, offer: Offer | None = None, *, driver: bool = False) -> Placed:
    """The plan as it would be run there; `driver`: in the job that this process is in. `offer`: of the job, where it is known.

    What cannot fit says so, with the numbers and the nearest place where it fits: the gate refuses it.
    """
    if place.kind == "slurm":
        offer = offer or offer_of(place)
    found = room(place, offer)
    if driver:
        given = memory_left() if found.memory_bytes is None else min(memory_left(), found.memory_bytes)
        here = Room("its job", cores(), cores(), given)
        found = replace(found, memory_bytes=memory_left()) if found.apart else here
    fitted, lacking = found.takes(plan), found.lacks(plan)
    words = told(plan, fitted, place, found)
    return Placed(place, found, replace(fitted, where=words, lacking=lacking and f"{lacking} {_nearest(plan, place)}"), offer)


def default_place(*, detached: bool) -> Place:
    """Where nobody has said anything: here. A job cannot outlive its allocation, so what is to go on is a job of its own there."""
    return Place("slurm") if detached and in_a_job() else LOCAL


def places() -> list[str]:
    """Those that can be chosen here by name. ParameterError where a site's file of profiles cannot be read."""
    return ["local", *(["slurm"] if in_a_job() else []), *(f"slurm:{name}" for name in _slurm_offers())]


def told(plan: Plan, fitted: Plan, place: Place, found: Room) -> str:
    """Where a plan would run, with how many workers, and what each needs of what there is."""
    task = max((load.task_bytes for load in plan.stages), default=0)
    threads = f", {count} threads each" if (count := found.threads_of(fitted.workers)) > 1 else ""
    workers = f"{fitted.workers} tasks at once{threads}" if fitted.workers > 1 else f"one task at a time{threads}"
    each = f"; each needs {in_words(task)}" if task else ""
    has = found.worker_bytes if found.apart else found.memory_bytes
    there = "" if has is None else f", a worker has {in_words(has)}" if found.apart else f"; there are {in_words(has)}"
    limit = ""
    if found.runtime_s is not None:
        limit = f"; for {timedelta(seconds=found.runtime_s)} at most"
        if fitted.seconds > found.runtime_s:
            limit += ", then interrupted: emkit resume goes on"
    return f"on {place} ({found.words}): {workers}{each}{there}{limit}"


def offer_of(place: Place) -> Offer:
    """The profile that a place of Slurm's names, or the job that this process is in where it names none."""
    if not place.name:
        return _like_this_job()
    known = _slurm_offers()
    if place.name not in known:
        there = f"this site offers {', '.join(known)}" if known else "this site offers none"
        raise ParameterError(f"on: found {place}, but there is no profile {place.name!r}; {there}.")
    return known[place.name]


def in_a_job() -> bool:
    """Whether this process lives in a job of Slurm's that may submit others, such as a hub's server there."""
    return bool(os.environ.get("SLURM_JOB_ID") and shutil.which("sbatch"))


def _left_to_workers() -> int:
    """Of the memory here, once the process stands that they are forked from: it is begun after the plan has passed."""
    return max(0, memory_left() - NURSERY_BYTES)


def _asked(like: Resources, fitted: Plan) -> Resources:
    """No more than the plan needs."""
    memory_mb = -(-(fitted.memory_bytes + BASE_BYTES) // MB)
    return like.model_copy(update={"cpus": max(1, fitted.workers), "memory_mb": memory_mb})


def _slurm_offers() -> dict[str, Offer]:
    try:
        return {name: offer for name, offer in offers().items() if offer.scheduler == "slurm"}
    except OfferError as error:
        raise ParameterError(f"on: {error}") from error


def _like_this_job() -> Offer:
    """Of the same partition and account, and as long; what a run has asked of it is put in by its plan."""
    if not in_a_job():
        raise ParameterError(f"on: found slurm, a job like the one that this is in; but this is in none. Needed: one of {KNOWN}.")
    from emkit.run import jobs

    given = os.environ
    resources = Resources(
        cpus=int(given.get("SLURM_CPUS_ON_NODE", "1")),
        memory_mb=int(memory) if (memory := given.get("SLURM_MEM_PER_NODE", "")).isdigit() and int(memory) else None,
        runtime=jobs.time_limit(given["SLURM_JOB_ID"]),
        partition=given.get("SLURM_JOB_PARTITION") or None,
        account=given.get("SLURM_JOB_ACCOUNT") or None,
        qos=given.get("SLURM_JOB_QOS") or None,
    )  # fmt: skip
    return Offer(resources, slurm_conf=given.get("SLURM_CONF", ""))


def _room_of_jobs(place: Place, offer: Offer) -> Room:
    resources = offer.resources
    each, runtime = resources.cpus or 1, resources.runtime
    seconds = runtime.total_seconds() if runtime else None
    memory = max(0, resources.memory_mb * MB - BASE_BYTES) if resources.memory_mb else None
    what = f"profile {place.name}" if place.name else "like this one"
    if place.count:
        apart = memory // each if memory else None
        words = f"{place.count} jobs, {what}"
        return Room(words, place.count * each, worker_bytes=apart, apart=True, nodes=place.count, runtime_s=seconds)
    return Room(f"a job of its own, {what}", each, each, memory, runtime_s=seconds)


def _nearest(plan: Plan, place: Place) -> str:
    """The smallest profile that the plan fits into, or this machine."""
    rooms = {name: _room_of_jobs(Place("slurm", name), offer) for name, offer in _slurm_offers().items()}
    if fitting := [(found.memory_bytes, name) for name, found in rooms.items() if found.memory_bytes and not found.lacks(plan)]:
        memory, name = min(fitting)
        return f"The nearest that has enough: --on slurm:{name}, {in_words(memory)}."
    here = room(LOCAL)
    if place.kind != "local" and not here.lacks(plan):
        return f"The nearest that has enough: --on local, {in_words(_left_to_workers())}."
    return "Close other programs, or start it where there is more."
