"""Keeps a forked Python object from reaching outside itself while a trial calls it.

A copy of an object that names a file still names the same file. So while a method runs on a copy,
Python's own audit events are watched, and what would write, connect, start something or remove
something is refused before it happens. It is a net for honest code, not a wall against hostile
code, which belongs into `tools.sandbox`; handles that globals hold open, and threads that are
started, are not seen.

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
        *(f"os.{name}" for name in ("chflags", "chmod", "chown", "exec", "fork", "forkpty")),
        *(f"os.{name}" for name in ("kill", "killpg", "link", "lockf", "mkdir", "posix_spawn")),
        *(f"os.{name}" for name in ("putenv", "remove", "removexattr", "rename", "rmdir")),
        *(f"os.{name}" for name in ("setxattr", "spawn", "startfile", "symlink", "system")),
        *(f"os.{name}" for name in ("truncate", "unsetenv", "utime")),
        *(f"socket.{name}" for name in ("bind", "connect", "sendmsg", "sendto")),
        *("pty.spawn", "sqlite3.connect", "subprocess.Popen"),
    )
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@contextmanager
def isolated() -> Iterator[None]:
    """Refuse what reaches outside, in this task or thread only, while the context lasts.

    Raises:
        ToolRefusal: out of the code that tries it.
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
        what = str(arguments[0]) if arguments else ""
        # Importing writes into __pycache__.
        harmless = what == ":memory:" or "__pycache__" in what
        if event == "open":
            seen_before = isinstance(arguments[0], int)
            flags = arguments[2]
            harmless |= seen_before or not (isinstance(flags, int) and flags & _WRITING)
        if not harmless:
            raise ToolRefusal(
                "a trial runs on a copy, and nothing outside it may change; refused:"
                f" {event} {what}".rstrip()
            )
