"""The system calls that a confined process may make; every other fails with EPERM.

The list is what the interpreter needs for computing, and for files that Landlock or a mount
namespace confine: no new process, no socket beyond a private pair, no signal, no other process, no
change of modes, owners or limits of anything but itself.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Collection
from functools import cache
from typing import Literal

from toolmaster.tools.sandbox import kernel

Use = Literal["memory", "disk", "trial"]
"""For untrusted source whose scratch folder lies in memory of fixed size, or on disk, where it may
remove nothing, so that all it writes can be seen; for a trial, which may also start threads and
lock files."""

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the tables below, and the number by which the kernel knows the architecture."""

_ALLOWED = """
    read 0/63, write 1/64, readv 19/65, writev 20/66, pread64 17/67, pwrite64 18/68, lseek 8/62,
    close 3/57, close_range 436/436, dup 32/23, dup2 33/-, dup3 292/24, pipe 22/-, pipe2 293/59,
    stat 4/-, lstat 6/-, fstat 5/80, newfstatat 262/79, statx 332/291,
    statfs 137/43, fstatfs 138/44, access 21/-, faccessat 269/48, faccessat2 439/439, readlink
    89/-, readlinkat 267/78, getdents64 217/61, getcwd 79/17, chdir 80/49, fchdir 81/50, mkdir
    83/-, mkdirat 258/34, ftruncate 77/46, fsync 74/82, fdatasync 75/83,
    copy_file_range 326/285, sendfile 40/71, flock 73/32, fadvise64 221/223, umask 95/166, mmap
    9/222, munmap 11/215, mprotect 10/226, mremap 25/216, madvise 28/233, brk 12/214, msync
    26/227, membarrier 324/283, rt_sigaction 13/134, rt_sigprocmask 14/135, rt_sigreturn 15/139,
    rt_sigpending 127/136, rt_sigtimedwait 128/137, rt_sigsuspend 130/133, sigaltstack 131/132,
    pause 34/-, alarm 37/-, setitimer 38/103, getitimer 36/102, clock_gettime 228/113,
    clock_getres 229/114, clock_nanosleep 230/115, nanosleep 35/101, gettimeofday 96/169, time
    201/-, times 100/153, getpid 39/172, getppid 110/173, gettid 186/178, getuid 102/174,
    geteuid 107/175, getgid 104/176, getegid 108/177, getgroups 115/158, getresuid 118/148,
    getresgid 120/150, uname 63/160, sysinfo 99/179, getrusage 98/165, getrlimit 97/163,
    sched_yield 24/124, sched_getaffinity 204/123, getcpu 309/168, getrandom 318/278, futex
    202/98, set_robust_list 273/99, rseq 334/293, arch_prctl 158/-,
    set_tid_address 218/96, poll 7/-, ppoll 271/73, select 23/-, pselect6 270/72, epoll_create
    213/-, epoll_create1 291/20, epoll_ctl 233/21, epoll_wait 232/-, epoll_pwait 281/22,
    epoll_pwait2 441/441, eventfd 284/-, eventfd2 290/19, sendto 44/206, recvfrom 45/207, recvmsg
    47/212, shutdown 48/210, getsockname 51/204, getpeername 52/205, getsockopt 55/209, setsockopt
    54/208, exit 60/93, exit_group 231/94, restart_syscall 219/128
"""
"""Allowed whatever their arguments; the numbers are x86_64/aarch64."""

_REMOVING = (
    "rmdir 84/-, unlink 87/-, unlinkat 263/35, rename 82/-, renameat 264/38, renameat2 316/276"
)
"""Refused on disk: a file that is removed while it is open still takes its room, unseen."""
_FLAGS, _UNNAMED = 0x203, 0x400000
"""Open flags: the mode with O_TRUNC, which Landlock before its third version lets through where a
file is only read; O_TMPFILE."""

