"""Landlock: which files a process and its children may touch from now on.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from toolmaster.tools.sandbox import kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _TRUNCATE
_CHANGE = _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER
_FILE_RIGHTS = _EXECUTE | _WRITE | _READ_FILE

_HANDLED_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many file rights each version of the interface knows; 16 from version 5 on."""
_BOTH = 3
"""Both rights of a group: bind and connect TCP; abstract sockets and signals."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict(readable: Iterable[str], devices: Iterable[str], scratch: str) -> None:
    """Allow reading below `readable`, reading and writing `devices`, and changing `scratch`.

    Everything else that Landlock knows is refused: other files, TCP, and signals and abstract
    sockets that leave this process and its children. Paths that do not exist are passed over.

    Raises:
        OSError: the kernel does not offer it. The process must have no_new_privs set.
    """
    known = kernel.syscall("landlock", kernel.SYS_LANDLOCK_CREATE_RULESET, None, 0, 1)  # version
    handled = (1 << _HANDLED_BITS.get(known, 16)) - 1
    rules = _Ruleset(handled, _BOTH if known >= 4 else 0, _BOTH if known >= 6 else 0)
    size = ctypes.sizeof(rules)
    ruleset = kernel.syscall(
        "landlock", kernel.SYS_LANDLOCK_CREATE_RULESET, ctypes.byref(rules), size, 0
    )
    try:
        for path in readable:
            _allow(ruleset, path, _READ & handled)
        for path in devices:
            _allow(ruleset, path, (_READ | _WRITE) & handled)
        _allow(ruleset, scratch, (_READ | _CHANGE) & handled)
        kernel.syscall("landlock", kernel.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if os.path.isdir(path) else rights & _FILE_RIGHTS
        rule = _PathBeneath(rights, parent)
        kernel.syscall("landlock", kernel.SYS_LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
