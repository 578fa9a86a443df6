"""What one kernel may use and reach: resource limits, no privileges, and Landlock where the system has it (Linux 5.13 and later).

Landlock takes rights away from a process for good, even from root: files outside the granted folders cannot be opened, no TCP
connection is made, no other process is signalled or traced. It binds one thread and the threads and processes that this one
starts, so `confine` is called while there is only one.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same number on every architecture
_RULE_PATH_BENEATH = 1
_CAPABILITY_VERSION_3 = 0x20080522
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # all that a rule for a single file may grant
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many file rights each version of the interface knows
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
_RESERVED_GB = 1.0  # address space that threads reserve for stacks and arenas, and hardly use
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Limits:
    """Per kernel: GiB of memory and of one file, seconds of processor time."""

    memory_gb: float
    disk_gb: float
    cpu_s: int


def hide() -> None:
    """Nobody of this account may trace this process or read its memory and environment."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit(limits: Limits) -> None:
    """Bind this process, and all it starts, to its limits, without privileges; it dies with its parent."""
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()  # RLIMIT_AS counts what the fork server had mapped
    for what, value in (
        (resource.RLIMIT_AS, mapped + int((limits.memory_gb + _RESERVED_GB) * 2**30)),
        (resource.RLIMIT_FSIZE, int(limits.disk_gb * 2**30)),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 1024),
    ):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # the fork server hides itself: until then /proc/self of its children is root's
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("900")  # when memory runs out, a kernel goes before the hub
    os.nice(5)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    hide()
    _drop_capabilities()


def _drop_capabilities() -> None:
    """A service that runs as root leaves its kernels no more than root's files: else they read every process's environment."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, struct.pack("6I", *[0] * 6)), "capset")


def landlock_version() -> int:
    """The version of Landlock here; 0 where there is none."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def confine(readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Leave this thread only these folders and files, and no network; returns False where Landlock is missing."""
    version = landlock_version()
    if not version:
        return False
    handled = (1 << _FS_RIGHTS[min(version, 5)]) - 1
    attributes = struct.pack("QQQ", handled, 3, 3)[: 24 if version >= _SCOPES_SINCE else 16 if version >= _NETWORK_SINCE else 8]
    ruleset = _checked(_libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    for paths, rights in ((readable, _EXECUTE | _READ_FILE | _READ_DIR), (writable, handled)):
        for path in paths:
            _grant(ruleset, path, rights & handled)
    _checked(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    os.close(ruleset)
    return True


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # what cannot be reached needs no leave
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, handle)
    _checked(_libc.syscall(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint32(0)))
    os.close(handle)


def _checked(result: int, call: str = "Landlock") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result
