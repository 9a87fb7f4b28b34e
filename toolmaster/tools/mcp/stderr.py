"""The last of what a server prints on stderr, kept in memory: it may hold secrets."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_KEPT_BYTES = 8000
_SHOWN_CHARS = 300


class StderrTail:
    """Takes a process's stderr through a pipe; a thread keeps the pipe from filling up."""

    def __init__(self) -> None:
        self._tail = b""
        self._drained = threading.Event()
        self._drained.set()

    @contextmanager
    def pipe(self) -> Iterator[TextIO]:
        """The end of the pipe that the process writes to; ours is closed on leaving."""
        read_end, write_end = os.pipe()
        self._drained.clear()
        threading.Thread(target=self._drain, args=(read_end,), daemon=True).start()
        with os.fdopen(write_end, "w") as stream:
            yield stream

    async def settle(self) -> None:
        """Wait for the rest, once the process has ended and the pipe was left."""
        # A grandchild that lives on may hold the pipe open.
        await asyncio.to_thread(self._drained.wait, 1.0)

    def line(self) -> str:
        """The errors that it ends with, else its last line; empty when it printed nothing."""
        lines = [line for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower() and not line[0].isspace()]
        text = " ".join(" ".join(errors or lines[-1:]).split())
        return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} ..."

    def _drain(self, read_end: int) -> None:
        with os.fdopen(read_end, "rb", buffering=0) as stream:
            while chunk := stream.read(4096):
                self._tail = (self._tail + chunk)[-_KEPT_BYTES:]
        self._drained.set()
