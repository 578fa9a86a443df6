"""Kernels made by the fork server, each in a private scratch folder that goes with it."""

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import traitlets
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError

from emkit_hub.dashboards.confinement import Limits
from emkit_hub.dashboards.settings import DashboardSettings

PROVISIONER = "emkit-fork"
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev")


class ForkServer:
    """The fork server as the service sees it: `start` it once, then `fork` kernels."""

    def __init__(self, settings: DashboardSettings, modules: Iterable[str], environment: dict[str, str], scratch: Path) -> None:
        """`modules` are imported once for all kernels, where they start no thread."""
        self._settings = settings
        self._modules = list(modules)
        self._environment = environment
        self._scratch = scratch
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """Start the process and wait until it has imported everything."""
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        limits = Limits(self._settings.memory_gb, self._settings.disk_gb, self._settings.cpu_s)
        config = {"preload": self._modules, "limits": asdict(limits), "readable": self._readable()}
        command = [sys.executable, "-P", "-m", "emkit_hub.dashboards.forkserver", str(theirs.fileno()), json.dumps(config)]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=self._environment, cwd=self._scratch)
        theirs.close()
        if self._requests.recv(16) != b"ready":
            raise RuntimeError("the fork server ended before it was ready; its message is in the log above")

    def ended(self) -> bool:
        """True when the process is gone, and all kernels with it."""
        return self._process.poll() is not None

    async def fork(self, argv: list[str], env: dict[str, str], cwd: str) -> "ForkedProcess":
        """A new kernel process."""
        request = json.dumps({"argv": argv, "env": env, "cwd": cwd}).encode()
        async with self._turn:
            return await asyncio.to_thread(self._fork, request)

    def _fork(self, request: bytes) -> "ForkedProcess":
        self._requests.send(request)
        answer, handles, _, _ = socket.recv_fds(self._requests, 64, 1)
        if not answer:
            raise RuntimeError("the fork server is gone")
        return ForkedProcess(int(answer), handles[0])

    def _readable(self) -> list[str]:
        """Folders a kernel may read: the system, Python and its packages, the dashboards, the public data."""
        named = os.environ.get("PYTHONPATH", "").split(os.pathsep)  # not sys.path: the folder where the hub was started is on it
        python = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *(path for path in named if path)]
        imported = [*self._modules, "emkit_jobs"]  # emkit.run imports it, in workers too, which no fork server has prepared
        packages = {name.partition(".")[0] for name in imported}  # those installed as editable are not on sys.path
        specs = [importlib.util.find_spec(package) for package in sorted(packages)]
        places = [
            place
            for spec in specs
            if spec is not None
            for place in (*(spec.submodule_search_locations or ()), spec.origin)
            if place
        ]
        return [*_SYSTEM, *python, *places, *map(str, self._settings.folders), *map(str, self._settings.data_roots)]


class ForkedProcess:
    """What LocalProvisioner expects of a Popen, over a pidfd: nobody's child here, and its number cannot be reused."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, handle: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = handle

    def poll(self) -> int | None:
        """0 once the process has ended, None before; a pidfd does not tell the exit status."""
        if self.returncode is None:
            poller = select.poll()  # select() fails on file numbers over 1023, which fifty kernels reach
            poller.register(self._handle, select.POLLIN)
            if poller.poll(0):
                self.returncode = 0
                os.close(self._handle)
        return self.returncode

    def wait(self) -> int | None:
        """LocalProvisioner calls this after `poll` has answered."""
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Signal the process, if it is there."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)


class ForkProvisioner(LocalProvisioner):
    """The kernel provisioner: the command's arguments go to the fork server instead of a new interpreter."""

    server: ClassVar[ForkServer]

    @classmethod
    def register(cls, server: ForkServer) -> None:
        """Make this the provisioner of all kernels of this process, known to no other Jupyter server."""
        cls.server = server
        entry = importlib.metadata.EntryPoint(PROVISIONER, f"{__name__}:{cls.__name__}", "jupyter_client.kernel_provisioners")
        KernelProvisionerFactory.instance().provisioners[PROVISIONER] = entry
        KernelProvisionerFactory.instance().default_provisioner_name = PROVISIONER

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel; its process leads its own session."""
        process = await self.server.fork(cmd[cmd.index("-f") :], kwargs["env"], kwargs["cwd"])
        self.process: Any = process
        self.pid: Any = process.pid
        self.pgid: Any = process.pid
        return self.connection_info


class Kernels(AsyncMappingKernelManager):
    """The kernel manager: connection file, sockets, home and working folder of a kernel are one private folder."""

    scratch = traitlets.Unicode(help="Folder that holds the private folders of the kernels.").tag(config=True)
    kernel_environment = traitlets.Dict(help="Environment of every kernel.")
    folders = traitlets.Dict(help="Private folder by kernel id.")
    sessions = traitlets.Dict(help="Session that a kernel's process leads, by kernel id.")

    def pre_start_kernel(self, kernel_name: str | None, kwargs: Any) -> Any:
        """As the base class, with the connection file in the kernel's own folder."""
        manager, name, kernel_id = super().pre_start_kernel(kernel_name, kwargs)
        manager.connection_file = os.path.join(kwargs["cwd"], ".kernel.json")
        return manager, name, kernel_id

    async def open(self, kernel_id: str) -> None:
        """Start a kernel under this id."""
        folder = Path(tempfile.mkdtemp(prefix="k-", dir=self.scratch))  # short: a socket's path holds 107 characters
        self.folders[kernel_id] = folder
        home = {name: str(folder) for name in ("HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
        environment = {**self.kernel_environment, **home}
        await self.start_kernel(kernel_id=kernel_id, kernel_name="python3", env=environment, cwd=str(folder))
        provisioner = self.get_kernel(kernel_id).provisioner
        if isinstance(provisioner, ForkProvisioner):
            self.sessions[kernel_id] = provisioner.pid

    async def close(self, kernel_id: str) -> None:
        """End a kernel, with all that it started, and remove its folder."""
        if kernel_id in self:
            try:
                await self.shutdown_kernel(kernel_id, now=True)  # type: ignore[no-untyped-call]  # wrapped by a decorator without types
            except (HTTPError, KeyError):
                self.log.info("kernel %s had ended by itself", kernel_id)
        session = self.sessions.pop(kernel_id, None)
        if session is not None:
            end_session(session)
        folder = self.folders.pop(kernel_id, None)
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def end_session(session: int) -> None:
    """Kill every process of a session: what a kernel started ends with it."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getsid(int(name)) == session:
                    os.kill(int(name), signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended between the list and the question
