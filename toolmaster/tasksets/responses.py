"""Who answers the calls of tasks on web services, chosen by the options of a task set.

    responses=live        the service itself; recordings=FILE keeps its responses
    responses=recorded    what recordings=FILE holds; any other call is refused, and counted
    responses=simulated   simulator=openai:NAME; a call has the same response again, also from FILE
    responses=examples    the service's own example of each response, whatever the arguments are

Tools are put in front of it by `Connected`. A call is kept with its first response, so recordings
of a service that changes are only as faithful as the calls are in their first order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

from pydantic import ValidationError

from toolmaster.errors import ConfigError, InputError, first_problem
from toolmaster.judges.json_endpoint import endpoint_model
from toolmaster.runs import append_line, read_lines
from toolmaster.tasksets.resource import Held
from toolmaster.tasksets.simulator import Visit, open_simulator
from toolmaster.tasksets.task import Isolation
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Record, Trajectory

Kind = Literal["live", "recorded", "simulated", "examples"]
NO_EXAMPLE = "the documentation has no example of this response"
"""The observation of a call to a tool whose response has no example."""
MISS = "no response to this call was recorded"
"""The observation of a call that is not among the recordings."""

Answerer = Callable[[Tool, dict[str, Any], Sequence[Visit]], Awaitable[Any]]
"""From a tool, its arguments and the session's calls before to the result. It raises ToolRefusal
where the service refuses, and PolicyError where whoever answers has failed: the rollout breaks."""


class Recording(Record):
    """One response."""

    tool: str
    """See `Tool.own_name`."""
    arguments: dict[str, Any]
    result: Any = None
    """Of a refusal, its text."""
    refused: bool = False
    source: str = "live"
    """Who answered: "live", or "simulated by MODEL"."""

    def give(self) -> Any:
        """Return the result; raise ToolRefusal where it was a refusal."""
        if self.refused:
            raise ToolRefusal(str(self.result))
        return self.result


Known = Callable[[Tool, dict[str, Any]], Recording | None]
"""Looks for the recorded response to a call."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Tools that an answerer answers; makes the tools of each rollout, see `Task.tools`.

    Args:
        tools: what the policy sees.
        answer: answers their calls.
        live: whether calls reach a real service: then trials may only call tools that read.
    """

    tools: Sequence[Tool]
    answer: Answerer
    live: bool = False

    @property
    def isolation(self) -> Isolation:
        """How the rollouts are kept apart."""
        return Isolation.SHARED if self.live else Isolation.FRESH

    def __call__(self) -> ToolSet:
        """Make the tools of one rollout; their state is the list of its visits."""
        tools = tuple(replace(tool, execute=self._execute(tool)) for tool in self.tools)
        return ToolSet(tools, [], None if self.live else list, live=self.live)

    def _execute(self, tool: Tool) -> Callable[[list[Visit], dict[str, Any]], Awaitable[Any]]:
        async def execute(visits: list[Visit], arguments: dict[str, Any]) -> Any:
            try:
                result = await self.answer(tool, arguments, visits)
            except ToolRefusal as refusal:
                visits.append(Visit(tool.name, arguments, str(refusal)))
                raise
            visits.append(Visit(tool.name, arguments, result))
            return result

        return execute


class Recordings:
    """Responses by call.

    Args:
        file: where they are read from and added to; None keeps them in memory.
        known: looks for a response elsewhere.

    Raises:
        InputError: a line of the file is no recording.
    """

    def __init__(self, file: Path | None, known: Known | None = None) -> None:
        self._file, self._known = file, known
        self._held: dict[tuple[str, str], Recording] = {}
        for number, line in enumerate(read_lines(file) if file else [], 1):
            try:
                self._hold(Recording.model_validate(line))
            except ValidationError as error:
                where, problem = first_problem(error)
                raise InputError(f"{file}, line {number}: {where}: {problem}") from None

    def __bool__(self) -> bool:
        return bool(self._held) or self._known is not None

    def find(self, tool: Tool, arguments: dict[str, Any]) -> Recording | None:
        """The response to a call, if there is one."""
        held = self._held.get((tool.own_name, canonical(arguments)))
        return self._known(tool, arguments) if held is None and self._known is not None else held

    def _hold(self, recording: Recording) -> Recording:
        return self._held.setdefault((recording.tool, canonical(recording.arguments)), recording)

    def kept(self, answer: Answerer, source: str, *, again: bool) -> Answerer:
        """An answerer that keeps what another one says.

        Args:
            answer: who is asked.
            source: what the recordings call it.
            again: whether a call that has a response gets it again instead of asking.
        """
        asking: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

        async def ask(tool: Tool, arguments: dict[str, Any], visits: Sequence[Visit]) -> Any:
            said: dict[str, Any] = {"tool": tool.own_name, "arguments": arguments, "source": source}
            try:
                said["result"] = await answer(tool, arguments, visits)
            except ToolRefusal as refusal:
                said |= {"result": str(refusal), "refused": True}
            new = Recording.model_validate(said)
            if self._hold(new) is new and self._file is not None:
                append_line(self._file, new.model_dump(mode="json", exclude_defaults=True))
            return new.give()

        async def once(tool: Tool, arguments: dict[str, Any], visits: Sequence[Visit]) -> Any:
            place = (tool.own_name, canonical(arguments))
            async with asking.setdefault(place, asyncio.Lock()):  # of calls made at the same time
                found = self.find(tool, arguments)
                return found.give() if found else await ask(tool, arguments, visits)

        return once if again else ask


def canonical(arguments: Any) -> str:
    """Arguments as one JSON text: sorted keys, no spaces, 2.0 written as 2."""
    return json.dumps(_plain(arguments), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers.

    Attributes:
        kind: the kind of answers.
        label: what results call it; it says which model invented what it answers.
        answer: answers a call.
        open: opens what that needs, for `Taskset.resources`.
    """

    kind: Kind
    label: str
    answer: Answerer
    open: Callable[[], AbstractAsyncContextManager[Any]] = field(default=nullcontext)

    def parts(self, trajectory: Trajectory) -> dict[str, float]:
        """The figure `unrecorded_calls`, how many calls have no recording, where that can be."""
        missed = [step for step in trajectory.calls() if step.observation == f"error: {MISS}"]
        return {"unrecorded_calls": len(missed)} if self.kind == "recorded" else {}


