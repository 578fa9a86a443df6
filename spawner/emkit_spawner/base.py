"""A JupyterHub server as a job.

`JobSpawner` is a `batchspawner.BatchSpawnerBase`, so a site keeps its `req_*` settings, but none of batchspawner's commands run:
jobs go through an adapter of `emkit_jobs`, and the only thing a job reports is its port (`emkit_spawner.report`).

The job's name is in the hub's database before the job exists, its id right after. So a hub that is killed at any moment finds
its jobs again: it adopts what runs or waits (`adoption`) and cancels what no server owns (`sweep`). A server is dead only when the
scheduler says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any

import aiohttp
from batchspawner import BatchSpawnerBase
from emkit_jobs.scheduler import Job, SchedulerError, State, Status, Usage
from jupyterhub import orm
from jupyterhub.utils import fmt_ip_url, make_ssl_context
from traitlets import Float, default

from emkit_spawner import adoption, events, metrics, naming
from emkit_spawner.launch import Launch, Limits
from emkit_spawner.record import Record
from emkit_spawner.refusal import StartRefused
from emkit_spawner.script import ScriptSpawner
from emkit_spawner.steps import Event, Steps
from emkit_spawner.sweep import sweep
from emkit_spawner.timer import Timer

NO_LIMIT_S = 10 * 365 * 86400


class JobSpawner(ScriptSpawner):
    """Base of the spawners of this package; a subclass says which scheduler."""

    queue_timeout_s = Float(
        0.0,
        help="""Seconds a job may wait in the queue; 0: for ever, until its user cancels it. start_timeout counts from the
        job's own start.""",
    ).tag(config=True)

    sweep_s = Float(30.0, help="Seconds between two looks for jobs of this hub that no server owns any more.").tag(config=True)

    _spawn_future: "asyncio.Task[None] | None"  # JupyterHub's: of a start that is pending or has failed

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = Steps()
        self.launch: Launch | None = None
        self._submission: asyncio.Task[str] | None = None

    async def home_kept_it_out(self) -> str:
        """After a job that ended early: why the scheduler could not begin it in the user's home; empty: that was not the reason."""
        return ""

    @property
    def job_id(self) -> str:
        return self.record.job_id

    # --- its start

    def start(self) -> "asyncio.Task[tuple[str, int]]":
        """JupyterHub reads `start_timeout` when this returns, and would end a wait in the queue by it. A `Launch` counts it."""
        limits = self._limits()
        self.steps = Steps()
        started = asyncio.create_task(self._start(limits))

        def restore(_: object) -> None:
            self.start_timeout = int(limits.start_timeout_s)

        self.start_timeout = NO_LIMIT_S
        started.add_done_callback(restore)
        return started

    def _limits(self) -> Limits:
        return Limits(self.queue_timeout_s, float(self.start_timeout), self.startup_poll_interval)

    async def _start(self, limits: Limits) -> tuple[str, int]:
        started = False
        try:
            with metrics.measured():
                await self._start_job(limits)
            started = True
        finally:
            if not started:
                self.forget_options()
        self.keep_options()
        return str(self.ip), self.port

    async def _start_job(self, limits: Limits) -> None:
        """One job, or a second one when the first could not even begin in the user's home."""
        self.home_trouble = ""
        try:
            await self._submit(self.job())
            await self.until_up(limits)
        except StartRefused as refusal:
            self.home_trouble = await self.home_kept_it_out() if refusal.reason == "job" else ""
            if not self.home_trouble:
                raise
            self.steps.add(10, f"{self.home_trouble} Trying again without your home")
            await self._submit(self.job())
            await self.until_up(limits)

    async def _submit(self, job: Job) -> None:
        self.keep_sweeping()
        token_id = orm.APIToken.find(self.db, self.api_token).id
        new = {"job_name": job.name, "token_id": token_id, "asked_at": time.time(), "why_ended": ""}
        self.record = replace(self.record.without_job(), **new)
        self._save()
        self._submission = asyncio.create_task(self.scheduler().submit(job))
        try:
            self.record.job_id = await asyncio.shield(self._submission)  # a start that is cancelled now must still learn the number
        except SchedulerError as error:
            self.record = self.record.without_job()  # nobody waits for it: if the job comes all the same, the sweep ends it
            self._save()
            raise StartRefused(f"The scheduler did not take the job: {error}", reason="scheduler", status_code=503) from error
        self._save()
        self.steps.add(20, f"Submitted as job {self.job_id}")
        self.tell("submitted", user=self.user.name, server=self.name, options=self.user_options)

    async def until_up(self, limits: Limits | None = None) -> None:
        """Returns when the server of the present job answers; StartRefused when it never will."""
        limits = limits or self._limits()
        self.port = self.record.port  # a job may have reported before the hub has heard of its number
        self.launch = Launch(self.scheduler(), self.job_id, self.steps, limits, self._answers)
        if self.port:
            self.launch.reported(self.port)
        try:
            self.ip = await self.launch.up()
            metrics.QUEUE.observe(self.launch.queued_s)
            self.tell("up", host=self.ip, queued_s=self.launch.queued_s, elapsed_s=self.steps.elapsed_s)
        except StartRefused as refusal:
            self.tell("failed", reason=refusal.reason, said=str(refusal), elapsed_s=self.steps.elapsed_s)
            raise
        finally:
            self.launch = None
        self.steps.add(90, "Server is up")

    def tell(self, event: str, **values: object) -> None:
        events.tell(self.log, event, self.record.job_name, job_id=self.job_id, **values)

    async def _answers(self, host: str) -> bool:
        certificates = make_ssl_context(*(self.user.settings.get(f"internal_ssl_{part}") for part in ("key", "cert", "ca")))
        url = f"{self._scheme}://{fmt_ip_url(host)}:{self.port}{self.server.base_url}api"
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                await session.get(url, ssl=certificates or True, allow_redirects=False)
        except (aiohttp.ClientError, TimeoutError):
            return False
        return True

    @property
    def _scheme(self) -> str:
        return "https" if self.internal_ssl else "http"

    def take_port(self, port: int) -> None:
        """The job's report (called by `emkit_spawner.report`, which has checked the job and its token)."""
        self.port = self.record.port = port
        self._save()
        if self.launch is not None:
            self.launch.reported(port)

    async def move(self) -> None:
        """The server's job was requeued and has reported anew: the database learns where it runs now."""
        async with asyncio.timeout(self.start_timeout):
            while (status := await self.status()).state is not State.RUNNING:
                await asyncio.sleep(self.startup_poll_interval)
        self.ip = status.host or self.ip
        self.serves_here()

    def serves_here(self) -> None:
        """The database learns where."""
        self.server.proto, self.server.ip, self.server.port = self._scheme, self.ip, self.port
        self._save()

    async def progress(self) -> AsyncIterator[Event]:
        async for event in self.steps.follow():
            yield event

    @default("progress_ready_hook")
    def _ready(self) -> "Callable[[JobSpawner, dict[str, Any]], dict[str, Any]]":
        return lambda spawner, event: {**event, "message": f"Ready after {spawner.steps.elapsed_s:.1f} s: opening {event['url']}"}

    async def get_url(self) -> str:
        """JupyterHub asks once for each server that it finds in its database when it starts; `poll` has said that its job lives."""
        return await adoption.adopt(self)

    # --- its life

    async def status(self) -> Status:
        return (await self.scheduler().query_many([self.job_id]))[self.job_id]

    def start_polling(self) -> None:
        """As JupyterHub's, with a timer that a jump of the clock does not stop."""
        self.stop_polling()
        if self.poll_interval > 0:
            self._poll_callback = Timer(self.poll_and_notify, self.poll_interval, self.poll_jitter)

    async def poll(self) -> int | None:
        self.keep_sweeping()
        if self._submission is not None and not self._submission.done():
            return None
        if self.record.job_name and not self.job_id:  # the hub was killed while it submitted
            try:
                self.record.job_id = (await self.scheduler().find(self.record.job_name, own=True)).get(self.record.job_name, "")
            except SchedulerError as error:
                self.log.warning("Whether %s was submitted is not known yet: %s", self.record.job_name, error)
                return None
        if not self.job_id:
            return 0
        if self.record.stopping and self._check_pending:  # the hub was killed while it stopped the server
            await self.stop()
            return 0
        status = await self.status()
        if status.state is State.UNKNOWN:
            metrics.WITHOUT_ANSWER.inc()
        if status.state is not State.FINISHED:
            return None
        await self._ended(status)
        return status.exit_code or 0

    async def _ended(self, status: Status) -> None:
        """The job is over, and nobody asked for it."""
        if self.ready:  # JupyterHub polls again before it lets the server go
            metrics.ENDED.inc()
            self.tell("ended", reason=status.reason, exit_code=status.exit_code)
        scheduler = self.scheduler()
        await scheduler.cancel(self.job_id)  # what its script may have left behind
        self._remember(await scheduler.usage(self.job_id))
        self.record.why_ended = status.reason
        self._save()

    def _remember(self, usage: Usage | None) -> None:
        if usage is not None:
            told = {"job": self.record.job_name, "profile": self.user_options.get("profile"), "ended_at": time.time()}
            self.record.remember({**told, **asdict(usage)})

    async def stop(self, now: bool = False) -> None:
        if self._submission is not None and not self._submission.done():  # cancelled in the middle of it
            await asyncio.wait({self._submission})
            if self._submission.exception() is None:
                self.record.job_id = self._submission.result()
        if not self.job_id:
            return
        self.record.stopping = True
        self._save()
        scheduler = self.scheduler()
        usage = await scheduler.usage(self.job_id)  # while it runs: not every site remembers what has ended
        try:
            await scheduler.cancel(self.job_id)
            self.tell("stopped", user=self.user.name, server=self.name)
        except SchedulerError as error:
            # the server counts as stopped, its job is owned by nobody from now on: the sweep ends it
            self.log.warning("Job %s could not be cancelled, and will be tried again: %s", self.job_id, error)
            self.tell("not stopped", said=str(error))
        self._remember(await scheduler.usage(self.job_id) or usage)

    def keep_sweeping(self) -> None:
        """One task in the hub, for as long as it lives."""
        if "emkit_sweep" not in self.user.settings:
            sweeping = sweep(self.scheduler(), self.db, naming.prefix(self._secret()), self.sweep_s, self.log)
            self.user.settings["emkit_sweep"] = asyncio.create_task(sweeping)

    # --- what the database keeps

    def _save(self) -> None:
        self.orm_spawner.state = self.get_state()
        self.db.commit()

    def get_state(self) -> dict[str, Any]:
        return self.record.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.record = Record.read(state)
        self.port = self.record.port

    def clear_state(self) -> None:
        super(BatchSpawnerBase, self).clear_state()
        self.record = self.record.without_job()
        self.port = 0
