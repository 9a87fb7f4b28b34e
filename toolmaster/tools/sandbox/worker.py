"""The worker process: warm, isolated, and forked anew for every call.

It runs as a program of its own (see `START`), with the standard library alone. The worker itself
never reads what a call is about: it takes the bytes into one buffer, forks, wipes the buffer and
supervises. Everything untrusted happens in the forked child, which ends with the call; so no call
can see or change anything of another.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

from toolmaster.tools.sandbox import calls, isolation
from toolmaster.tools.sandbox.wire import ANSWER, CALL, MAX_CALL, Status

START = """
import sys, types
folder = sys.argv[1]
for depth, name in enumerate(("toolmaster", "toolmaster.tools", "toolmaster.tools.sandbox")):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [folder.rsplit("/", 2 - depth)[0]]
from toolmaster.tools.sandbox import worker
worker.main()
"""
"""Program text that loads this module by the folder it lies in, without the packages around it."""

WARM = (
    "calendar collections copy dataclasses datetime decimal fractions functools itertools json math"
    " operator random re statistics string time typing unicodedata"
)
"""Modules imported before the first call: what tools mostly use."""


def main() -> None:
    """Set up, say so, and serve until the owner closes the connection."""
    settings = json.loads(sys.argv[2])
    connection: int = settings["connection"]
    try:
        sys.path += settings["packages"]
        for name in WARM.split():
            importlib.import_module(name)
        scratch = isolation.enter(settings)
    except (OSError, ImportError) as error:
        _answer(connection, Status.FAILED, str(error).encode())
        return
    _answer(connection, Status.READY, b"")
    os.dup2(0, 2)  # what is written to standard error from here on goes nowhere
    for name in [name for name in sys.modules if name.startswith("toolmaster")]:
        del sys.modules[name]  # none of it is for untrusted code to import
    gc.collect()
    gc.freeze()
    gc.disable()
    limits = settings["limits"]
    buffer = memoryview(bytearray(max(MAX_CALL, limits["result_kib"] * 1024) + 1))
    while _read(connection, buffer[: CALL.size]):
        source, call = CALL.unpack(buffer[: CALL.size])
        if not _read(connection, buffer[: source + call]):
            return
        status, size, body = _serve(connection, buffer, source, call, limits)
        _answer(connection, status, body or buffer[:size])
        buffer[:size] = bytes(size)
        isolation.empty(scratch)


def _serve(
    connection: int, buffer: memoryview, source: int, call: int, limits: dict[str, Any]
) -> tuple[Status, int, bytes]:
    """Run the call in the buffer; returns the status, the bytes now in the buffer, and the body."""
    deadline = time.monotonic() + limits["wall_s"]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(connection)
        os.close(reading)
        calls.run(bytes(buffer[:source]), bytes(buffer[source : source + call]), writing, limits)
    os.close(writing)
    buffer[: source + call] = bytes(source + call)
    status, size = Status.WALL, 0
    try:
        status, size = _collect(reading, buffer, deadline, limits["result_kib"] * 1024)
    finally:
        os.close(reading)
        isolation.kill(child)
        _, exit_code, usage = os.wait4(child, 0)
    if status is not Status.DONE:
        return status, size, b" "
    if usage.ru_utime + usage.ru_stime >= 0.9 * limits["cpu_s"] and exit_code:
        return Status.CPU, size, b" "
    if exit_code or size == 0:
        return Status.DIED, size, _ending(exit_code).encode()
    return status, size, b""


def _collect(reading: int, buffer: memoryview, deadline: float, limit: int) -> tuple[Status, int]:
    """Read what the call writes until it closes its end, takes too long or writes too much."""
    poller = select.poll()
    poller.register(reading, select.POLLIN)
    size = 0
    while size <= limit:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            return Status.WALL, size
        count = os.readv(reading, [buffer[size : limit + 1]])
        if count == 0:
            return Status.DONE, size
        size += count
    return Status.RESULT, size


def _ending(exit_code: int) -> str:
    code = os.waitstatus_to_exitcode(exit_code)
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


def _answer(connection: int, status: Status, body: bytes | memoryview) -> None:
    head = ANSWER.pack(status, len(body))
    sent = os.writev(connection, [head, body])
    rest = memoryview(body)[max(0, sent - len(head)) :]
    while rest:
        rest = rest[os.write(connection, rest) :]
