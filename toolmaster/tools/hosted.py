"""The child's end of the tool host: it loads a user's modules and calls their tools.

It runs in the processes that `tools.host` starts; see `sandbox.server`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import random
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tools.python import find_object, load_python, makes_tools
from toolmaster.tools.running import as_text, describe_error
from toolmaster.tools.sandbox import seccomp, walls, wire
from toolmaster.tools.tool import NotTried, Tool, ToolRefusal, ToolSet

_REACHING = frozenset(
    (
        *("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.exec"),
        *("os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"),
    )
)
"""Audit events of code that reaches outside, which it may hide when it is refused.

Source: https://docs.python.org/3/library/audit_events.html
"""
_REFUSED = re.compile(
    r"Operation not permitted|Permission denied|Bad file descriptor|readonly database|"
    r"unable to open database|disk I/O error|name resolution|resolve host|Name or service not known"
)
"""What code says that the walls have refused, where it does not pass on the error itself."""


class Hosted:
    """Answers the requests of one host.

    Args:
        scratch: the scratch folder.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._loads: list[Callable[[], ToolSet]] = []
        self._sets: list[ToolSet] = []
        self._in_trial = False
        self._reached: list[str] = []
        self._loops: list[asyncio.AbstractEventLoop] = []
        """The last one runs async tools; those before are of the processes before a fork."""

    def forked(self, letter: bytes, _parent: int, control: int) -> None:
        """Begin a trial, or work for real, in a process that was just forked."""
        if letter == wire.FORK:
            random.seed()
        if letter == wire.TRY:
            scratch = os.path.join(self._scratch, str(os.getpid()))
            os.mkdir(scratch)
            walls.bind_trial(scratch, control)
            self._in_trial = True
            sys.addaudithook(self._watch)
        if letter != wire.STANDBY:  # the loop is shared with the process before the fork
            self._loops.append(asyncio.new_event_loop())

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _REACHING or (event == "socket.__new__" and arguments[1] != 1):  # AF_UNIX
            self._reached.append(event)

    def in_thread(self, request: dict[str, Any]) -> bool:
        """Return whether the request is a call of a tool that is declared thread-safe."""
        return "call" in request and self._tool(*request["call"]).thread_safe

    def answer(self, request: dict[str, Any]) -> bytes:
        """Return JSON text: `{"value": ...}`, or `{"error": text, "kind": of the error}`."""
        self._reached.clear()
        try:
            value = self._value(request)
            if self._reached:
                raise NotTried(self._reached[0])
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is an answer
            return self._error(error)
        try:
            text = as_text(value)
            text = json.dumps(text) if isinstance(value, str | bytes | bytearray) else text
            return b'{"value": %b}' % text.encode("utf-8", "surrogatepass")
        except Exception as error:  # noqa: BLE001 - raised by a value that is not JSON
            text = f"the call was run; its result cannot be shown: {describe_error(error)}"
            return self._error(ToolRefusal(text))

    def _error(self, error: BaseException) -> bytes:
        told = str(error) if isinstance(error, ToolRefusal | InputError) else describe_error(error)
        kind = "input" if isinstance(error, InputError) else "tool"
        if self._in_trial and (self._reached or _refused(error)):
            kind, told = "not tried", f"{told} [{self._reached[0]}]" if self._reached else told
        return json.dumps({"error": told, "kind": kind}).encode()

    def _value(self, request: dict[str, Any]) -> Any:
        match request:
            case {"load": sources}:
                loaded = [self._load(*source) for source in sources]
                gc.collect()
                gc.freeze()  # a collection in a fork then leaves these pages shared
                return loaded
            case {"make": indexes}:
                for index in indexes:
                    self._sets[index] = self._loads[index]()
            case {"find": name}:
                return callable(find_object(name))
            case {"apply": name, "to": indexes, "arguments": arguments}:
                made = tuple(self._sets[index].subject() for index in indexes)
                return self._done(
                    find_object(name)(made[0] if len(made) == 1 else made, *arguments), None
                )
            case {"call": [index, name], "arguments": arguments}:
                tool = self._tool(index, name)
                return self._done(tool.execute(self._sets[index].state, arguments), tool)
        return None

    def _load(self, place: str, name: str | None, timeout_s: float) -> dict[str, Any]:
        """Load a source and describe it."""

        def load() -> ToolSet:
            return load_python(place, name, timeout_s=timeout_s)

        tools = load()
        self._loads.append(load)
        self._sets.append(tools)
        fresh = name is not None and makes_tools(find_object(f"{place}:{name}"))
        shown = [{key: getattr(tool, key) for key in SHOWN} for tool in tools.tools]
        left_out = dict(tools.left_out)
        return {"tools": shown, "fresh": fresh, "live": tools.live, "left_out": left_out}

    def _tool(self, index: int, name: str) -> Tool:
        return self._sets[index][name]

    def _done(self, result: Any, tool: Tool | None) -> Any:
        """Return a result, or what it gives when it is awaited."""
        if not inspect.isawaitable(result):
            return result
        if tool is not None and tool.thread_safe:
            return asyncio.run(_awaited(result))
        if not self._loops:
            self._loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(self._loops[-1])
        return self._loops[-1].run_until_complete(_awaited(result))


SHOWN = (
    *("name", "description", "parameters", "effect", "timeout_s", "validated", "trials"),
    *("source", "own_name", "thread_safe"),
)
"""The fields of a tool that its owner is told."""


async def _awaited(result: Any) -> Any:
    return await result


def _refused(error: BaseException | None) -> bool:
    """Return whether the walls have refused something, by what an error and its causes say."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (1, 9, 13, 30):  # EPERM, EBADF, ...
            return True
        if not isinstance(error, PermissionError) and _REFUSED.search(describe_error(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def runner(settings: Mapping[str, Any]) -> Hosted:
    """Return what answers the requests of a host."""
    with suppress(OSError):  # a trial says what is missing here
        seccomp.program("trial")  # made once, before any fork
    return Hosted(settings["scratch"])
