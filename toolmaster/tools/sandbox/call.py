"""One call in its own process: bind it, run it, write its result as JSON, end.

Nothing here is trusted once the source runs: it may replace every function of this process. What
it writes is bounded and checked by those who read it.
"""

from __future__ import annotations

import importlib
import json
import marshal
import os
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from toolmaster.tools.sandbox import isolation
from toolmaster.tools.sandbox.wire import COMPILED, COMPILED_MARK, MAX_COMPILED

ERROR_CHARS = 2000
SHOWN_CHARS = 2000


def run(
    source: bytes,
    request: bytes,
    writing: int,
    level: int,
    limits: dict[str, Any],
    *,
    compiled: bool,
    worker: int,
) -> NoReturn:
    """Run a call, write its outcome as JSON and end the process.

    Args:
        source: the Python source, or what another call's process has compiled of it.
        request: JSON text: the function's name and its arguments.
        writing: file descriptor for the outcome.
        level: the isolation level of this process.
        limits: the fields of `SandboxLimits`.
        compiled: whether the source is compiled already.
        worker: id of the process that this one was forked from.
    """
    status = 1
    try:
        isolation.bind_call(level, limits["cpu_s"], worker)

        def load() -> types.CodeType:
            if compiled:
                code: types.CodeType = marshal.loads(source)  # noqa: S302 - bound as the source is
                return code
            code = compiled_from(source)
            _write(writing, _as_sent(code))
            return code

        _write(writing, outcome(load, request, limits["memory_mib"]))
        status = 0
    finally:
        os._exit(status)


def compiled_from(source: bytes) -> types.CodeType:
    """The source's code."""
    text = source.decode("utf-8", "surrogatepass")
    return compile(text, "<source>", "exec", dont_inherit=True)


def outcome(load: Callable[[], types.CodeType], request: bytes, memory_mib: int) -> bytes:
    """What comes of a call, as JSON text: `{"value": ...}` or `{"error": text}`.

    Args:
        load: gives the code; what it raises is the call's error.
        request: JSON text: the function's name and its arguments.
        memory_mib: what an error for lack of memory tells.
    """
    try:
        call = json.loads(request.decode())
        module = sys.modules["tool"] = types.ModuleType("tool")
        exec(load(), module.__dict__)  # noqa: S102 - the point of it all
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


def _as_sent(code: types.CodeType) -> bytes:
    """The code for the owner to keep, or word that there is none."""
    kept = b""
    with suppress(ValueError, MemoryError):  # nested too deeply, or too large
        kept = marshal.dumps(code)
    kept = kept if len(kept) <= MAX_COMPILED else b""
    return COMPILED.pack(COMPILED_MARK, len(kept)) + kept


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


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
