"""Keeps a forked Python object from reaching outside itself while a trial calls it.

A copy of an object that names a file still names the same file. So while a method runs on a copy,
Python's own audit events are watched, and what would write, connect, start something or remove
something is refused before it happens. It is a net for honest code, not a wall against hostile
code, which belongs into `tools.sandbox`. Not seen are connections and files that are open already,
threads that the code starts, and C libraries that open connections of their own.

Source: https://docs.python.org/3/library/audit_events.html
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from toolmaster.tools.tool import ToolRefusal

_isolated: ContextVar[bool] = ContextVar("isolated", default=False)
_REFUSED = frozenset(
    (
        *(f"os.{name}" for name in ("chdir", "chflags", "chmod", "chown", "exec", "fork")),
        "os.forkpty",
        *(f"os.{name}" for name in ("kill", "killpg", "link", "lockf", "mkdir", "posix_spawn")),
        *(f"os.{name}" for name in ("putenv", "remove", "removexattr", "rename", "rmdir")),
        *(f"os.{name}" for name in ("setxattr", "spawn", "startfile", "symlink", "system")),
        *(f"os.{name}" for name in ("truncate", "unsetenv", "utime")),
        *(f"socket.{name}" for name in ("bind", "connect", "sendmsg", "sendto")),
        *("pty.spawn", "sqlite3.connect", "subprocess.Popen"),
    )
)
_IMPORTING = frozenset(("open", "os.mkdir", "os.remove", "os.rename"))
"""What an import does to the folder of compiled files."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ReachedOutside(ToolRefusal):
    """Raised out of code that reaches outside the copy that it works on."""


def reached_outside(error: BaseException | None) -> bool:
    """Return whether a tool failed because it reached outside its copy, in its own words or not."""
    while error is not None and not isinstance(error, ReachedOutside):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def isolated() -> Iterator[None]:
    """Refuse what reaches outside, in this task or thread only, while the context lasts.

    Raises:
        ReachedOutside: out of the code that tries it.
    """
    _install()
    token = _isolated.set(True)
    try:
        yield
    finally:
        _isolated.reset(token)


@lru_cache(maxsize=1)
def _install() -> None:
    """Watch this process, once: an audit hook cannot be taken away."""
    sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if (event in _REFUSED or event == "open") and _isolated.get():
        if _harmless(event, arguments):
            return
        what = _subject(event, arguments) if arguments else ""
        raise ReachedOutside(
            "a trial runs on a copy, and nothing outside it may change; refused:"
            f" {event} {what}".rstrip()
        )


def _subject(event: str, arguments: tuple[Any, ...]) -> str:
    """What is acted on: the address of a connection, or else the first argument."""
    if not event.startswith("socket."):
        return str(arguments[0])
    address = arguments[1] if len(arguments) > 1 else ""
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)


def _harmless(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether nothing that stays comes of it."""
    if event == "open":
        path, flags = arguments[0], arguments[2]
        seen_before = isinstance(path, int)
        if seen_before or not (isinstance(flags, int) and flags & _WRITING):
            return True
    if event == "sqlite3.connect":
        return bool(arguments[0] == ":memory:")
    paths = arguments[: 2 if event == "os.rename" else 1]
    return event in _IMPORTING and all(_compiled(path, event) for path in paths)


def _compiled(path: Any, event: str) -> bool:
    """Whether a path is in a folder of compiled files, or is to become one."""
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    folder, name = os.path.split(os.fsdecode(path))
    made = event == "os.mkdir" and name == "__pycache__"
    return made or os.path.basename(folder) == "__pycache__"
