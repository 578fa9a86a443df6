"""What Jupyter calls to start and end a kernel, for kernels that are jobs.

- One kernel is one job, submitted once. What ends the job ends the kernel, with the reason; only a new kernel is a new job.
- A kernel that dies while its job lives, or is restarted, starts again in place: same node, same allocation.
- A scheduler that does not answer kills nobody. Restart, interrupt and shutdown reach the node without it.
- CurveZMQ always. The keys are made here and travel in files of mode 0600 alone.
"""

import asyncio
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import zmq
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Scheduler, SchedulerError, State
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Dict, Enum, Float, Unicode

from emkit_spawner.kernels import orphans, story, submission
from emkit_spawner.kernels.arrival import WATCH_S, Arrival, KernelNotStarted, explain, look
from emkit_spawner.kernels.launcher import PORTS, read, write
from emkit_spawner.kernels.record import Owner, Place, Record

KEPT_VARIABLES = ("JPY_SESSION_NAME",)  # of the server's environment, which holds tokens, a kernel gets nothing else
LOOK_RUNNING_S = 15.0  # between two questions to the scheduler
VERDICT_S = 10.0  # by then the scheduler knows why a job ended whose launcher has
CANCEL_S = 15.0  # to see a job end; what takes longer is left to the sweep


class NodeProvisioner(KernelProvisionerBase):
    """Entry point `emkit-node`. Its traits come from the kernelspec that `emkit_spawner.kernels.install` wrote."""

    scheduler = Enum(["slurm", "local"], "slurm", help="Where jobs go: a Slurm, or this machine.").tag(config=True)
    slurm_conf = Unicode(help="Slurm's configuration file, where it is not at its usual place.").tag(config=True)
    resources = Dict(help="What a kernel's job gets: fields of emkit_jobs.profiles.Resources.").tag(config=True)
    python = Unicode(help="Interpreter on the nodes that runs the launcher: 3.9 or newer.").tag(config=True)
    prologue = Unicode(help="Shell text of the site's, before the kernel starts.").tag(config=True)
    folder = Unicode(
        "~/.local/share/emkit/kernels",
        help="Where each kernel has its folder, 0700, on a file system that servers and nodes share.",
    ).tag(config=True)
    server_host = Unicode(
        help="The server's host as nodes see it: kernels listen at the interface towards it. Empty: its own name."
    ).tag(config=True)
    queue_timeout_s = Float(7 * 86400.0, help="Give up and cancel a job that has waited this long.").tag(config=True)
    start_timeout_s = Float(120.0, help="Give up and cancel when a kernel does not listen this long after its job began.").tag(
        config=True
    )
    grace_s = Float(60.0, help="How long a job without a kernel is kept for a restart.").tag(config=True)

    parent: Any  # the KernelManager
    record: Record | None = None
    death = ""  # why there is no kernel any more, set once
    _taken_back = _given_back = False
    _document = ""
    _asked_at = _ended_at = 0.0

    @property
    def root(self) -> Path:
        return Path(self.folder).expanduser()

    @property
    def home(self) -> Path:
        """This kernel's own folder."""
        return self.root / str(self.kernel_id)

    @property
    def in_server(self) -> bool:
        """Whether a Jupyter server started it; a program such as papermill has no event log."""
        return hasattr(self.parent, "event_logger")

    def jobs(self) -> Scheduler:
        return Place(self.scheduler, self.slurm_conf).open(self.root)

    # --- starting

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        manager = self.parent
        extra = kwargs.pop("extra_arguments", [])
        kwargs = await super().pre_launch(**kwargs)
        if self.in_server and (document := kwargs["env"].get("JPY_SESSION_NAME")):
            root = manager.parent.root_dir
            self._document = Path(document).relative_to(root).as_posix() if Path(document).is_relative_to(root) else ""
        if self.record is None:
            me, left = Owner.me(server=self.in_server), Record.read(self.home)
            if left is not None and left.owner.gone(me) and not left.over:
                self._take_back(replace(left, owner=me))
            elif manager.curve_publickey is None:
                manager.curve_publickey, manager.curve_secretkey = zmq.curve_keypair()
            if not self.in_server:
                await orphans.sweep(self.root, me, self.log)
        return {**kwargs, "cmd": [*self.kernel_spec.argv, *extra]}

    def _take_back(self, record: Record) -> None:
        """Continue a kernel, or a waiting job, of a server that is gone."""
        manager, seed = self.parent, read(self.home / "seed.json")
        manager.session.key = seed["key"].encode()
        manager.curve_publickey, manager.curve_secretkey = (seed[f"curve_{part}key"].encode() for part in ("public", "secret"))
        Path(manager.connection_file).unlink(missing_ok=True)  # an old one that is equal would keep the manager from loading it
        self.record, self._taken_back = record, True
        self._note()

    async def post_launch(self, **kwargs: Any) -> None:
        if (restarter := self._restarter()) is not None:
            restarter.random_ports_until_alive = False  # a restarted kernel keeps its ports, which pages are connected to

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        if self.death:
            raise KernelNotStarted(409, f"{self.death} Its job is over: start a new kernel to submit another.")
        started = False
        try:
            if self.record is None:
                await self._submit(cmd, kwargs)
            elif not self._taken_back:
                self._note(start=self.record.start + 1)
                self._order("run", **self._surroundings(kwargs))
            self._taken_back = False
            status = await self._listening()
            started = True
        finally:
            if not started:
                await self._give_back()
        self._order("run", claimed=True)
        self._tell("running", f"Running on {status['host']}.")
        manager = self.parent
        found: Any = {
            "transport": "tcp",
            "ip": status["ip"],
            **{port: status[port] for port in PORTS},
            "signature_scheme": "hmac-sha256",
            "key": manager.session.key,
            "curve_publickey": manager.curve_publickey.decode(),
            "curve_secretkey": manager.curve_secretkey.decode(),
        }
        self.connection_info = found
        return self.connection_info

    def _surroundings(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """What may differ from start to start: the notebook can be moved."""
        env = {name: kwargs["env"][name] for name in KEPT_VARIABLES if name in kwargs["env"]}
        return {"cwd": str(kwargs.get("cwd") or Path.cwd()), "env": env}

    async def _submit(self, cmd: list[str], kwargs: dict[str, Any]) -> None:
        manager = self.parent
        seed = {
            "command": cmd,
            "grace_s": self.grace_s,
            "server_host": self.server_host or ("127.0.0.1" if self.scheduler == "local" else socket.gethostname()),
            "key": manager.session.key.decode(),
            "curve_publickey": manager.curve_publickey.decode(),
            "curve_secretkey": manager.curve_secretkey.decode(),
        }
        place, owner = Place(self.scheduler, self.slurm_conf), Owner.me(server=self.in_server)
        try:
            submission.prepare(self.home, seed)
            self.record = Record(str(self.kernel_id), manager.kernel_name, place, owner, self.in_server)
            self._order("run", **self._surroundings(kwargs))
            self._note()  # before the job exists: its name finds it if we die in between
        except OSError as error:
            self._die(f"The kernel's folder {self.home} cannot be written: {error.strerror}. Make room, or set `folder`.")
            raise KernelNotStarted(507, self.death) from error
        resources = Resources.model_validate(self.resources)
        job = submission.job(self.record.job_name, self.home, self.python, self.prologue, {**self.kernel_spec.env}, resources)
        try:
            self._note(job_id=await self.jobs().submit(job))
        except SchedulerError as error:
            self._die(f"The scheduler refused the kernel's job: {error}")
            raise KernelNotStarted(503, self.death) from error

    async def _listening(self) -> dict[str, Any]:
        """The launcher's report of this start. KernelNotStarted with the reason when there will be none."""
        assert self.record is not None
        arrival = Arrival(
            self.jobs(),
            self.record.job_id,
            self.record.made_at,
            self.queue_timeout_s,
            self.start_timeout_s,
            report=self._status,
            deleted=lambda: self.parent.ready.cancelled(),  # by jupyter_server, when it deletes one that has not started
            tell=self._tell,
        )
        if isinstance(found := await arrival.outcome(), str):
            self._die(found)
            raise KernelNotStarted(503, found)
        return found

    # --- its life

    @property
    def has_process(self) -> bool:
        return self.record is not None and not self.death

    async def poll(self) -> int | None:
        """None while it lives or may live; else the kernel's exit code, or 1 when its job is over."""
        if self.record is None or self.death:
            return 1
        status, now = self._status(), time.monotonic()
        if status.get("state") == "exited":
            return int(status["code"])
        ended = status.get("state") == "ended"
        if ended or now - self._asked_at > LOOK_RUNNING_S:
            self._asked_at = now
            jobs, job_id = self.jobs(), self.record.job_id
            if (await look(jobs, job_id)).state is State.FINISHED:
                self._die(await explain(jobs, job_id, "The kernel's job is over."))
        if ended and not self.death:
            self._ended_at = self._ended_at or now
            if now - self._ended_at > VERDICT_S:
                self._die("The kernel's job has ended; the scheduler does not say why.")
        if not self.death:
            return None
        await self._give_back()
        return 1

    async def wait(self) -> int | None:
        while (code := await self.poll()) is None:
            await asyncio.sleep(WATCH_S)
        return code

    async def send_signal(self, signum: int) -> None:
        """Interrupts are messages (`interrupt_mode`); what ends a kernel is an order to its launcher."""
        if signum in (signal.SIGTERM, signal.SIGKILL):
            await self.kill()
        else:
            self.log.warning("Signal %d cannot be sent to kernel %s on its node", signum, self.kernel_id)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and not its job: jupyter_client says restart=False here even when a restart follows."""
        self._order("kill")

    async def terminate(self, restart: bool = False) -> None:
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        if not restart:
            await self._give_back()

    # --- its end

    def _die(self, why: str) -> None:
        """The job is over. Jupyter is told not to restart the kernel, which would submit another job."""
        if self.death:
            return
        self.death = why
        self.log.warning("Kernel %s is dead: %s", self.kernel_id, why)
        self._tell("dead", why)
        if self.in_server:
            self.parent.execution_state = "dead"
        if (restarter := self._restarter()) is not None:
            restarter.restart_limit = 0

    def _restarter(self) -> Any:
        """Jupyter's, which polls a server's kernels; a program has none. There is no public way to it."""
        return getattr(self.parent, "_restarter", None)

    async def _give_back(self) -> None:
        """End the job, unless another server has taken the kernel over."""
        left = Record.read(self.home)
        if self.record is None or self._given_back or (left is not None and left.owner != self.record.owner):
            return
        died, self.death = bool(self.death), self.death or "The kernel was shut down."
        try:
            self._note(over=True)
            async with asyncio.timeout(CANCEL_S):
                await orphans.end(self.root, self.record, self.record.owner, keep_log=died)
            self._given_back = True
        except (SchedulerError, OSError) as error:  # OSError: out of time, or a file system that is away
            self.log.warning("Job %s is not known to have ended, and is tried again: %s", self.record.job_id, error)
        if not died:
            self._tell("gone", self.death)

    # --- what is written and read

    def _status(self) -> dict[str, Any]:
        """The launcher's last word on the present start of the kernel; {} before it."""
        found = read(self.home / "status.json")
        return found if self.record is not None and found.get("start") == self.record.start else {}

    def _order(self, do: str, **more: Any) -> None:
        if self.record is not None:
            write(self.home / "order.json", {"start": self.record.start, "do": do, **more})

    def _note(self, **changes: Any) -> None:
        if self.record is not None:
            self.record = replace(self.record, **changes)
            self.record.write(self.home)

    def _tell(self, state: story.State, text: str, **more: Any) -> None:
        job_id = self.record.job_id if self.record is not None else ""
        story.tell(self.parent, state, text, job_id=job_id, document=self._document, **more)
