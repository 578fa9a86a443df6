"""A JupyterHub server as a job.

`JobSpawner` is a `batchspawner.BatchSpawnerBase`, so a site keeps its `req_*` settings, but none of batchspawner's commands run:
jobs go through an adapter of `emkit_jobs`, and the only thing a job reports is its port (`emkit_spawner.report`).

The job's name is in the hub's database before the job exists, its id right after. So a hub that is killed at any moment finds
its jobs again: it adopts what runs and cancels what no server owns. A server is dead only when the scheduler says so.
"""

import asyncio
import hashlib
import re
import secrets
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from batchspawner import BatchSpawnerBase
from emkit_jobs.profiles import Profile, Request, RequestError, Resources, grant
from emkit_jobs.scheduler import Job, Scheduler, SchedulerError, State, Status
from emkit_jobs.script import SESSION, Verbatim, render
from jupyterhub import orm
from jupyterhub.utils import fmt_ip_url, make_ssl_context
from traitlets import Dict, Float, Unicode, default, validate

from emkit_spawner import requested
from emkit_spawner.form import options, page
from emkit_spawner.refusal import StartRefused
from emkit_spawner.steps import Event, Steps

USER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
NOT_USED = ("exec_prefix", "batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
_CONNECT_TICK_S = 0.05


class JobSpawner(BatchSpawnerBase):
    """Base of the spawners of this package; a subclass says which scheduler."""

    profiles = Dict(
        help="""Profiles that users choose from: name → emkit_jobs.profiles.Profile or its fields.
        The first is the default. What a profile leaves open is filled from the req_* traits; without profiles there is no form.""",
    ).tag(config=True)

    home_folder = Unicode(help="Where servers start and their HOME; may hold {username}. Empty: the account's own.").tag(
        config=True
    )

    batch_script = Unicode(
        SESSION,
        help="""The job script: a Jinja template. {{command}} is the server's command line; {{prologue}} and {{epilogue}}
        are the site's text; every other req_NAME trait is {{NAME}}. Values are quoted for the shell, each as one word.""",
    ).tag(config=True)

    batchspawner_singleuser_cmd = Unicode(
        shlex.join([sys.executable, "-m", "emkit_spawner.singleuser"]),
        help="The command before the server's own: it picks the port and reports it to the hub.",
    ).tag(config=True)

    sweep_s = Float(30.0, help="Seconds between two looks for jobs of this hub that no server owns any more.").tag(config=True)

    job_name = Unicode()
    token_id: int | None = None  # of the token that the present job holds

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resources = Resources()
        self.steps = Steps()
        self.good_options: dict[str, Any] | None = None
        self._running = asyncio.Event()
        self._reported = asyncio.Event()
        self._submitting = False
        for name in NOT_USED:
            if name in self._trait_values and getattr(self, name) != type(self).class_traits()[name].default_value:
                self.log.warning("%s.%s is set, but this spawner runs no such command.", type(self).__name__, name)

    # --- what a subclass says

    def scheduler(self) -> Scheduler:
        raise NotImplementedError("A subclass says which scheduler its jobs go to.")

    # --- what the user may ask for

    @validate("profiles")
    def _read_profiles(self, proposal: Any) -> dict[str, Profile]:
        return {name: Profile.model_validate(profile) for name, profile in proposal["value"].items()}

    @default("options_form")
    def _form(self) -> "str | Callable[[JobSpawner], str]":
        return (lambda spawner: page(spawner.profiles, spawner.good_options)) if self.profiles else ""

    @default("options_from_form")
    def _form_reader(self) -> Callable[[Mapping[str, list[str]]], dict[str, object]]:
        return options

    @default("apply_user_options")
    def _apply(self) -> "Callable[[JobSpawner, dict[str, Any]], None]":
        return JobSpawner.apply_options

    def apply_options(self, asked: Mapping[str, object]) -> None:
        """Turn the user's options into resources; StartRefused says which one is refused."""
        try:
            self.resources = self._granted(Request.read(asked))
        except RequestError as error:
            self._forget_options()
            raise StartRefused(str(error), reason="options") from error

    def _granted(self, request: Request) -> Resources:
        floor = requested.resources(
            nprocs=self.req_nprocs,
            memory=self.req_memory,
            ngpus=self.req_ngpus,
            time=self.req_runtime,
            partition=self.req_partition,
            account=self.req_account,
        )
        if not self.profiles:
            if request != Request():
                raise RequestError("This hub offers no choice of resources: send no options.")
            return floor
        return floor.model_copy(update=grant(self.profiles, request).model_dump(exclude_none=True, exclude_defaults=True))

    def _forget_options(self) -> None:
        """JupyterHub keeps the options of a failed start and repeats them at the next one without options."""
        self.orm_spawner.user_options = self.good_options
        self.db.commit()

    # --- the job

    @default("req_homedir")
    def _home(self) -> str:
        return self.format_string(self.home_folder) if self.home_folder else str(Path.home())

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = super().get_env()
        return {"SHELL": "/bin/bash", **env, **self.resources.environment, "USER": self.user.name, "HOME": self.req_homedir}

    def server_command(self) -> list[str]:
        return [*shlex.split(self.batchspawner_singleuser_cmd), *self.cmd, *self.get_args()]

    def job(self) -> Job:
        """The job of this start. StartRefused for a user whose name cannot stand in it."""
        if not USER_NAME.fullmatch(self.user.name):
            raise StartRefused(
                f"A user named {self.user.name!r} cannot have a server: letters, digits and _ . @ - only.", reason="user name"
            )
        values = self.get_req_subvars()
        values |= {
            "prologue": Verbatim(values["prologue"]),
            "epilogue": Verbatim(values["epilogue"]),
            "command": self.server_command(),
        }
        readable = re.sub(r"[^A-Za-z0-9]+", "_", f"{self.user.name} {self.name}".strip())[:40]
        return Job(
            name=f"{self.job_prefix()}{readable}-{secrets.token_hex(4)}",
            script=render(self.batch_script, **values),
            folder=Path(self.req_homedir),
            environment=self.get_env(),
            resources=self.resources,
        )

    def job_prefix(self) -> str:
        """How the names of this hub's jobs begin. Another hub has another secret, so it never takes these jobs for its own."""
        secret = bytes(self.user.settings["cookie_secret"])
        return f"emkit-{hashlib.sha256(b'emkit jobs ' + secret).hexdigest()[:8]}-"

    async def start(self) -> tuple[str, int]:
        self.steps = Steps()
        started = False
        try:
            address = await self._start()
            started = True
        except SchedulerError as error:
            raise StartRefused(f"The scheduler refused the job: {error}", reason="scheduler", status_code=503) from error
        finally:
            if not started:
                self._forget_options()
        self.good_options = dict(self.user_options)
        return address

    async def _start(self) -> tuple[str, int]:
        self.port = 0
        self._running, self._reported = asyncio.Event(), asyncio.Event()
        job = self.job()
        scheduler = self.scheduler()
        self._keep_sweeping()
        self.job_name, self.job_id = job.name, ""
        self.token_id = orm.APIToken.find(self.db, self.api_token).id
        self._save()
        self._submitting = True
        try:
            self.job_id = await scheduler.submit(job)
        finally:
            self._submitting = False
        self._save()
        self.steps.add(20, f"Submitted as job {self.job_id}")
        # jupyterhub would end the wait at start_timeout without a word: say more a little earlier
        died, served = asyncio.create_task(self._death()), asyncio.create_task(self._service())
        try:
            done, _ = await asyncio.wait({died, served}, timeout=0.95 * self.start_timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            died.cancel()
            served.cancel()
        if died in done:
            raise StartRefused(f"The server's job ended before the server was up. {died.result()}", reason="job", status_code=500)
        if served not in done:
            told = await scheduler.explain(self.job_id)
            raise StartRefused(
                f"The server was not up after {self.steps.elapsed_s:.0f} s. {told}", reason="timeout", status_code=504
            )
        self.steps.add(90, "Server is up")
        return str(self.ip), self.port

    async def _status(self) -> Status:
        return (await self.scheduler().query_many([self.job_id]))[self.job_id]

    async def _death(self) -> str:
        """Returns when the job has ended: why, and how its log ends."""
        while (status := await self._status()).state is not State.FINISHED:
            if status.state is State.RUNNING and not self._running.is_set():
                self.ip = status.host
                self.steps.add(40, f"Job started on {'this machine' if status.host == '127.0.0.1' else status.host}")
                self._running.set()
            await asyncio.sleep(self.startup_poll_interval)
        return await self.scheduler().explain(self.job_id)

    async def _service(self) -> None:
        """Returns when the server at the reported port answers. (It takes connections long before that.)"""
        await self._running.wait()
        await self._reported.wait()
        self.steps.add(60, f"Server is starting at port {self.port}")
        certificates = make_ssl_context(*(self.user.settings.get(f"internal_ssl_{part}") for part in ("key", "cert", "ca")))
        scheme = "https" if self.internal_ssl else "http"
        async with aiohttp.ClientSession() as session:
            while True:
                url = f"{scheme}://{fmt_ip_url(self.ip)}:{self.port}{self.server.base_url}api"  # a requeued job has another port
                try:
                    async with session.get(url, ssl=certificates or True, allow_redirects=False):
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(_CONNECT_TICK_S)

    def take_port(self, port: int) -> None:
        """The job's report (called by `emkit_spawner.report`, which has checked the job and its token)."""
        self.port = port
        self._save()
        self._reported.set()

    async def move(self) -> None:
        """The server's job was requeued and has reported anew: the database learns where it runs now."""
        async with asyncio.timeout(self.start_timeout):
            while (status := await self._status()).state is not State.RUNNING:
                await asyncio.sleep(self.startup_poll_interval)
        self.ip = status.host
        self.server.ip, self.server.port = self.ip, self.port
        self._save()

    async def progress(self) -> AsyncIterator[Event]:
        async for event in self.steps.follow():
            yield event

    @default("progress_ready_hook")
    def _ready(self) -> "Callable[[JobSpawner, dict[str, Any]], dict[str, Any]]":
        return lambda spawner, event: {**event, "message": f"Ready after {spawner.steps.elapsed_s:.1f} s: opening {event['url']}"}

    # --- its life

    async def poll(self) -> int | None:
        self._keep_sweeping()
        if self._submitting:
            return None
        if self.job_name and not self.job_id:  # the hub was killed while it submitted
            self.job_id = (await self.scheduler().find(self.job_name)).get(self.job_name, "")
        if not self.job_id:
            return 0
        status = await self._status()
        if status.state is not State.FINISHED:
            return None
        await self.scheduler().cancel(self.job_id)  # what its script may have left behind
        return status.exit_code or 0

    async def stop(self, now: bool = False) -> None:
        if not self.job_id:
            return
        try:
            await self.scheduler().cancel(self.job_id)
        except SchedulerError as error:
            # the server counts as stopped, its job is owned by nobody from now on: the sweep ends it
            self.log.warning("Job %s could not be cancelled, and will be tried again: %s", self.job_id, error)

    async def get_url(self) -> str:
        """For a server that was still starting when the hub was killed: wait for its report."""
        if not self.port and self.job_id:
            died, reported = asyncio.create_task(self._death()), asyncio.create_task(self._service())
            await asyncio.wait({died, reported}, timeout=self.start_timeout, return_when=asyncio.FIRST_COMPLETED)
            died.cancel()
            reported.cancel()
            self.server.ip, self.server.port = self.ip, self.port
            self.db.commit()
        return str(self.server.url)

    def _keep_sweeping(self) -> None:
        """One task in the hub, for as long as it lives."""
        if "emkit_sweep" not in self.user.settings:
            self.user.settings["emkit_sweep"] = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        """End the jobs of this hub that no server in its database owns: it was killed, or the scheduler was, at a bad moment.

        The scheduler's own list is the ledger: what it does not confirm as gone is found again at the next round.
        """
        while True:
            try:
                scheduler = self.scheduler()
                found = await scheduler.find(self.job_prefix())
                owned = {(spawner.state or {}).get("job_name") for spawner in self.db.query(orm.Spawner)}
                for name, job_id in found.items():
                    if name not in owned:
                        self.log.warning("Cancelling job %s: it is this hub's, but no server owns it", job_id)
                        await scheduler.cancel(job_id)
            except SchedulerError as error:
                self.log.warning("Jobs that nobody owns are looked for again in %g s: %s", self.sweep_s, error)
            await asyncio.sleep(self.sweep_s)

    # --- what the database keeps

    def _save(self) -> None:
        self.orm_spawner.state = self.get_state()
        self.db.commit()

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.job_name:
            state |= {"job_name": self.job_name, "token_id": self.token_id, "port": self.port}
        if self.good_options is not None:
            state["good_options"] = self.good_options
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.job_name = state.get("job_name", "")
        self.token_id = state.get("token_id")
        self.port = state.get("port", 0)
        self.good_options = state.get("good_options")

    def clear_state(self) -> None:
        super().clear_state()
        self.job_name, self.token_id, self.port = "", None, 0
