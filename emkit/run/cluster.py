"""Tasks on the workers of a dask scheduler: the only place where emkit touches dask (`pip install emkit[cluster]`).

Dask carries tasks there and answers back, and knows which workers there are. Dealing out, trying again and cancelling are ours,
as everywhere: a batch is bound to one worker, which does it in a process of its own (`emkit.run.pool`), so that a cancelled task
ends at once, threads are pinned, and a task that dies takes no dask worker along. A worker that is lost costs its tasks one try;
they are then tried elsewhere, if there is an elsewhere.
"""

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self
from uuid import uuid4

import dask
from dask.context import thread_state
from dask_jobqueue.slurm import SLURMCluster
from distributed import Client, Future, KilledWorker, Security, get_worker
from distributed.comm.addressing import get_address_host
from distributed.comm.core import CommClosedError
from emkit_jobs.offered import Offer
from emkit_jobs.scheduler import State

from emkit.errors import ParameterError, ResourceError
from emkit.progress import PERIOD_S
from emkit.provenance import versions
from emkit.run import jobs
from emkit.run.executor import TRIES, Answer, Tasks, Unbegun, Work, WorkerDied
from emkit.run.machine import ADDRESS
from emkit.run.pool import Pool
from emkit.run.worker import Done, Failed

CONNECT_S = 10.0
LOOK_S = 0.5  # between two questions which workers there are
REPLACE_S = 3.0  # between two looks for worker jobs that are gone
AT_WORK = ("running", "paused", "closing_gracefully")
PLAIN_PATH = re.compile(r"[\w/.,+@=-]+")  # dask-jobqueue writes paths into its script as they are
DEFAULT_MEMORY = "1 GiB"  # dask-jobqueue wants a number also where the site is to decide; then it is not asked for


