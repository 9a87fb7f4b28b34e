"""`WorkerProcess`: the owner's end of one worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Self

from toolmaster.errors import InputError
from toolmaster.tools.sandbox import scratch
from toolmaster.tools.sandbox.levels import IsolationLevel
from toolmaster.tools.sandbox.limits import SandboxLimits
from toolmaster.tools.sandbox.wire import ANSWER, CALL, Status

START = """
import sys, types
folder = sys.argv[1]
for depth, name in enumerate(("toolmaster", "toolmaster.tools", "toolmaster.tools.sandbox")):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [folder.rsplit("/", 2 - depth)[0]]
from toolmaster.tools.sandbox import worker
worker.main()
"""
"""Program text that loads the worker by the folder it lies in, without the packages around it."""

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""All of a worker's environment: nothing is inherited, and results do not hang on the machine."""

START_S = 60.0
"""Seconds a worker may take to start."""
END_S = 10.0
"""Seconds a worker may take to end before it is killed."""


class WorkerProcess:
    """One worker process, the connection to it and its scratch folder.

    Args:
        level: the isolation level it is to enter.
        limits: what one call may use.

    Raises:
        InputError: the interpreter cannot be started.
    """

    def __init__(self, level: IsolationLevel, limits: SandboxLimits) -> None:
        self._scratch = tempfile.mkdtemp(prefix="toolmaster-")
        self._connection, theirs = socket.socketpair()
        self._connection.setblocking(False)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._ended = False
        settings = {
            "connection": theirs.fileno(),
            "level": level,
            "limits": limits.model_dump(),
            "packages": sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")}),
            "scratch": self._scratch,
        }
        interpreter = [sys.executable, "-s", "-P", "-S", "-B", "-X", "utf8", "-c", START]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*interpreter, str(Path(__file__).parent), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            self._connection.close()
            os.rmdir(self._scratch)
            raise InputError(f"the worker did not start: {error}") from error
        finally:
            theirs.close()

    @classmethod
    async def start(cls, level: IsolationLevel, limits: SandboxLimits) -> Self:
        """Start a worker and wait until it is ready.

        Raises:
            InputError: it cannot be started at this level.
        """
        if not hasattr(os, "fork"):
            raise InputError("workers need a system that can fork: Linux, macOS, or Linux in WSL")
        started = cls(level, limits)
        try:
            connection = await asyncio.open_connection(sock=started._connection)
            started._reader, started._writer = connection
            async with asyncio.timeout(START_S):
                status, body = await started._answer()
        except (TimeoutError, asyncio.IncompleteReadError):
            text = await started.close()
            raise InputError(f"the worker did not start: {text or 'no answer'}") from None
        except BaseException:
            await started.close()
            raise
        if status is not Status.READY:
            await started.close()
            raise InputError(body.decode())
        return started

    async def call(
        self, source: bytes, request: bytes, timeout_s: float, *, compiled: bool
    ) -> tuple[Status, bytes]:
        """Send a call and wait for its answer.

        Args:
            source: the source, or what an earlier call has compiled of it.
            request: the call's JSON text.
            timeout_s: seconds to wait.
            compiled: whether the source is compiled already.

        Raises:
            TimeoutError, asyncio.IncompleteReadError, ConnectionError: there is none; the worker is
                to be closed.
        """
        assert self._writer is not None  # noqa: S101 - `start` made it
        self._writer.writelines([CALL.pack(compiled, len(source), len(request)), source, request])
        async with asyncio.timeout(timeout_s):
            return await self._answer()

    def ended(self) -> bool:
        """Whether it can take no further call."""
        return self._ended or self._process.poll() is not None

    async def _answer(self) -> tuple[Status, bytes]:
        head = await self._reader.readexactly(ANSWER.size)
        status, self._ended, size = ANSWER.unpack(head)
        return Status(status), await self._reader.readexactly(size)

    async def close(self) -> str:
        """End the process and remove what it leaves; returns the last line of its complaints."""
        self._process.terminate()
        if self._writer is not None:
            self._writer.close()
        self._connection.close()
        return await asyncio.to_thread(self._clear)

    def _clear(self) -> str:
        try:
            _, complaints = self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            _, complaints = self._process.communicate()
        scratch.remove(self._scratch)  # where the keeper could not
        lines = complaints.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
