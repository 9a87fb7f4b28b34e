"""The tool host: a user's Python modules run in a process of their own, and trials in its forks.

A module, class or object that is named as a source is loaded in a child process and never in this
one. A trial is a fork of that process: everything in its memory is there, and whatever the trial
changes ends with it. Walls keep it from the files, the network and the processes outside; see
`sandbox.walls`. Real calls run in the host itself, one at a time, except those of tools that are
declared thread-safe.

A call that is cut off ends its process. A reserve, forked before the call, takes its place with the
state of before.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tools.sandbox.process import START_S, Ended, Process, Program
from toolmaster.tools.sandbox.wire import FORK, STANDBY, TRY
from toolmaster.tools.tool import NotTried, Tool, ToolRefusal, ToolSet
from toolmaster.types import Effect, TrialMode

_log = logging.getLogger(__name__)
RUNNER = "toolmaster.tools.hosted"
MAX_RESULT = 64 << 20
"""Bytes of JSON that a call may return."""
RESERVE_S, MOST_RESERVES = 0.02, 50
"""Seconds between two reserves while calls follow one another without a pause, and how many may be
made sooner: to fork for each of thousands of calls a second would take most of the time."""
PythonSource = tuple[str, str | None, float]
"""A file or module, the name in it, and the seconds that one call may take."""


class HostState:
    """The state of the tools of a host, or of a fork of it.

    Args:
        letter: what it is for, see `wire`; b"" for the host itself.
        sources: what the host loads.
        origin: the state that it is a fork of; None for the host itself.
        make: indexes of the sources whose objects are made anew.

    Raises:
        InputError: a source cannot be loaded, or the process cannot be started or forked.
    """

    def __init__(
        self,
        letter: bytes,
        sources: Sequence[PythonSource],
        origin: HostState | None = None,
        make: Sequence[int] = (),
    ) -> None:
        self._letter, self._sources, self._origin, self._make = letter, sources, origin, make
        self.loaded: list[dict[str, Any]] = []
        """What each source holds, for the host itself."""
        self._reserve: Process | None = None
        self._next_reserve = 0.0
        """A time of the monotonic clock, which may lie in the past."""
        self._changed = False
        self._unkept = 0
        """Calls that may have changed the state since the reserve was forked."""
        self._lost = ""
        self._process: Process | None = self._begin()

    def _begin(self) -> Process:
        """Return a process with the first state."""
        if self._origin is not None:
            return self._fork_of(self._origin._running())
        program = Program(RUNNER, {})
        try:
            program.wait_ready(START_S)
            self.loaded = program.tell({"load": self._sources}, START_S)
        except InputError as error:
            program.kill()
            program.close()
            places = ", ".join(place for place, *_ in self._sources)
            lost = f"{places}: its process ended, or took too long, while it was loaded"
            raise InputError(str(error) or lost) from None
        return program

    def _fork_of(self, process: Process) -> Process:
        try:
            fork = process.fork(self._letter)
            fork.wait_ready()
            if self._make:
                fork.tell({"make": self._make})
        except InputError as error:
            lost = "the process of the tools has ended, or is busy with a call"
            raise InputError(str(error) or lost) from None
        return fork

    def _running(self) -> Process:
        if self._process is None:
            self._process = self._begin()
        return self._process

    def fork(self, *, trial: bool = False) -> HostState:
        """Return a fork, while no call is running.

        Args:
            trial: whether walls are put around it.

        Raises:
            InputError: it cannot be forked, or the walls cannot be built.
        """
        return HostState(TRY if trial else FORK, self._sources, self)

    def fresh(self) -> HostState:
        """Return a fork in which classes and factories have made their objects anew."""
        fresh = [index for index, source in enumerate(self.loaded) if source["fresh"]]
        return HostState(FORK, self._sources, self, fresh)

    def reloaded(self) -> HostState:
        """Return another host with the same sources."""
        return HostState(b"", self._sources)

    def tell(self, request: dict[str, Any]) -> Any:
        """Return the answer to a request, blocking.

        Raises:
            InputError: the answer is an error.
        """
        return self._running().tell(request)

    async def apply(self, name: str, to: Sequence[int], *arguments: Any) -> Any:
        """Return what a function that is named, as in `file.py:NAME`, makes of the objects here.

        Args:
            name: the function; it gets the object (a tuple of several) and the arguments.
            to: indexes of the sources whose objects it gets.
            *arguments: JSON values.

        Raises:
            ToolRefusal: it fails.
        """
        request = {"apply": name, "to": to, "arguments": arguments}
        return await self._ask(request, reads=True, together=False)

    async def call(self, index: int, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Return the result of a call.

        Raises:
            NotTried: this is a trial, and the call reached outside.
            ToolRefusal: the call failed, or ended its process.
        """
        request = {"call": [index, tool.own_name or tool.name], "arguments": arguments}
        reads = tool.effect is Effect.READ
        return await self._ask(request, reads=reads, together=tool.thread_safe)

    async def _ask(self, request: dict[str, Any], *, reads: bool, together: bool) -> Any:
        if self._lost:
            lost, self._lost = self._lost, ""
            raise ToolRefusal(f"not run: {lost}")
        process = self._process
        if process is None:
            process = await asyncio.to_thread(self._running)
        if not together:
            self._renew_reserve(process)
        begun: list[bool] = []
        try:
            body = await process.ask(json.dumps(request).encode(), MAX_RESULT, begun=begun)
        except asyncio.CancelledError:
            if begun:
                self._end(process)
            raise
        except Ended:
            self._end(process)
            state = self._lost or "the state is as it was before the call"
            raise ToolRefusal(f"the call ended the process that it ran in; {state}") from None
        if not reads:
            self._changed = True
            self._unkept += 1
        return _value(body)

    def _renew_reserve(self, process: Process) -> None:
        """Have a reserve forked with the present state, if it differs from that of the last one."""
        known = self._reserve is not None and not self._unkept
        now = time.monotonic()
        if known or not self._changed or self._letter == TRY or self._next_reserve > now:
            return
        self._drop_reserve()
        try:
            self._reserve = process.fork(STANDBY)  # it is waited for where it is needed
        except InputError:  # the process has ended, as its call will find
            return
        self._unkept = 0
        self._next_reserve = max(self._next_reserve, now - MOST_RESERVES * RESERVE_S) + RESERVE_S

    def _drop_reserve(self) -> None:
        if self._reserve is not None:
            self._reserve.kill()
            self._reserve = None

    def _end(self, process: Process) -> None:
        """End a process; its reserve takes its place, or else the first state comes back."""
        process.kill()
        if process is not self._process:
            return
        self._process, self._reserve = self._reserve, None
        try:
            if self._process is not None:
                self._process.wait_ready()
        except InputError:  # there are threads, which cannot be forked
            self._process = None
        if self._process is None:
            self._unkept, since = int(self._changed), "at first"
            self._changed = False
        else:
            since = f"{self._unkept} calls before"
        if self._unkept:
            self._lost = (
                "an earlier call was cut off, and what calls had changed before it is lost; the"
                f" state is as it was {since}"
            )
            self._unkept = 0

    def close(self) -> None:
        """End the host and all its forks, in order."""
        self._drop_reserve()
        if self._process is not None:
            self._process.close()
            self._process = None


