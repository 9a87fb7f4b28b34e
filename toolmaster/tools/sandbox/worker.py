"""The worker process: warm, isolated, and forked anew for every call.

It runs as a program of its own (`process.START`), with the standard library alone. The process that
the owner starts is not the worker but its keeper: it stays outside every isolation and removes the
scratch folder when the worker has ended, also where the owner was killed. The worker never reads
what a call is about: it takes the bytes into one buffer, forks, wipes the buffer and supervises.
Everything untrusted happens in the forked child, which ends with the call; so no call can see or
change anything of another.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from types import FrameType
from typing import Any, NoReturn

from toolmaster.tools.sandbox import call, isolation, scratch
from toolmaster.tools.sandbox.levels import IsolationLevel
from toolmaster.tools.sandbox.wire import (
    ANSWER,
    CALL,
    COMPILED,
    MAX_CALL,
    MAX_COMPILED,
    Status,
)

WARM = (
    "_strptime calendar collections datetime functools itertools json math operator re time typing"
)
"""Modules imported before the first call: what tools mostly use. More would slow every fork."""

REHEARSAL = b"""
import datetime
def f(day): return {"day": datetime.datetime.strptime(day, "%Y-%m-%d").isoformat()}
"""
REHEARSALS = 50
"""Calls made before the first real one: the interpreter has then specialised its own code, and the
commonest date format is compiled."""

WATCH_S = 0.05
"""Seconds between two looks at a scratch folder on disk."""


def main() -> None:
    """Set up, say so, and serve until the owner closes the connection."""
    settings = json.loads(sys.argv[2])
    connection: int = settings["connection"]
    _continue_as_worker(settings["scratch"])
    try:
        sys.path += settings["packages"]
        for name in WARM.split():
            importlib.import_module(name)
        folder = isolation.enter(settings)
    except (OSError, ImportError) as error:
        _answer(connection, Status.FAILED, str(error).encode())
        return
    _answer(connection, Status.READY, b"")
    os.dup2(0, 2)  # what is written to standard error from here on goes nowhere
    for name in [name for name in sys.modules if name.startswith("toolmaster")]:
        del sys.modules[name]  # stand-ins, which would hide the real package
    sys.argv[1:] = []
    for _ in range(REHEARSALS):
        call.outcome(
            lambda: call.compiled_from(REHEARSAL),
            b'{"function": "f", "arguments": {"day": "2024-02-29"}}',
            0,
        )
    del sys.modules["tool"]
    gc.collect()
    gc.freeze()  # a collection in a call then leaves these pages shared
    signal.signal(signal.SIGTERM, _stop)
    Server(connection, folder, settings["level"], settings["limits"]).serve()


def _continue_as_worker(folder: str) -> None:
    """Fork; the child goes on as the worker, the parent is its keeper and never returns.

    The keeper hands SIGTERM on, waits for the worker, removes the scratch folder and ends. It holds
    the standard error open, and nothing else that the owner waits for.
    """
    heard = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)  # until the keeper listens
    keeper, worker = os.getpid(), os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
        isolation.end_with(keeper)
        return
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    ended = code = 0
    while not ended:
        if signal.sigwait(heard) == signal.SIGTERM:
            code = 128 + signal.SIGTERM
            os.kill(worker, signal.SIGTERM)
        ended, _ = os.waitpid(worker, os.WNOHANG)
    scratch.remove(folder)
    os._exit(code)


class Server:
    """Answers calls one after the other.

    Args:
        connection: file descriptor of the connection to the owner.
        folder: path of the scratch folder.
        level: the isolation level this process is at.
        limits: the fields of `SandboxLimits`.
    """

    def __init__(self, connection: int, folder: str, level: int, limits: dict[str, Any]) -> None:
        self._connection = connection
        self._folder = folder
        self._level = level
        self._limits = limits
        self._result_bytes = (limits["result_kib"] << 10) + COMPILED.size + MAX_COMPILED
        self._on_disk = level < IsolationLevel.NAMESPACED
        largest = max(MAX_CALL + MAX_COMPILED, self._result_bytes + 1)
        self._buffer = memoryview(bytearray(largest))

    def serve(self) -> None:
        """Until the owner closes the connection, or a call leaves what cannot be cleared away."""
        head = self._buffer[: CALL.size]
        while _read(self._connection, head):
            compiled, source_bytes, call_bytes = CALL.unpack(head)
            if not _read(self._connection, self._buffer[: source_bytes + call_bytes]):
                return
            status, size, ending = self._run(source_bytes, call_bytes, compiled=compiled)
            body = self._buffer[:size] if status is Status.DONE else ending.encode()
            try:
                scratch.empty(self._folder)
            except OSError:
                _answer(self._connection, status, body, last=True)
                return
            _answer(self._connection, status, body)
            self._buffer[:size] = bytes(size)

    def _run(
        self, source_bytes: int, call_bytes: int, *, compiled: bool
    ) -> tuple[Status, int, str]:
        """Run the call in the buffer.

        Returns:
            The status, how many bytes of the buffer the call has filled, and how it ended.
        """
        deadline = time.monotonic() + self._limits["wall_s"]
        reading, writing = os.pipe()
        worker, child = os.getpid(), os.fork()
        total = source_bytes + call_bytes
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(self._connection)
            os.close(reading)
            source, request = self._buffer[:source_bytes], self._buffer[source_bytes:total]
            call.run(
                bytes(source),
                bytes(request),
                writing,
                self._level,
                self._limits,
                compiled=compiled,
                worker=worker,
            )
        try:
            os.close(writing)
            self._buffer[:total] = bytes(total)
            status, size = self._collect(reading, deadline)
        finally:
            os.close(reading)
            isolation.kill(self._level, child)
            _, ended, usage = os.wait4(child, 0)
        if status is Status.DONE and self._out_of_time(ended, usage):
            status = Status.CPU
        elif status is Status.DONE and (ended or size == 0):
            status = Status.DIED
        return status, size, _ending(ended)

    def _out_of_time(self, ended: int, usage: resource.struct_rusage) -> bool:
        """Whether the limit of processor time ended a call's process.

        The kernel counts in whole ticks: on a busy machine it charges a process for the time that
        others used within a tick, and ends it when it has truly used little more than half of the
        limit. So SIGXCPU is taken at its word, and for SIGKILL, which source that ignores SIGXCPU
        gets at twice the limit, half of the limit is enough.
        """
        if not os.WIFSIGNALED(ended):
            return False
        used_s: float = usage.ru_utime + usage.ru_stime
        by = os.WTERMSIG(ended)
        return by == signal.SIGXCPU or (by == signal.SIGKILL and used_s > self._limits["cpu_s"] / 2)

    def _collect(self, reading: int, deadline: float) -> tuple[Status, int]:
        """Read what the call writes until it closes its end or breaks a limit.

        Raises:
            SystemExit: the owner has closed the connection, or was killed.
        """
        poller = select.poll()
        poller.register(reading, select.POLLIN)
        poller.register(self._connection, 0)  # a hang-up is told unasked
        size, look = 0, time.monotonic() + WATCH_S if self._on_disk else deadline
        while size <= self._result_bytes:
            now = time.monotonic()
            if now >= deadline:
                return Status.WALL, size
            if now >= look:
                if scratch.overfull(self._folder, self._limits):
                    return Status.SCRATCH, size
                look = time.monotonic() + WATCH_S
            ready = dict(poller.poll(1000 * (min(look, deadline) - now)))
            if self._connection in ready:
                raise SystemExit
            if ready:
                count = os.readv(reading, [self._buffer[size : self._result_bytes + 1]])
                if count == 0:
                    return Status.DONE, size
                size += count
        return Status.RESULT, size


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End on a signal, by way of what ends the running call."""
    raise SystemExit(128 + number)


def _ending(ended: int) -> str:
    code = os.waitstatus_to_exitcode(ended)
    if code >= 0:
        return f"exit status {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


def _read(connection: int, view: memoryview) -> bool:
    """Fill the view; False when the owner has closed the connection."""
    while view:
        count = os.readv(connection, [view])
        if count == 0:
            return False
        view = view[count:]
    return True


def _answer(
    connection: int, status: Status, body: bytes | memoryview, *, last: bool = False
) -> None:
    head = ANSWER.pack(status, last, len(body))
    sent = os.writev(connection, [head, body])
    rest = memoryview(body)[max(0, sent - len(head)) :]
    while rest:
        rest = rest[os.write(connection, rest) :]
