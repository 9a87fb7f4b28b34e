"""The walls around a process: what untrusted source, and a trial of trusted tools, cannot reach.

A process of untrusted source enters its level once, when it starts, except for what only a fork can
be bound by. Each level is tried whole: a process that cannot enter it ends, and says why. A trial
is a fork of a process without walls, which builds its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import re
import resource
import signal
import stat
import sys
import tempfile
from contextlib import suppress
from enum import IntEnum
from typing import Any

from toolmaster.tools.sandbox import kernel, landlock, namespaces, seccomp


class IsolationLevel(IntEnum):
    """How far untrusted source is held off, weakest first."""

    PROCESS = 1
    """A process of its own without the owner's environment, and limits as far as the system has
    them. Holds off endless loops, floods, crashes and whatever a call does to its own interpreter.
    Does not hold off reading or writing the user's files, the network, starting programs, or ending
    the user's other processes."""
    CONFINED = 2
    """Also seccomp and Landlock (Linux 5.13 or newer, x86_64 or aarch64). Holds off new processes
    and threads, the network, signals, other processes, and every file but the interpreter, its
    packages, system libraries and the scratch folder. Of other files, existence, size and owner can
    still be asked for; the scratch folder lies on disk, nothing in it can be removed, and its size
    is looked at while a call runs instead of being fixed."""
    NAMESPACED = 3
    """Also namespaces for users, mounts, processes, network, IPC and host name, and another user id
    when started by root. No other process, network or file is visible; the kernel's version and
    the host's name are."""


SECCOMP: dict[int, seccomp.Use] = {
    IsolationLevel.CONFINED: "disk",
    IsolationLevel.NAMESPACED: "memory",
}
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
_LAST_CAPABILITY = 63
_SHARED = re.compile(rb"^(\w+)-(\w+) ...s", re.MULTILINE)
"""The bounds of shared memory in the list of a process's memory."""
MAX_SHARED = 1 << 30
"""Bytes of shared memory that a trial copies; with more there is no trial."""


def readable() -> list[str]:
    """Return what untrusted source may read, for a process that runs this interpreter."""
    paths = [*_SYSTEM, os.path.join(sys.base_prefix, "lib"), *sys.path]
    whole = sorted({path for path in paths if path.startswith("/") and path != "/"})
    return [p for p in whole if not any(p.startswith(other + "/") for other in whole)]


def enter(settings: dict[str, Any]) -> str:
    """Bring this process to the level that the settings name, in the scratch folder.

    Returns:
        The path of the scratch folder as this process sees it.

    Raises:
        OSError: the machine does not offer the level. The process is then of no more use.
    """
    scratch: str = settings["scratch"]
    level: int = settings["level"]
    if not level:
        return scratch
    limits: dict[str, Any] = settings["limits"]
    _limit(limits, tolerant=level < IsolationLevel.CONFINED)
    if level >= IsolationLevel.NAMESPACED:
        sizes = limits["scratch_mib"], limits["scratch_files"]
        namespaces.enter(readable(), DEVICES, scratch, *sizes)
        scratch = namespaces.SCRATCH
    os.chdir(scratch)
    os.environ.update(HOME=scratch, TMPDIR=scratch)
    if level >= IsolationLevel.CONFINED:
        _drop_privileges()
        seccomp.program(SECCOMP[level])  # made once, before any fork
        try:
            landlock.restrict(readable(), DEVICES, scratch)
        except OSError:
            if level < IsolationLevel.NAMESPACED:
                raise
    return scratch


