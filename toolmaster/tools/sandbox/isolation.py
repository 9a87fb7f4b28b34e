"""How a worker enters an isolation level, and what binds the process of one call.

Entering happens once, when a worker starts, except for what only a call's own process can be bound
by. Each level is tried whole: a worker that cannot enter it ends, and says why.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

from toolmaster.tools.sandbox import kernel, landlock, namespaces, seccomp
from toolmaster.tools.sandbox.levels import IsolationLevel

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
CONFINED = int(IsolationLevel.CONFINED)


def readable() -> list[str]:
    """What untrusted source may read, for a worker that runs this interpreter."""
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
    limits: dict[str, Any] = settings["limits"]
    level = settings["level"]
    _limit(limits, tolerant=level < IsolationLevel.CONFINED)
    if level >= IsolationLevel.NAMESPACED:
        sizes = limits["scratch_mib"], limits["scratch_files"]
        namespaces.enter(readable(), DEVICES, scratch, *sizes)
        scratch = namespaces.SCRATCH
    os.chdir(scratch)
    os.environ.update(HOME=scratch, TMPDIR=scratch)
    if level >= IsolationLevel.CONFINED:
        _drop_privileges()
        _rehearse_seccomp()
        try:
            landlock.restrict(readable(), DEVICES, scratch)
        except OSError:
            if level < IsolationLevel.NAMESPACED:
                raise
    return scratch


def _drop_privileges() -> None:
    """No capability, none to be had by running a program, and no tracing by another process."""
    for capability in range(_LAST_CAPABILITY + 1):
        with suppress(OSError):  # unknown to this kernel, or already beyond this process
            kernel.call("prctl", kernel.PR_CAPBSET_DROP, capability, 0, 0, 0)
    kernel.drop_capabilities()
    kernel.call("prctl", kernel.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    kernel.call("prctl", kernel.PR_SET_DUMPABLE, 0, 0, 0, 0)


def _rehearse_seccomp() -> None:
    """Find out now, in a process that ends at once, whether calls can be filtered.

    Raises:
        OSError: they cannot.
    """
    seccomp.program()
    child = os.fork()
    if child == 0:
        try:
            seccomp.install()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise OSError("seccomp: not offered by this kernel")


def _limit(limits: dict[str, Any], *, tolerant: bool) -> None:
    """Limit this process and those it forks; a tolerant one takes what the system offers.

    Raises:
        OSError: the system refuses a limit.
    """
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
    with suppress(OSError):  # Linux alone has it; elsewhere the parent sees to it
        kernel.call("prctl", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the process that this one works for has ended")


def bind_call(level: int, cpu_s: int, worker: int) -> None:
    """Bind the process of one call; it can never undo this, and ends with the worker.

    At `cpu_s` seconds of processor time the kernel sends SIGXCPU, which ends the process and says
    why it ended. Source that ignores the signal is killed at twice as many seconds.

    Raises:
        OSError: a bound cannot be had, or the worker has ended already.
    """
    end_with(worker)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, 2 * cpu_s))
    if level >= CONFINED:
        seccomp.install()
    else:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def kill(level: int, child: int) -> None:
    """End a call's process, and where there is no seccomp those that it may have started."""
    if level < CONFINED:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
