"""`Sandbox`: untrusted Python source, run by a pool of warm processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from types import TracebackType
from typing import Any, Self

from toolmaster.errors import InputError
from toolmaster.tools.sandbox import scratch
from toolmaster.tools.sandbox.limits import LimitBroken, SandboxLimits
from toolmaster.tools.sandbox.process import START_S, Ended, Process, Program
from toolmaster.tools.sandbox.walls import IsolationLevel
from toolmaster.tools.sandbox.wire import FORK, WAIT
from toolmaster.tools.tool import Tool, ToolRefusal
from toolmaster.types import Effect

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""All of a worker's environment: nothing is inherited, and results do not hang on the machine."""
MAX_CALL = 1 << 20
"""Bytes of a call: its source and its arguments."""
WATCH_S = 0.05
"""Seconds between two looks at a scratch folder on disk."""


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
        self._slots: asyncio.LifoQueue[Program | None] = asyncio.LifoQueue()
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
                await asyncio.to_thread(worker.close)

    async def _strongest(self) -> Program:
        """Return a worker at the strongest level offered here, which becomes the level."""
        reasons = []
        for level in self._levels:
            try:
                worker = await start(level, self.limits)
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
        request = _request(source, function, arguments)
        worker, usable = await self._slots.get(), False
        try:
            if worker is not None and worker.ended():
                await asyncio.to_thread(worker.close)
                worker = None
            worker = worker or await start(self.level, self.limits)
            body, ending = await self._run(worker, request)
            usable = not ending["last"]
        except (InputError, Ended):
            raise LimitBroken("process", "the call's worker was lost, and is replaced") from None
        finally:
            self._slots.put_nowait(worker if usable else None)
            if worker is not None and not usable:
                worker.kill()
                await asyncio.to_thread(worker.close)
        return _result(body, ending, self.limits)

    async def _run(self, worker: Program, request: bytes) -> tuple[bytes, dict[str, Any]]:
        """Run a call in a fork; return what it wrote, and how it ended.

        That is its `status`, `cpu_s` of processor time, whether it was the `last` of the worker,
        and the limit that was `broken` as far as is seen from here.
        """
        limit, body, broken = self.limits.result_kib << 10, b"", ""
        child = worker.fork(FORK)
        try:
            async with asyncio.timeout(self.limits.wall_s):  # asked before it is ready
                body = await self._watched(worker, child.ask(request, limit))
            broken = "result_kib" if len(body) > limit else ""
        except TimeoutError:
            broken = "wall_s"
        except Ended:
            pass
        except LimitBroken as error:
            broken = error.limit
        return body, {"broken": broken, **await _ended(worker, child)}

    async def _watched(self, worker: Program, asking: Any) -> bytes:
        """Wait for an answer, and look meanwhile at a scratch folder that lies on disk."""
        if self.level >= IsolationLevel.NAMESPACED:
            return bytes(await asking)
        running = asyncio.ensure_future(asking)
        try:
            while not (await asyncio.wait([running], timeout=WATCH_S))[0]:
                if scratch.overfull(worker.scratch, self.limits.model_dump()):
                    raise LimitBroken("scratch_mib", "")
        finally:
            running.cancel()
        return bytes(await running)

    def tool(
        self, *, name: str, description: str, parameters: dict[str, Any], source: str, function: str
    ) -> Tool:
        """Return a tool that runs a function of untrusted source; see `Tool` and `call`.

        Nothing that a call does outlives it, so the tool is one that reads. (Below the level
        `CONFINED` that is the word of whoever allowed it.)
        """

        async def execute(_state: Any, arguments: dict[str, Any]) -> Any:
            return await self.call(source, function, arguments)

        return Tool(name, description, parameters, execute, Effect.READ)


async def start(level: IsolationLevel, limits: SandboxLimits) -> Program:
    """Start a worker and wait until it is ready."""
    settings = {"limits": limits.model_dump()}
    runner = "toolmaster.tools.sandbox.source"
    worker = Program(runner, settings, level=level, environment=ENVIRONMENT)
    try:
        await asyncio.to_thread(worker.wait_ready, START_S)
        probe = worker.fork(FORK)  # is bound by what only a fork can be bound by
        await _ended(worker, probe)
    except (InputError, Ended) as error:
        said = await asyncio.to_thread(worker.close)
        raise InputError(str(error) or f"the worker did not start: {said or 'no answer'}") from None
    except BaseException:
        await asyncio.to_thread(worker.close)
        raise
    return worker


async def _ended(worker: Program, child: Process) -> dict[str, Any]:
    """End a fork, which is ready by now or about to be, and return how it ended."""
    child.wait_ready()
    child.kill()
    said = await worker.ask(str(child.pid).encode(), MAX_CALL, letter=WAIT)
    ending: dict[str, Any] = json.loads(said)["value"]
    return ending


def _request(source: str, function: str, arguments: dict[str, Any]) -> bytes:
    try:
        call = {"source": source, "function": function, "arguments": arguments}
        request = json.dumps(call).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"function {function!r}: arguments must be JSON values: {error}") from None
    if len(request) > MAX_CALL:
        size = len(request)
        raise ToolRefusal(f"source and arguments take {size} bytes; {MAX_CALL} are allowed")
    return request


def _result(body: bytes, ending: dict[str, Any], limits: SandboxLimits) -> Any:
    """Return the value that untrusted code wrote."""
    broken = "cpu_s" if not body and _out_of_time(ending, limits) else ending["broken"]
    if broken:
        room = f"{limits.scratch_mib} MiB and {limits.scratch_files} files"
        told = {
            "wall_s": f"no answer within {limits.wall_s:g} s",
            "cpu_s": f"more than {limits.cpu_s} s of processor time",
            "result_kib": f"the result is larger than {limits.result_kib} KiB",
            "scratch_mib": f"the scratch folder has room for {room}",
        }
        raise LimitBroken(broken, told[broken])
    if not body:
        how = _how(ending["status"])
        raise LimitBroken("process", f"the call ended without a result: {how}")
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


def _out_of_time(ending: dict[str, Any], limits: SandboxLimits) -> bool:
    """Return whether the limit of processor time ended a call's process.

    The kernel counts in whole ticks: on a busy machine it charges a process for the time that
    others used within a tick, and ends it when it has truly used little more than half of the
    limit. So SIGXCPU is taken at its word, and for SIGKILL, which source that ignores SIGXCPU gets
    at twice the limit, half of the limit is enough.
    """
    status = ending["status"]
    if ending["broken"] or not os.WIFSIGNALED(status):
        return False
    by = os.WTERMSIG(status)
    return by == signal.SIGXCPU or (by == signal.SIGKILL and ending["cpu_s"] > limits.cpu_s / 2)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
