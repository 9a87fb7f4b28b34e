"""`Sandbox`: a pool of warm workers that run untrusted Python source."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from toolmaster.errors import InputError
from toolmaster.tools.sandbox import worker
from toolmaster.tools.sandbox.isolation import IsolationLevel
from toolmaster.tools.sandbox.limits import LimitBroken, SandboxLimits
from toolmaster.tools.sandbox.wire import ANSWER, CALL, MAX_CALL, Status
from toolmaster.tools.tool import Tool, ToolRefusal
from toolmaster.types import Effect

START_S = 30.0
"""Seconds a worker may take to start."""
GRACE_S = 5.0
"""Seconds beyond the wall limit after which a worker that does not answer is replaced."""


class Worker:
    """One worker process and the connection to it."""

    def __init__(
        self, process: subprocess.Popen[bytes], connection: socket.socket, scratch: str
    ) -> None:
        self._process = process
        self._connection = connection
        self._scratch = scratch
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, level: IsolationLevel, limits: SandboxLimits) -> Worker:
        """Start a worker at a level.

        Raises:
            InputError: it cannot be started at this level.
        """
        scratch = tempfile.mkdtemp(prefix="toolmaster-")
        ours, theirs = socket.socketpair()
        settings = {
            "connection": theirs.fileno(),
            "level": level,
            "limits": limits.model_dump(),
            "packages": sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")}),
            "scratch": scratch,
        }
        folder = str(Path(__file__).parent)
        command = [sys.executable, "-s", "-P", "-S", "-B", "-c", worker.START, folder]
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={"LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "TZ": "UTC"},
            start_new_session=True,
        )
        theirs.close()
        started = cls(process, ours, scratch)
        try:
            ours.setblocking(False)
            started._reader, started._writer = await asyncio.open_connection(sock=ours)
            async with asyncio.timeout(START_S):
                status, body = await started._answer()
        except BaseException:
            await started.close()
            raise
        if status is not Status.READY:
            await started.close()
            raise InputError(body.decode())
        return started

    async def call(self, source: bytes, call: bytes, timeout_s: float) -> tuple[Status, bytes]:
        """Send a call and wait for its answer."""
        self._writer.writelines([CALL.pack(len(source), len(call)), source, call])
        async with asyncio.timeout(timeout_s):
            return await self._answer()

    async def _answer(self) -> tuple[Status, bytes]:
        status, size = ANSWER.unpack(await self._reader.readexactly(ANSWER.size))
        return Status(status), await self._reader.readexactly(size)

    async def close(self) -> None:
        """Kill the process and remove what it leaves."""
        self._process.kill()
        if hasattr(self, "_writer"):
            self._writer.close()
        self._connection.close()
        await asyncio.to_thread(self._process.wait)
        shutil.rmtree(self._scratch, ignore_errors=True)


class Sandbox:
    """Runs untrusted Python source in warm worker processes.

    Args:
        limits: what one call may use.
        workers: how many calls run at once; None for one a processor.
        minimum: the isolation level below which untrusted source is refused.
    """

    def __init__(
        self,
        limits: SandboxLimits | None = None,
        *,
        workers: int | None = None,
        minimum: IsolationLevel = IsolationLevel.CONFINED,
    ) -> None:
        self.limits = limits or SandboxLimits()
        self.level = IsolationLevel.PROCESS
        self._minimum = minimum
        self._count = workers or os.cpu_count() or 1
        self._slots: asyncio.Queue[Worker | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        for _ in range(self._count):
            self._slots.put_nowait(await Worker.start(self.level, self.limits))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _ in range(self._count):
            held = await self._slots.get()
            if held is not None:
                await held.close()

    async def call(self, source: str, function: str, arguments: dict[str, Any]) -> Any:
        """Run one call.

        Args:
            source: Python source that defines the function.
            function: its name.
            arguments: passed by name; JSON values.

        Returns:
            What the function returned, as a JSON value; what JSON has no form for, as text.

        Raises:
            ToolRefusal: the source raised, or broke a limit (`LimitBroken`); one line says how.
        """
        code = source.encode("utf-8", "surrogatepass")
        call = json.dumps({"function": function, "arguments": arguments}).encode()
        if len(code) + len(call) > MAX_CALL:
            raise ToolRefusal(
                f"source and arguments take {len(code) + len(call)} bytes; {MAX_CALL} are allowed"
            )
        held = await self._slots.get()
        answered = False
        try:
            held = held or await Worker.start(self.level, self.limits)
            status, body = await held.call(code, call, self.limits.wall_s + GRACE_S)
            answered = True
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            raise LimitBroken("process", "the worker was lost; it has been replaced") from None
        finally:
            if not answered and held is not None:
                await held.close()
            self._slots.put_nowait(held if answered else None)
        return _result(status, body, self.limits)

    def tool(
        self, *, name: str, description: str, parameters: dict[str, Any], source: str, function: str
    ) -> Tool:
        """A tool that runs a function of untrusted source.

        Args:
            name: what the policy calls it.
            description: documentation shown to the policy.
            parameters: JSON schema of the arguments.
            source: Python source that defines the function.
            function: its name.
        """

        async def execute(_state: Any, arguments: dict[str, Any]) -> Any:
            return await self.call(source, function, arguments)

        return Tool(name, description, parameters, execute, Effect.READ)


def _result(status: Status, body: bytes, limits: SandboxLimits) -> Any:
    """The value of an answer.

    Raises:
        ToolRefusal: the call has none.
    """
    match status:
        case Status.WALL:
            raise LimitBroken("wall_s", f"no answer within {limits.wall_s:g} s")
        case Status.CPU:
            raise LimitBroken("cpu_s", f"more than {limits.cpu_s} s of processor time")
        case Status.RESULT:
            raise LimitBroken("result_kib", f"the result is larger than {limits.result_kib} KiB")
        case Status.DIED:
            raise LimitBroken("process", f"the call ended without a result: {body.decode()}")
    try:
        outcome = json.loads(body)
    except (ValueError, RecursionError):
        outcome = None
    match outcome:
        case {"value": value, **rest} if not rest:
            return value
        case {"error": str(text), **rest} if not rest:
            raise ToolRefusal(text)
    raise LimitBroken("process", "the call wrote something else than a result")
