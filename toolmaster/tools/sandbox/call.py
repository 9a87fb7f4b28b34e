"""One call in its own process: bind it, run it, write its result as JSON, end.

Nothing here is trusted once the source runs: it may replace every function of this process. What
it writes is bounded and checked by those who read it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import types
from typing import Any, NoReturn

from toolmaster.tools.sandbox import isolation

ERROR_CHARS = 2000
SHOWN_CHARS = 2000


def run(
    source: bytes, request: bytes, writing: int, level: int, limits: dict[str, Any]
) -> NoReturn:
    """Run a call, write its outcome as JSON and end the process.

    Args:
        source: the Python source.
        request: JSON text: the function's name and its arguments.
        writing: file descriptor for the outcome.
        level: the isolation level of this process.
        limits: the fields of `SandboxLimits`.
    """
    status = 1
    try:
        isolation.bind_call(level, limits["cpu_s"])
        text = outcome(source, request, limits["memory_mib"])
        while text:
            text = text[os.write(writing, text) :]
        status = 0
    finally:
        os._exit(status)


def outcome(source: bytes, request: bytes, memory_mib: int) -> bytes:
    """What comes of a call, as JSON text: `{"value": ...}` or `{"error": text}`."""
    try:
        call = json.loads(request.decode())
        module = sys.modules["tool"] = types.ModuleType("tool")
        code = compile(
            source.decode("utf-8", "surrogatepass"), "<source>", "exec", dont_inherit=True
        )
        exec(code, module.__dict__)  # noqa: S102 - the point of it all
        function = module.__dict__.get(call["function"])
        if not callable(function):
            return _error(f"the source defines no function {call['function']!r}")
        value = function(**call["arguments"])
        if isinstance(value, types.CoroutineType):
            value = importlib.import_module("asyncio").run(value)
        return _value(value)
    except MemoryError:
        return _error(f"MemoryError: a call may use {memory_mib} MiB")
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its outcome
        return _error(f"{type(error).__name__}: {_text(error)}")


def _value(value: Any) -> bytes:
    """The value as JSON; what JSON has no form for is shown as bounded text."""
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
