"""Where a session's observations come from: the live service, recordings, a simulator.

`connect` puts tools in front of an answerer and keeps what was called in the session's `History`,
so that a check can look at it and a simulator can stay consistent with what it said before.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolmaster.errors import PolicyError
from toolmaster.tools import Tool, ToolRefusal, ToolSet


@dataclass(frozen=True, slots=True)
class Visit:
    """One call and what came of it."""

    tool: str
    arguments: dict[str, Any]
    ok: bool
    """False where the tool refused."""
    result: Any


@dataclass(slots=True)
class History:
    """The state of a session: its calls in order."""

    visits: list[Visit] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Why the source of observations itself failed; such a rollout says nothing of the model."""

    def fork(self) -> History:
        """A copy for a trial; a fault there is a fault of the session."""
        return History(list(self.visits), self.faults)

    def succeeded(self) -> list[str]:
        """Tools that answered, in order."""
        return [visit.tool for visit in self.visits if visit.ok]

    def raise_fault(self) -> None:
        """Break the rollout if the source failed, so that it is run again.

        Raises:
            PolicyError: it did.
        """
        if self.faults:
            raise PolicyError(self.faults[0])


Answerer = Callable[[Tool, dict[str, Any], History], Awaitable[Any]]
"""From a tool, its arguments and the calls before to the result; raises ToolRefusal to refuse, and
PolicyError where the source of observations itself has failed."""


async def live(tool: Tool, arguments: dict[str, Any], _history: History) -> Any:
    """Answer with the tool itself."""
    if inspect.iscoroutinefunction(tool.execute) or tool.timeout_s is None:
        result = tool.execute(None, arguments)
    else:
        result = await asyncio.to_thread(tool.execute, None, arguments)
    return await result if inspect.isawaitable(result) else result


def unanswered(_state: Any, _arguments: dict[str, Any]) -> Any:
    """What stands in a tool until `connect` puts an answerer there."""
    raise NotImplementedError("answered by `connect`")


def connect(tools: Sequence[Tool], answerer: Answerer, *, harmless: bool) -> Callable[[], ToolSet]:
    """Tools that are answered by `answerer`.

    Args:
        tools: what the policy sees.
        answerer: what answers.
        harmless: whether no call has an effect outside the session: then trials may make any call.

    Returns:
        What makes a session's tool set; its state is a `History`.
    """
    connected = tuple(_connected(tool, answerer) for tool in tools)
    return lambda: ToolSet(connected, History(), History.fork if harmless else None)


def _connected(tool: Tool, answerer: Answerer) -> Tool:
    async def execute(history: History, arguments: dict[str, Any]) -> Any:
        history.raise_fault()
        try:
            result = await answerer(tool, arguments, history)
        except ToolRefusal as refusal:
            history.visits.append(Visit(tool.name, arguments, False, str(refusal)))
            raise
        except PolicyError as error:
            history.faults.append(str(error))
            raise
        history.visits.append(Visit(tool.name, arguments, True, result))
        return result

    return replace(tool, execute=execute)


def canonical(arguments: Any) -> str:
    """Arguments as JSON in one spelling: sorted keys, no spaces, 2.0 written as 2."""
    return json.dumps(_plain(arguments), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