def _drop_privileges() -> None:
    """Have no capability, get none by running a program, and be traced by no other process."""
    for capability in range(_LAST_CAPABILITY + 1):
        with suppress(OSError):  # unknown to this kernel, or already beyond this process
            kernel.call("prctl", kernel.PR_CAPBSET_DROP, capability, 0, 0, 0)
    kernel.drop_capabilities()
    kernel.call("prctl", kernel.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    kernel.call("prctl", kernel.PR_SET_DUMPABLE, 0, 0, 0, 0)


def _limit(limits: dict[str, Any], *, tolerant: bool) -> None:
    """Limit this process and those it forks; a tolerant one takes what the system offers."""
    for what, value in (
        (resource.RLIMIT_AS, limits["memory_mib"] << 20),
        (resource.RLIMIT_FSIZE, limits["scratch_mib"] << 20),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(what, (value, value))
        except (OSError, ValueError) as error:
            if not tolerant:
                raise OSError(f"limit {what} of {value}: {error}") from error


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends.

    Raises:
        OSError: the parent has ended already.
    """
    with suppress(OSError):  # Linux alone has it; elsewhere the owner sees to it
        kernel.call("prctl", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the process that this one works for has ended")


def bind_call(level: int, cpu_s: int, worker: int) -> None:
    """Bind the process of one call of untrusted source; it ends with the worker.

    At `cpu_s` seconds of processor time the kernel sends SIGXCPU, which ends the process and says
    why it ended. Source that ignores the signal is killed at twice as many seconds.

    Raises:
        OSError: a bound cannot be had, or the worker has ended already.
    """
    end_with(worker)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, 2 * cpu_s))
    if level >= IsolationLevel.CONFINED:
        seccomp.install(SECCOMP[level])
    else:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def bind_trial(scratch: str, kept: int) -> None:
    """Bind a fork in which a trial calls trusted tools.

    It may read files and compute, in threads too, and change its scratch folder. Descriptors that
    only read files do so from a position of their own; every other one refuses, as do the network,
    new processes and signals. Memory that was shared is its own from now on.

    Args:
        scratch: an empty folder, which becomes its folder for temporary files.
        kept: the one descriptor that stays as it is.

    Raises:
        OSError: a wall cannot be built. The process is then of no more use.
    """
    if sys.platform != "linux":
        raise OSError("the walls around a trial need Linux")
    _own_memory()
    _own_descriptors(kept)
    os.environ["TMPDIR"] = scratch
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kernel.call("prctl", kernel.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with os.scandir("/") as entries:  # no device, for to read some changes something
        files = [entry.path for entry in entries if entry.name != "dev"]
    landlock.restrict(files, DEVICES, scratch)
    seccomp.install("trial")


def _own_memory() -> None:
    """Make private copies of all memory that other processes or files would see change."""
    with open("/proc/self/maps", "rb") as maps:
        found = _SHARED.findall(maps.read())
    ranges = [(int(low, 16), int(high, 16) - int(low, 16)) for low, high in found]
    shared = [(low, size) for low, size in ranges if _can_be_written(low, size)]
    if sum(size for _, size in shared) > MAX_SHARED:
        raise OSError(f"it shares more than {MAX_SHARED >> 20} MiB of memory with others")
    for low, size in shared:
        content = ctypes.string_at(low, size)
        fixed = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | kernel.MAP_FIXED
        kernel.map_memory(low, size, mmap.PROT_READ | mmap.PROT_WRITE, fixed)
        ctypes.memmove(low, content, size)


def _can_be_written(low: int, size: int) -> bool:
    """Return whether memory can be written, which then is allowed; not if its file is only read."""
    try:
        kernel.call("mprotect", ctypes.c_void_p(low), size, mmap.PROT_READ | mmap.PROT_WRITE)
    except PermissionError:
        return False
    return True


def _own_descriptors(kept: int) -> None:
    """Replace every descriptor but one: files are read from here, everything else refuses."""
    inert = os.open("/", os.O_PATH)
    null = os.open("/dev/null", os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor in (kept, inert, null):
            continue
        try:
            kind, flags = os.fstat(descriptor), fcntl.fcntl(descriptor, fcntl.F_GETFL)
        except OSError:  # the listing's own
            continue
        harmless = stat.S_ISCHR(kind.st_mode) and kind.st_rdev == os.fstat(null).st_rdev
        if descriptor <= 2 or harmless:
            os.dup2(null, descriptor)
        elif not (stat.S_ISREG(kind.st_mode) and flags & os.O_ACCMODE != os.O_WRONLY):
            os.dup2(inert, descriptor)
        elif not flags & os.O_PATH:
            _reopen(descriptor, inert)
    os.close(inert)
    os.close(null)


def _reopen(descriptor: int, inert: int) -> None:
    """Give a descriptor of a file a position of its own and take away its right to write."""
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
        os.lseek(own, os.lseek(descriptor, 0, os.SEEK_CUR), os.SEEK_SET)
    except OSError:
        os.dup2(inert, descriptor)
        return
    os.dup2(own, descriptor)
    os.close(own)


def kill(level: int, child: int, handle: int | None) -> None:
    """End a process, and where there are no walls those that it may have started."""
    with suppress(ProcessLookupError, PermissionError):
        if level == IsolationLevel.PROCESS:
            os.killpg(child, signal.SIGKILL)
    with suppress(ProcessLookupError):
        if handle is None:
            os.kill(child, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
