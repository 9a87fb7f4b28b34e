"""`Sandbox`: untrusted Python source, run by a pool of warm workers."""

from __future__ import annotations

import asyncio
import json
import os
from collections import OrderedDict
from types import TracebackType
from typing import Any, NoReturn, Self

from toolmaster.errors import InputError
from toolmaster.tools.sandbox.levels import IsolationLevel
from toolmaster.tools.sandbox.limits import LimitBroken, SandboxLimits
from toolmaster.tools.sandbox.process import WorkerProcess
from toolmaster.tools.sandbox.wire import COMPILED, COMPILED_MARK, MAX_CALL, MAX_COMPILED, Status
from toolmaster.tools.tool import Tool, ToolRefusal
from toolmaster.types import Effect

GRACE_S = 5.0
"""Seconds beyond the wall limit after which a worker that does not answer is replaced."""
KEPT_SOURCES = 256
"""Sources whose compiled form is kept."""


class Sandbox:
    """Runs untrusted Python source: `async with Sandbox() as sandbox: await sandbox.call(...)`.

    Every call runs in a process of its own, forked from a warm worker, and ends with it: nothing a
    call does reaches another. A call that breaks a limit is killed; a worker that is lost is
    replaced. What a call prints goes nowhere. The strongest isolation level that the machine offers
    is used.

    Args:
        limits: what one call may use.
        workers: how many calls run at once, the others wait; None for one a processor.
        minimum: the isolation level below which untrusted source is refused.

    Raises:
        InputError: fewer than one worker; on entering, a machine that offers no such level.

    Attributes:
        level: the isolation level that is active, once entered.
    """

    level: IsolationLevel

    def __init__(
        self,
        limits: SandboxLimits | None = None,
        *,
        workers: int | None = None,
        minimum: IsolationLevel = IsolationLevel.CONFINED,
    ) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"workers: received {workers}; at least 1 is needed")
        self.limits = limits or SandboxLimits()
        self._levels = [level for level in reversed(IsolationLevel) if level >= minimum]
        self._workers = workers or os.cpu_count() or 1
        self._slots: asyncio.LifoQueue[WorkerProcess | None] = asyncio.LifoQueue()
        self._compiled: OrderedDict[bytes, bytes] = OrderedDict()  # by source; never loaded here
        self._open = False

    async def __aenter__(self) -> Self:
        worker = await self._strongest()
        for _ in range(self._workers - 1):
            self._slots.put_nowait(None)  # started by the first call that needs it
        self._slots.put_nowait(worker)
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        for _ in range(self._workers):
            worker = await self._slots.get()
            if worker is not None:
                await worker.close()

    async def _strongest(self) -> WorkerProcess:
        """A worker at the strongest level that this machine offers, which becomes the level."""
        reasons = []
        for level in self._levels:
            try:
                worker = await WorkerProcess.start(level, self.limits)
            except InputError as error:
                reasons.append(f"{level.name}: {error}")
            else:
                self.level = level
                return worker
        raise InputError(
            f"untrusted source needs isolation level {self._levels[-1].name} or above, which this"
            f" machine does not offer ({'; '.join(reasons)}); to run it with less, where nothing"
            " can be harmed, say so: Sandbox(minimum=IsolationLevel.PROCESS)"
        )

    async def call(self, source: str, function: str, arguments: dict[str, Any]) -> Any:
        """Run one call.

        Args:
            source: Python source that defines the function. Third-party packages of this
                interpreter can be imported.
            function: its name.
            arguments: JSON values, passed by name.

        Returns:
            What the function returned, as a JSON value; what JSON has no form for, as text.

        Raises:
            ToolRefusal: the source raised, or broke a limit (`LimitBroken`); one line says how.
            InputError: arguments that JSON cannot hold, or a worker that cannot be started.
            RuntimeError: the sandbox is not open.
        """
        if not self._open:
            raise RuntimeError("the sandbox is not open; call it inside `async with Sandbox()`")
        code = source.encode("utf-8", "surrogatepass")
        request = _request(function, arguments)
        size = len(code) + len(request)
        if size > MAX_CALL:
            raise ToolRefusal(f"source and arguments take {size} bytes; {MAX_CALL} are allowed")
        status, body = await self._outcome(code, request)
        if status is not Status.DONE:
            _refuse(status, body.decode(), self.limits)
        return _result(body)

    async def _outcome(self, source: bytes, request: bytes) -> tuple[Status, bytes]:
        """Have a call run, with the source as it was compiled before where that is kept."""
        compiled = self._compiled.get(source)
        status, body = await self._run(compiled or source, request, compiled=bool(compiled))
        if status is not Status.DONE:
            return status, body
        if compiled is None:
            kept, body = _parted(body)
            self._keep(source, kept)
        if not body:
            return Status.DIED, b"exit status 0"
        return (status, body) if len(body) <= self.limits.result_kib << 10 else (Status.RESULT, b"")

    def _keep(self, source: bytes, compiled: bytes) -> None:
        """Keep what was compiled of a source, among the latest few of a moderate size."""
        if compiled and len(source) <= MAX_COMPILED:
            self._compiled[source] = compiled
            if len(self._compiled) > KEPT_SOURCES:
                self._compiled.popitem(last=False)

    async def _run(self, code: bytes, request: bytes, *, compiled: bool) -> tuple[Status, bytes]:
        """Have the next free worker run it; a worker that fails or is interrupted is replaced."""
        worker, answer = await self._slots.get(), None
        try:
            if worker is not None and worker.ended():
                await worker.close()
                worker = None
            worker = worker or await WorkerProcess.start(self.level, self.limits)
            answer = await worker.call(
                code, request, self.limits.wall_s + GRACE_S, compiled=compiled
            )
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            raise LimitBroken("process", "the call's worker was lost, and is replaced") from None
        finally:
            self._slots.put_nowait(worker if answer else None)
            if worker is not None and not answer:
                await worker.close()
        return answer

    def tool(
        self, *, name: str, description: str, parameters: dict[str, Any], source: str, function: str
    ) -> Tool:
        """A tool that runs a function of untrusted source.

        Nothing that a call does outlives it, so the tool is one that reads. (Below the level
        `CONFINED` that is the word of whoever allowed it.)

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


def _request(function: str, arguments: dict[str, Any]) -> bytes:
    try:
        return json.dumps({"function": function, "arguments": arguments}).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"function {function!r}: arguments must be JSON values: {error}") from None


def _refuse(status: Status, ending: str, limits: SandboxLimits) -> NoReturn:
    """Say which limit the call broke."""
    match status:
        case Status.WALL:
            raise LimitBroken("wall_s", f"no answer within {limits.wall_s:g} s")
        case Status.CPU:
            raise LimitBroken("cpu_s", f"more than {limits.cpu_s} s of processor time")
        case Status.RESULT:
            raise LimitBroken("result_kib", f"the result is larger than {limits.result_kib} KiB")
        case Status.SCRATCH:
            room = f"{limits.scratch_mib} MiB and {limits.scratch_files} files"
            raise LimitBroken("scratch_mib", f"the scratch folder has room for {room}")
    raise LimitBroken("process", f"the call ended without a result: {ending}")


def _parted(body: bytes) -> tuple[bytes, bytes]:
    """What a call's process has compiled, and its outcome; no compiled source where it failed."""
    if body[:1] != COMPILED_MARK or len(body) < COMPILED.size:
        return b"", body
    _, size = COMPILED.unpack_from(body)
    end = COMPILED.size + size
    return body[COMPILED.size : end], body[end:]


def _result(body: bytes) -> Any:
    """The value that untrusted code wrote.

    Raises:
        ToolRefusal: it reports an error, or did not write a result.
    """
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
