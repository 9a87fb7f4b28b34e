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
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
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
_CHANGING = frozenset(
    (
        *(
            "open",
            "os.chmod",
            "os.chown",
            "os.link",
            "os.mkdir",
            "os.remove",
            "os.rename",
            "os.rmdir",
        ),
        *("os.removexattr", "os.setxattr", "os.symlink", "os.truncate", "os.utime"),
    )
)
"""Audit events of code that may change the files that it names."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_REFUSED = re.compile(
    r"Operation not permitted|Permission denied|Bad file descriptor|readonly database|"
    r"unable to open database|disk I/O error|name resolution|resolve host|Name or service not known"
)
"""What code says that the walls have refused, where it does not pass on the error itself."""
SHOWN = (
    *("name", "description", "parameters", "effect", "timeout_s", "validated", "trials"),
    *("source", "own_name", "thread_safe"),
)
"""The fields of a tool that its owner is told."""


class Hosted:
    """Answers the requests of one host.

    Args:
        scratch: the scratch folder.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = os.path.realpath(scratch)
        self._loads: list[Callable[[], ToolSet]] = []
        self._sets: list[ToolSet] = []
        self._in_trial = False
        self._reached: list[str] = []
        """What a call in a trial has tried outside, whether or not it says so."""
        self._answering: set[int] = set()
        """The threads that call a tool now: files are watched there, and not where others work."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """Runs async tools."""
        self._earlier: list[asyncio.AbstractEventLoop | None] = []
        """Those of the processes before a fork: to close one would change what they wait for."""

    def forked(self, letter: bytes, _parent: int, control: int) -> None:
        """Begin a trial, or work for real, in a process that was just forked."""
        if letter == wire.FORK:
            random.seed()
        if letter == wire.TRY:
            self._scratch = os.path.join(self._scratch, str(os.getpid()))
            os.mkdir(self._scratch)
            walls.bind_trial(self._scratch, control)
            self._in_trial = sys.dont_write_bytecode = True
            sys.addaudithook(self._watch)
        if letter != wire.STANDBY:  # which goes on with the loop, as if it were the one before
            self._earlier.append(self._loop)
            self._loop = None

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _REACHING or (event == "socket.__new__" and arguments[1] != 1):  # AF_UNIX
            self._reached.append(event)
        elif event in _CHANGING and threading.get_ident() in self._answering:
            with suppress(OSError, TypeError, ValueError):  # a descriptor, or no path at all
                if self._changes(event, *arguments):
                    self._reached.append(f"{event} {os.fsdecode(arguments[0])!r}")

    def _changes(self, event: str, path: Any, *more: Any) -> bool:
        """Return whether code that names a path changes something outside the scratch folder."""
        if event == "open":
            return bool(more[1] & _WRITES) and self._outside(path) and os.path.isdir(_above(path))
        if event in ("os.link", "os.symlink"):
            return self._outside(more[0])
        if event == "os.rename":
            return os.path.lexists(path) and (self._outside(path) or self._outside(more[0]))
        if event in ("os.remove", "os.rmdir") and more[0] >= 0:  # in a folder that is open
            path = f"/proc/self/fd/{more[0]}/{os.fsdecode(path)}"
        return self._outside(path) and os.path.lexists(path) is not (event == "os.mkdir")

    def _outside(self, path: Any) -> bool:
        whole = os.path.realpath(os.fsdecode(path))
        return not whole.startswith((f"{self._scratch}/", *walls.DEVICES))

    def in_thread(self, request: dict[str, Any]) -> bool:
        """Return whether the request is a call of a tool that is declared thread-safe."""
        return "call" in request and self._tool(*request["call"]).thread_safe

    def answer(self, request: dict[str, Any]) -> bytes:
        """Return JSON text: `{"value": ...}`, or `{"error": text, "kind": of the error}`."""
        self._reached.clear()
        self._answering.add(threading.get_ident())
        try:
            value = self._value(request)
            if self._reached:
                raise NotTried(self._reached[0])
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is an answer
            return self._error(error)
        finally:
            self._answering.discard(threading.get_ident())
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
                made = [self._sets[index].subject() for index in indexes]
                result = find_object(name)(made[0] if len(made) == 1 else (*made,), *arguments)
                return self._done(result, together=False)
            case {"call": [index, name], "arguments": arguments}:
                tool = self._tool(index, name)
                result = tool.execute(self._sets[index].state, arguments)
                return self._done(result, together=tool.thread_safe)
        return None

    def _load(self, place: str, name: str | None, timeout_s: float) -> dict[str, Any]:
        """Load a source and describe it."""
        load = partial(load_python, place, name, timeout_s=timeout_s)
        tools = load()
        self._loads.append(load)
        self._sets.append(tools)
        fresh = name is not None and makes_tools(find_object(f"{place}:{name}"))
        shown = [{key: getattr(tool, key) for key in SHOWN} for tool in tools.tools]
        left_out = dict(tools.left_out)
        return {"tools": shown, "fresh": fresh, "live": tools.live, "left_out": left_out}

    def _tool(self, index: int, name: str) -> Tool:
        return self._sets[index][name]

    def _done(self, result: Any, *, together: bool) -> Any:
        """Return a result, or what it gives when it is awaited."""
        if not inspect.isawaitable(result):
            return result
        if together:
            return asyncio.run(_awaited(result))
        self._loop = self._loop or asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(_awaited(result))


async def _awaited(result: Any) -> Any:
    return await result


def _above(path: Any) -> str:
    return os.path.dirname(os.path.abspath(os.fsdecode(path)))


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
