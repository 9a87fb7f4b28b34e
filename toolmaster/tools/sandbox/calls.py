"""One call in its own process: bind it, run it, write its result as JSON, end.

Nothing here is trusted once the source runs: it may replace every function of this process. What
it writes is bounded and checked by those who read it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
from typing import Any, NoReturn

from toolmaster.tools.sandbox import isolation

ERROR_CHARS = 2000
SHOWN_CHARS = 2000


def run(source: bytes, call: bytes, writing: int, limits: dict[str, Any]) -> NoReturn:
    """Run `call` (JSON text: function and arguments) over `source`, write the outcome, end."""
    try:
        _bind(limits)
        isolation.bind_call()
        outcome = _outcome(source, call, limits["memory_mib"])
        while outcome:
            outcome = outcome[os.write(writing, outcome) :]
    finally:
        os._exit(0)


def _bind(limits: dict[str, Any]) -> None:
    """Lower what this process may use; it can never raise it again."""
    file_bytes = limits["scratch_mib"] << 20
    for name, value in (
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_AS, limits["memory_mib"] << 20),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (value, value))
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _outcome(source: bytes, call: bytes, memory_mib: int) -> bytes:
    try:
        request = json.loads(call)
        namespace: dict[str, Any] = {"__name__": "tool", "__builtins__": __builtins__}
        exec(compile(source, "<source>", "exec"), namespace)  # noqa: S102 - the point of it all
        function = namespace.get(request["function"])
        if not callable(function):
            return _error(f"the source defines no function {request['function']!r}")
        return _value(function(**request["arguments"]))
    except MemoryError:
        return _error(f"MemoryError: a call may use {memory_mib} MiB")
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its outcome
        return _error(f"{type(error).__name__}: {_text(error)}")


def _value(value: Any) -> bytes:
    """The value as JSON; what JSON has no form for is shown as bounded text."""
    try:
        text = json.dumps({"value": value}, ensure_ascii=False, allow_nan=False, default=_shown)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps({"value": _shown(value)})
    return text.encode("utf-8", "backslashreplace")


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


def _error(text: str) -> bytes:
    return json.dumps({"error": text[:ERROR_CHARS]}).encode()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - its __str__ is untrusted too
        return "(no text)"