@dataclass(frozen=True, slots=True)
class Subject:
    """The object of a source, which lives in a host.

    Args:
        index: the index of the source.
        state: the state in which it is.
    """

    index: int
    state: HostState


def open_host(sources: Sequence[PythonSource]) -> list[ToolSet]:
    """Load sources in one host, which ends when its tools are no longer used.

    Returns:
        One tool set for each source, over one state. Trials run on forks where forks and walls can
        be had; otherwise the tools say why not.

    Raises:
        InputError: a source is missing, is broken or has no tools.
    """
    state = HostState(b"", sources)
    forkable, obstacle = _obstacle(state, trial=False), _obstacle(state, trial=True)
    for (place, *_), loaded in zip(sources, state.loaded, strict=True):
        if reasons := [f"{name}: {why}" for name, why in loaded["left_out"].items()]:
            counts = f"left out {len(reasons)} of {len(loaded['tools']) + len(reasons)}"
            _log.warning("%s: %s: %s", place, counts, "; ".join(reasons[:3]))
    return [
        _tool_set(index, loaded, state, not forkable, forkable or obstacle)
        for index, loaded in enumerate(state.loaded)
    ]


def _obstacle(state: HostState, *, trial: bool) -> str:
    """Return why the state cannot be forked so; "" if it can."""
    try:
        state.fork(trial=trial)
    except InputError as error:
        return str(error) or "it cannot be forked"
    return ""


def _tool_set(
    index: int, loaded: dict[str, Any], state: HostState, forkable: bool, obstacle: str
) -> ToolSet:
    usable = forkable and not loaded["live"]
    return ToolSet(
        tuple(_tool(index, told, obstacle) for told in loaded["tools"]),
        state,
        HostState.fork if usable else None,
        partial(HostState.fork, trial=True) if usable else None,
        loaded["live"],
        partial(Subject, index),
        loaded["left_out"],
    )


def _tool(index: int, told: dict[str, Any], obstacle: str) -> Tool:
    trials = told["trials"] and TrialMode(told["trials"])
    if obstacle and trials in (None, TrialMode.FORK):
        trials = TrialMode.READ_ONLY

    async def execute(state: HostState, arguments: dict[str, Any]) -> Any:
        return await state.call(index, tool, arguments)

    tool = Tool(**{**told, "trials": trials}, execute=execute, obstacle=obstacle)
    return tool


def _value(body: bytes) -> Any:
    """Return the value of an answer.

    Raises:
        NotTried, ToolRefusal: it is an error.
    """
    if len(body) > MAX_RESULT:
        raise ToolRefusal(f"the call was run; its result takes more than {MAX_RESULT >> 20} MiB")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):  # numbers too long, lists too deep
        return body.removeprefix(b'{"value": ').removesuffix(b"}").decode()
    if "error" not in answer:
        return answer["value"]
    if answer["kind"] == "not tried":
        raise NotTried(
            "not executed: the call is valid; a trial cannot run it, for it reaches for what no"
            f" trial may touch ({answer['error']})"
        )
    raise ToolRefusal(answer["error"])