def look(address: str) -> tuple[int, int, int | None]:
    """How many workers a scheduler has, how many tasks they do at once, and the memory for one of these, where they know."""
    with _client(address) as client:
        workers = client.scheduler_info()["workers"].values()
    if not workers:
        raise ResourceError(f"on: the dask scheduler at {address} has no workers now. Start some, or choose another place.")
    limits = [worker["memory_limit"] // worker["nthreads"] for worker in workers if worker["memory_limit"]]
    return len(workers), sum(worker["nthreads"] for worker in workers), min(limits, default=None)


def do_batch(work: Work, tasks: dict[str, tuple[Any, ...]], folder: str) -> list[Answer]:
    """On a dask worker: the tasks, in a process that stands in `folder`; ended as soon as nobody wants them any more."""
    worker, key, answers = get_worker(), thread_state.key, list[Answer]()
    os.environ[ADDRESS] = get_address_host(worker.address)
    with _slot() as number, Pool(1, threads=1, folder=folder, first=number) as pool:
        pool.begin(work, tasks)
        while len(answers) < len(tasks) and _is_wanted(worker, key):
            answers += pool.answers(PERIOD_S)
    return answers


_slots: set[int] = set()
_choosing = threading.Lock()


@contextmanager
def _slot() -> Iterator[int]:
    """The least number that no other thread of this dask worker has."""
    with _choosing:
        number = min(set(range(len(_slots) + 1)) - _slots)
        _slots.add(number)
    try:
        yield number
    finally:
        with _choosing:
            _slots.remove(number)


def _is_wanted(worker: Any, key: str) -> bool:
    """Dask frees a task when its client cancels it, or is gone; what runs in a thread goes on unless it looks."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing" and worker.status.name in AT_WORK


class Dask:
    """An executor: the workers of the scheduler at `address`, each with as many tasks at once as it has threads."""

    batch_s = 0.25

    def __init__(self, address: str) -> None:
        self.address = address
        self.threads: dict[str, int] = {}  # of each worker, by its address
        self.busy: dict[Future[list[Answer]], tuple[str, list[str]]] = {}
        self.failed_at: dict[str, set[str]] = {}  # a task's key: the workers where it failed
        self.peaks: Counter[tuple[str, int]] = Counter()
        self.ended: SimpleQueue[Future[list[Answer]]] = SimpleQueue()
        self.looked = 0.0

    def __enter__(self) -> Self:
        self.client = _client(self.address)
        self._check_versions()
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self.client.close()

    def end(self) -> None:
        with suppress(OSError, TimeoutError):  # a scheduler that is gone has ended them
            self.client.cancel(list(self.busy))
        self.busy = {}

    @property
    def size(self) -> int:
        return max(1, sum(self.threads.values()))

    @property
    def peak_bytes(self) -> int:
        return sum(sorted(self.peaks.values())[-self.size :])

    def free(self) -> bool:
        return len(self.busy) < sum(self.threads.values())

    def has_room(self, tasks: int) -> bool:
        return tasks <= sum(self.threads.values())

    def begin(self, work: Work, tasks: Tasks) -> None:
        taken = Counter(address for address, _ in self.busy.values())
        avoided = set().union(*(self.failed_at.get(key, ()) for key in tasks))
        with_room = [address for address, threads in self.threads.items() if taken[address] < threads]
        address = min(with_room, key=lambda one: (one in avoided, taken[one] / self.threads[one]))
        future = self.client.submit(
            do_batch, work, dict(tasks), os.getcwd(), key=f"emkit-{uuid4().hex}", workers=[address], allow_other_workers=False,
        )  # fmt: skip
        self.busy[future] = address, list(tasks)
        future.add_done_callback(self.ended.put)

    def answers(self, timeout_s: float) -> list[Answer]:
        found: list[Answer] = []
        with suppress(Empty):
            found += self._of(self.ended.get(timeout=timeout_s))
            while True:
                found += self._of(self.ended.get_nowait())
        if time.monotonic() - self.looked > LOOK_S:
            self._look()
            for future, (address, _) in list(self.busy.items()):
                if address not in self.threads and not future.done():
                    found += self._lost(future)
        return found

    def _of(self, future: Future[list[Answer]]) -> list[Answer]:
        """What has come of a batch; nothing where it has been given up before."""
        if future not in self.busy:
            return []
        if future.status == "error" and isinstance(future.exception(), KilledWorker):
            return self._lost(future)
        address, keys = self.busy.pop(future)
        if future.status == "error":
            return [self._failed(address, Failed(key, future.exception(), "")) for key in keys]
        if future.status != "finished":
            return [Unbegun(key) for key in keys]
        answers: list[Answer] = future.result()
        future.release()
        for answer in answers:
            if isinstance(answer, Done):
                slot = address, len([one for one, _ in self.busy.values() if one == address])
                self.peaks[slot] = max(self.peaks[slot], answer.peak_bytes)
            elif isinstance(answer, Failed):
                self._failed(address, answer)
        told = {answer.key for answer in answers}
        return [*answers, *(Unbegun(key) for key in keys if key not in told)]

    def _lost(self, future: Future[list[Answer]]) -> list[Answer]:
        """A batch whose worker is gone."""
        address, keys = self.busy.pop(future)
        self.client.cancel([future])
        died = WorkerDied(f"its dask worker {address} is gone (too little memory, perhaps)")
        return [self._failed(address, Failed(key, died, "")) for key in keys]

    def _failed(self, address: str, answer: Failed) -> Failed:
        self.failed_at.setdefault(answer.key, set()).add(address)
        return answer

    def _look(self) -> None:
        try:
            self.threads = self.client.nthreads()
        except (OSError, TimeoutError) as error:
            raise ResourceError(
                f"The dask scheduler at {self.address} does not answer any more ({error}). What is done is kept: "
                "emkit resume goes on, with another scheduler or --on local."
            ) from error
        self.looked = time.monotonic()

    def _check_versions(self) -> None:
        """Other versions may give other bytes."""
        try:
            there = self.client.run(versions)
        except ImportError as missing:
            raise ResourceError(
                f"on: a dask worker of {self.address} has no emkit: {missing}. It needs the same environment."
            ) from None
        for address, found in there.items():
            if wrong := [
                f"{name} {found.get(name)}, here {value}" for name, value in versions().items() if found.get(name) != value
            ]:
                raise ResourceError(f"on: the dask worker {address} has {'; '.join(wrong)}. It needs the same environment.")


class Jobs(Dask):
    """An executor: `count` jobs of a profile, each with one dask worker; submitted by dask-jobqueue, replaced when they are gone.

    A worker leaves by itself before its job's time limit, each at another time, so that they do not all leave at once; what it
    is doing then is done by another, and that is no try. `log` is a folder for what the jobs say.
    """

    def __init__(self, offer: Offer, count: int, log: Path) -> None:
        super().__init__("")
        if not PLAIN_PATH.fullmatch(str(log)):
            raise ParameterError(
                f"on: worker jobs need a folder of runs without blanks and signs, found {log}. Set EMKIT_RUNS_DIR."
            )
        self.offer, self.count, self.log = offer, count, log
        runtime = offer.resources.runtime
        self.runtime_s = runtime.total_seconds() if runtime else None
        self.seen: dict[str, float] = {}  # since when a worker is there
        self.replaced = 0  # since the last time that there was one
        self.corrected = time.monotonic()

    def __enter__(self) -> Self:
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"})  # before a job counts as gone
        self.log.mkdir(exist_ok=True)
        self.cluster = self._cluster()
        self._correct()
        self.client = Client(self.cluster, timeout=CONNECT_S, set_as_default=False)
        self.address = self.cluster.scheduler_address
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.cluster.close()

    def has_room(self, tasks: int) -> bool:
        """The first job that comes might have threads for all of them, and GPUs only for its own."""
        return super().has_room(tasks) and len(self.threads) >= min(self.count, tasks)

    def _look(self) -> None:
        super()._look()
        for address in self.threads:
            self.seen.setdefault(address, time.monotonic())
        if self.threads:
            self.replaced = 0
        if len(self.threads) < self.count and time.monotonic() - self.corrected > REPLACE_S:
            self._replace()

    def _lost(self, future: Future[list[Answer]]) -> list[Answer]:
        address, keys = self.busy[future]
        if self.runtime_s and time.monotonic() - self.seen[address] >= _lifetime_s(self.runtime_s)[0]:
            self.busy.pop(future)
            self.client.cancel([future])
            return [Unbegun(key) for key in keys]
        return super()._lost(future)

    def _replace(self) -> None:
        """Of jobs that have ended there are new ones: dask keeps the number only of those whose worker it has seen."""
        self.corrected = time.monotonic()
        for name, job in list(self.cluster.workers.items()):
            facts = {"id": job.job_id, "slurm_conf": self.offer.slurm_conf}
            if job.job_id and (found := jobs.look(facts)).state is State.FINISHED:
                self.replaced += 1
                if self.replaced > TRIES * self.count:
                    raise ResourceError(f"No job of workers comes up: {found.words}. What they said is in {self.log}")
                self.cluster.workers.pop(name, None)
        self._correct()

    def _correct(self) -> None:
        """Submit what is missing of `count` jobs."""
        self.cluster.scale(jobs=self.count)  # type: ignore[no-untyped-call]

    def _cluster(self) -> SLURMCluster:
        resources, extra, skipped = self.offer.resources, ["--no-requeue"], []
        if resources.gpus:
            extra.append(f"--gpus={resources.gpus}")
        if resources.qos:
            extra.append(f"--qos={resources.qos}")
        if resources.memory_mb is None:
            skipped.append("#SBATCH --mem=")
        walltime, more = "1:00:00", ["--no-dashboard"]
        if self.runtime_s is None:
            skipped.append("#SBATCH -t ")
        else:
            shortest, stagger = _lifetime_s(self.runtime_s)
            walltime = f"{int(self.runtime_s) // 60}:{int(self.runtime_s) % 60:02}"
            more += ["--lifetime", f"{shortest + stagger:.0f}s", "--lifetime-stagger", f"{stagger:.0f}s"]
        return SLURMCluster(
            cores=resources.cpus or 1,
            processes=1,
            memory=f"{resources.memory_mb} MiB" if resources.memory_mb else DEFAULT_MEMORY,
            queue=resources.partition,
            account=resources.account,
            walltime=walltime,
            job_name=f"emkit-workers-{self.log.parent.name}",
            job_extra_directives=extra,
            job_directives_skip=skipped,
            job_script_prologue=[self.offer.prologue],
            worker_extra_args=more,
            log_directory=str(self.log),
            shared_temp_directory=str(self.log),
            security=Security.temporary(),  # or anybody on the network could give it work
            scheduler_options={"host": jobs.own_address(self.offer.slurm_conf), "dashboard": False, "dashboard_address": ":0"},
            silence_logs="error",
        )


def _lifetime_s(runtime_s: float) -> tuple[float, float]:
    """The least time after which a worker leaves by itself, and half the span over which they leave."""
    stagger = runtime_s / 20
    return runtime_s - min(60.0, runtime_s / 10) - 2 * stagger, stagger


def _client(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, CommClosedError) as error:
        raise ResourceError(f"on: no dask scheduler answers at {address} within {CONNECT_S:.0f} s ({error}).") from error