def answering(
    kind: Kind,
    live: Answering,
    examples: Mapping[str, Any],
    *,
    recordings: Path | None = None,
    known: Known | None = None,
    simulator: str | None = None,
    simulator_url: str | None = None,
) -> Answering:
    """Choose who answers.

    Args:
        kind: see the module's text.
        live: the service itself.
        examples: `Tool.own_name` to an example or the form of the response, where that is known. It
            may be filled later, before the first call.
        recordings: a JSON-lines file of responses.
        known: looks for a recorded response elsewhere.
        simulator: the model that simulates, as `openai:NAME`.
        simulator_url: its OpenAI-compatible endpoint; None for OpenAI's own.

    Raises:
        ConfigError: an option that the kind needs is missing, or one that it does not use is given.
        InputError: the recordings cannot be used, or there are none to answer with.
    """
    if (simulator is not None) != (kind == "simulated"):
        raise ConfigError("responses=simulated and simulator=openai:NAME go together")
    kept = Recordings(recordings, known)
    if simulator is not None:
        held = Held(lambda: open_simulator(simulator, simulator_url, examples))
        label = f"simulated by {endpoint_model('simulator', simulator)}"

        async def simulate(tool: Tool, arguments: dict[str, Any], visits: Sequence[Visit]) -> Any:
            return await held.now.answer(tool, arguments, visits)

        return Answering(kind, label, kept.kept(simulate, label, again=True), held.open)
    if kind == "live":
        answer = kept.kept(live.answer, live.label, again=False) if recordings else live.answer
        return replace(live, answer=answer)
    if kind == "recorded":
        if not kept:
            where = "responses=recorded" if recordings is None else str(recordings)
            raise InputError(f"{where}: no recorded responses; give recordings=FILE that has some")
        return Answering(kind, "recorded", _play(kept))
    return Answering(kind, "examples of the documentation", _show(examples))


def _play(kept: Recordings) -> Answerer:
    async def answer(tool: Tool, arguments: dict[str, Any], _visits: Sequence[Visit]) -> Any:
        found = kept.find(tool, arguments)
        if found is None:
            raise ToolRefusal(MISS)
        return found.give()

    return answer


def _show(examples: Mapping[str, Any]) -> Answerer:
    async def answer(tool: Tool, _arguments: dict[str, Any], _visits: Sequence[Visit]) -> Any:
        if examples.get(tool.own_name) is None:
            raise ToolRefusal(NO_EXAMPLE)
        return examples[tool.own_name]

    return answer
