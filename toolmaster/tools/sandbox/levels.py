"""How untrusted source is held off, in levels."""

from __future__ import annotations

from enum import IntEnum


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
    still be asked for; the scratch folder lies on disk, and its size is looked at while a call runs
    instead of being fixed."""
    NAMESPACED = 3
    """Also namespaces for users, mounts, processes, network, IPC and host name, and another user id
    when started by root. Nothing else of the machine is even visible."""
