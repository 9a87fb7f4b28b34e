"""Runs untrusted Python source: each call in a fork, which ends with it.

Nothing in the fork is trusted once the source runs: it may replace every function of its process.
What it writes is bounded and checked by its owner.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import types
from typing import Any

from toolmaster.tools.sandbox import walls

ERROR_CHARS = 2000
SHOWN_CHARS = 2000
WARM = (
    "_strptime calendar collections datetime functools itertools json math operator re time typing"
)
"""Modules imported before the first call: what tools mostly use. More would slow every fork."""
REHEARSAL = """
import datetime
def f(day): return {"day": datetime.datetime.strptime(day, "%Y-%m-%d").isoformat()}
"""
REHEARSALS = 50
"""Calls made before the first real one: the interpreter has then specialised its own code, and the
commonest date format is compiled."""


class Source:
    """Answers calls of untrusted source.

    Args:
        level: the isolation level that the process has entered.
        limits: the fields of `SandboxLimits`.
    """

    def __init__(self, level: int, limits: dict[str, Any]) -> None:
        self._level, self._limits = level, limits

    def forked(self, _letter: bytes, parent: int, _control: int) -> None:
        """Bind the process of one call."""
        walls.bind_call(self._level, self._limits["cpu_s"], parent)
        if self._level == walls.IsolationLevel.CONFINED:
            os.unlink = os.remove = _kept(os.unlink)
            os.rmdir = _kept(os.rmdir)

    def in_thread(self, _request: Any) -> bool:
        """Return False: a call has its process for itself."""
        return False

    def answer(self, request: dict[str, Any]) -> bytes:
        """Return the outcome of a call as JSON text: `{"value": ...}` or `{"error": text}`."""
        try:
            text = request["source"]
            code = compile(text, "<source>", "exec", dont_inherit=True)
            module = sys.modules["tool"] = types.ModuleType("tool")
            exec(code, module.__dict__)  # noqa: S102 - the point of it all
            function = module.__dict__.get(request["function"])
            if not callable(function):
                return _error(f"the source defines no function {request['function']!r}")
            value = function(**request["arguments"])
            if isinstance(value, types.CoroutineType):
                value = importlib.import_module("asyncio").run(value)
            return _value(value)
        except MemoryError:
            return _error(f"MemoryError: a call may use {self._limits['memory_mib']} MiB")
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its outcome
            return _error(f"{type(error).__name__}: {_text(error)}")


def _kept(remove: Any) -> Any:
    """Return a function that takes what the walls keep in the scratch folder for removed.

    The folder is emptied when the call has ended.
    """
    scratch = os.getcwd()

    def removed(path: Any, *, dir_fd: int | None = None) -> None:
        try:
            remove(path, dir_fd=dir_fd)
        except PermissionError:
            if dir_fd is None and not os.path.abspath(os.fsdecode(path)).startswith(scratch):
                raise

    return removed


def runner(settings: dict[str, Any]) -> Source:
    """Return what answers the calls, warmed up."""
    for name in WARM.split():
        importlib.import_module(name)
    made = Source(settings["level"], settings["limits"])
    call = {"source": REHEARSAL, "function": "f", "arguments": {"day": "2024-02-29"}}
    for _ in range(REHEARSALS):
        made.answer(call)
    del sys.modules["tool"]
    os.dup2(0, 2)  # what is written to standard error from here on goes nowhere
    return made


def _value(value: Any) -> bytes:
    """Return the value as JSON; what JSON has no form for is shown as bounded text."""
    try:
        text = _ENCODER.encode({"value": value})
    except (TypeError, ValueError, RecursionError):
        text = json.dumps({"value": _shown(value)})
    return text.encode("utf-8", "backslashreplace")


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_shown)


def _error(text: str) -> bytes:
    return json.dumps({"error": text[:ERROR_CHARS]}).encode()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - its __str__ is untrusted too
        return "(no text)"