_Condition = tuple[int, int, tuple[int, ...]]
_CONDITIONAL: dict[str, tuple[_Condition, ...]] = {
    "fcntl 72/25": ((1, ~0, (0, 1, 2, 3, 4, 1030)),),  # duplicate, flags; not F_SETOWN: it signals
    "ioctl 16/29": ((1, ~0, (0x5401, 0x5421, 0x5450, 0x5451)),),  # non-blocking, on exec
    "prlimit64 302/261": ((0, ~0, (0,)),),  # of itself
    "socketpair 53/199": ((0, ~0, (1,)), (1, ~0, (1, 0x801, 0x80001, 0x80801))),  # local streams
    "fallocate 285/47": ((1, ~0, (0,)),),  # not KEEP_SIZE, which no limit of size sees
    "open 2/-": ((1, _FLAGS, (0, 1, 2, 3, 0x201, 0x202, 0x203)),),
    "openat 257/56": ((2, _FLAGS, (0, 1, 2, 3, 0x201, 0x202, 0x203)),),
}
"""Allowed when each of these arguments, given by index and mask, is one of the values."""

_ON_DISK: dict[str, tuple[_Condition, ...]] = {
    "open 2/-": (*_CONDITIONAL["open 2/-"], (1, _UNNAMED, (0,))),
    "openat 257/56": (*_CONDITIONAL["openat 257/56"], (2, _UNNAMED, (0,))),
}
_IN_TRIAL: dict[str, tuple[_Condition, ...]] = {
    "fcntl 72/25": ((1, ~0, (0, 1, 2, 3, 4, 5, 6, 7, 1030)),),  # locks
    "clone 56/220": ((0, ~0, (0x3D0F00, 0x7D0F00)),),  # a thread, as glibc and musl start it
}
_CLONE3 = 435
"""Refused as unknown in a trial, so that the C library starts a thread by the older call."""

_Code = list[tuple[int, int, int, int]]
_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
_KILL = 0x80000000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("code", ctypes.POINTER(_Instruction)))


def install(use: Use = "memory") -> None:
    """Filter the system calls of this process from now on. It must have no_new_privs set.

    Raises:
        OSError: the kernel has no seccomp, or the architecture no table.
    """
    kernel.call("prctl", kernel.PR_SET_SECCOMP, 2, ctypes.byref(program(use)))


@cache
def program(use: Use = "memory") -> _Program:
    """Return the filter for this machine.

    The kernel remembers what a filter of loads and comparisons answers to a number alone, so that
    its length costs nothing later.

    Raises:
        OSError: there is no table for its architecture.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(f"seccomp: no table for {machine}; there is one for x86_64 and aarch64")
    column, architecture = _ARCHITECTURES[machine]
    code: _Code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)]
    code += [(_LOAD, 0, 0, 0)]
    if use == "trial":
        code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _UNKNOWN)]
    for entry, conditions in conditional(use).items():
        if (number := _number(entry, column)) >= 0:
            body = _when(conditions)
            code += [(_EQUAL, 0, len(body), number), *body]
    code += _among({_number(entry, column) for entry in allowed(use).split(",")} - {-1})
    code += [(_RETURN, 0, 0, _ALLOW)]
    return _Program(len(code), (_Instruction * len(code))(*(_Instruction(*step) for step in code)))


def allowed(use: Use) -> str:
    """Return the calls that are allowed whatever their arguments."""
    return _ALLOWED if use == "disk" else f"{_ALLOWED}, {_REMOVING}"


def conditional(use: Use) -> dict[str, tuple[_Condition, ...]]:
    """Return the calls that are allowed with some arguments."""
    return _CONDITIONAL | {"memory": {}, "disk": _ON_DISK, "trial": _IN_TRIAL}[use]


def _number(entry: str, column: int) -> int:
    """The system call's number; -1 where the architecture has no such call."""
    text = entry.split()[1].split("/")[column]
    return -1 if text == "-" else int(text)


def _when(conditions: tuple[_Condition, ...]) -> _Code:
    """Instructions that allow a call when each argument is one of its values."""
    code: _Code = []
    for index, mask, values in conditions:
        code += [(_LOAD, 0, 0, 16 + 8 * index)]  # the lower half of the argument
        if mask != ~0:
            code += [(_AND, 0, 0, mask)]
        code += _among(values)
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _among(values: Collection[int]) -> _Code:
    """Instructions that go on when what is loaded is one of these values, and else refuse."""
    left = range(len(values), 0, -1)
    code = [(_EQUAL, after, 0, value) for after, value in zip(left, values, strict=True)]
    return [*code, (_RETURN, 0, 0, _REFUSE)]
