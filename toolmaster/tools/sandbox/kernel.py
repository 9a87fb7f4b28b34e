"""Calls of the Linux kernel that Python's standard library does not offer, through ctypes."""

from __future__ import annotations

import ctypes
import os
from functools import cache

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT = 1, 2, 4, 32
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38

MAP_FIXED = 0x10

# The same numbers on every architecture: these calls are younger than the split tables.
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE_RULESET, SYS_LANDLOCK_ADD_RULE, SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """Call a function of the C library that returns -1 and sets errno when it fails.

    Raises:
        OSError: it failed, or this system's C library lacks it.
    """
    function = getattr(_libc(), name, None)
    if function is None:
        raise OSError(f"{name}: not offered by this system")
    return _checked(name, function(*(_argument(value) for value in arguments)))


def syscall(what: str, number: int, *arguments: object) -> int:
    """Make a system call by number; `what` names it in the OSError that is raised if it fails."""
    values = [_argument(value) for value in arguments]
    return _checked(what, _libc().syscall(ctypes.c_long(number), *values))


def map_memory(address: int, size: int, rights: int, flags: int) -> None:
    """Map memory at an address; an OSError says that it failed."""
    function = _libc().mmap
    function.restype = ctypes.c_void_p
    places = ctypes.c_void_p(address), ctypes.c_size_t(size)
    if function(*places, rights, flags, -1, ctypes.c_long(0)) != address:
        raise OSError(ctypes.get_errno(), "mmap")


class _CapabilityHead(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def drop_capabilities() -> None:
    """Give up every capability of this process."""
    head, none = _CapabilityHead(0x20080522, 0), (ctypes.c_uint32 * 6)()
    call("capset", ctypes.byref(head), none)


def _argument(value: object) -> object:
    """Integers as wide as a register; text as bytes."""
    if isinstance(value, int):
        return ctypes.c_long(value)
    return value.encode() if isinstance(value, str) else value


def _checked(what: str, result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
