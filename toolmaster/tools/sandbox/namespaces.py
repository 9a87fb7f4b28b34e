"""A worker's own view of the machine: no network, no other process, and a file tree made for it.

The tree holds the interpreter, its packages and the system's libraries, all read-only, a few
devices, and a scratch folder in memory of bounded size. There is no /proc.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable

from toolmaster.tools.sandbox import kernel

SCRATCH = "/scratch"
NOBODY = 65534
_FLAGS = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
)
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def enter(
    readable: Iterable[str], devices: Iterable[str], root: str, scratch_mib: int, files: int
) -> None:
    """Move this process into namespaces of its own, as the first process there.

    The process that called stays outside and waits; what returns is its child. Root gives up its
    user id.

    Args:
        readable: folders and files to be seen, read-only, at their own paths.
        devices: device files to be seen.
        root: an empty folder to build the tree on.
        scratch_mib: size of the scratch folder in MiB.
        files: files and folders it may hold.

    Raises:
        OSError: the machine does not allow it. The process is then of no more use.
    """
    as_root = _unshare()
    _continue_as_first_process()
    kernel.call("mount", "none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE, None)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.call("mount", "none", root, "tmpfs", flags, "size=1m,nr_inodes=1k,mode=755")
    for path in readable:
        _show(path, root, 1 | 2 | 4)  # read-only, no set-user-id, no devices
    for path in devices:
        _show(path, root, 2)
    os.mkdir(root + SCRATCH)
    user, group = (NOBODY, NOBODY) if as_root else (os.geteuid(), os.getegid())
    options = f"size={scratch_mib}m,nr_inodes={files + 1},mode=700,uid={user},gid={group}"
    kernel.call("mount", "none", root + SCRATCH, "tmpfs", flags, options)
    os.chdir(root)
    kernel.call("pivot_root", ".", ".")
    kernel.call("umount2", ".", kernel.MNT_DETACH)
    flags |= kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY
    kernel.call("mount", None, "/", None, flags, None)
    if as_root:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.call("prctl", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _unshare() -> bool:
    """Make the namespaces; returns whether root made them, without one for users."""
    if os.geteuid() == 0:
        try:
            kernel.call("unshare", _FLAGS)
        except OSError:
            pass  # root of a container, perhaps: a user namespace may still be allowed
        else:
            return True
    user, group = os.geteuid(), os.getegid()
    kernel.call("unshare", _FLAGS | kernel.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    return False


def _continue_as_first_process() -> None:
    """Fork; the child goes on. The parent waits, holds nothing open, and ends it on SIGTERM."""
    child = os.fork()
    if child == 0:
        kernel.call("prctl", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _show(path: str, root: str, attributes: int) -> None:
    """Bind what lies at `path` into the tree; what does not exist is passed over."""
    target = root + path
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    elif os.path.exists(path):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w", encoding="ascii").close()
    else:
        return
    kernel.call("mount", path, target, None, kernel.MS_BIND | kernel.MS_REC, None)
    change = _MountAttributes(attributes, 0, 0, 0)
    kernel.syscall(
        "mount_setattr",
        kernel.SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        target,
        _AT_RECURSIVE,
        ctypes.byref(change),
        ctypes.sizeof(change),
    )
