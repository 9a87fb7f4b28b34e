"""Isolation of a worker."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from enum import IntEnum
from typing import Any


class IsolationLevel(IntEnum):
    """How far untrusted source is held off, weakest first."""

    PROCESS = 1
    CONFINED = 2
    NAMESPACED = 3


def enter(settings: dict[str, Any]) -> str:
    """Isolate this process; returns the scratch folder."""
    scratch: str = settings["scratch"]
    os.chdir(scratch)
    return scratch


def bind_call() -> None:
    """Bind the process of one call."""


def kill(child: int) -> None:
    """End a call's process."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def empty(scratch: str) -> None:
    """Empty the scratch folder."""
    for entry in os.scandir(scratch):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
