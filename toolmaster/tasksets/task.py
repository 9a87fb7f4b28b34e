"""`Task`: a request, its tools, and how the outcome is scored."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tasksets.answers import as_answer, same_answer
from toolmaster.tools import Tool, ToolSet, from_function, from_object
from toolmaster.tools.functions import is_function
from toolmaster.types import Effect, Message, Score, ToolCall, Trajectory, TrialMode

Checked = bool | float | Score
Check = Callable[[Trajectory, Any], "Checked | Awaitable[Checked]"]
"""A function from a finished trajectory and the real tools to a score; see `Task.check`."""
Calls = Sequence[Sequence[ToolCall]]
"""Calls that solve a task, one sequence per message of the user."""


class Isolation(StrEnum):
    """How the rollouts of a task are kept apart."""

    FRESH = "fresh"
    """A factory makes new tools for each rollout."""
    FORKED = "forked"
    """Each rollout works on a copy of the tools' state."""
    READ_ONLY = "read_only"
    """All rollouts use the same tools, none of which changes anything."""
    SHARED = "shared"
    """All rollouts change the same real state."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A message of the user after an answer."""

    message: str
    arrive: Callable[[ToolSet], ToolSet] | None = None
    """Called with the session's tools when the message arrives; returns the tools from then on.
    None keeps the tools."""


@dataclass(frozen=True, slots=True)
class Task:
    """A request of a user, to be done with tools.

    Args:
        id: unique in its task set.
        query: the request.
        tools: an object (its public methods are the tools), a list of functions or `Tool`s, or a
            `ToolSet`, whose state is copied for every rollout if possible; or a function or class
            without parameters that returns one of these, called for every rollout. If its tools are
            not all fresh, it has an attribute `isolation`.
        answer: the right answer, compared by `answers.same_answer`. None if there is none.
        check: called once at the end as `check(trajectory, made)`, plain or async, where `made` is
            the real object that the tools act on (the `ToolSet` if it was made of functions). It
            returns a `Score`, a bool, or a number in [0, 1]. Without it the answer decides.
        calls: known-good calls, one sequence per message of the user.
        needed: names of the tools that a right solution calls, if known.
        labels: names and values by which results are broken down.
        follow_ups: further messages of the user, one after each answer; the last answer counts.
        experience: lessons about the tools from earlier tasks, one line per tool, shown below the
            query as untrusted text.
        instructions: the user's own instructions, shown in the system message.
        history: earlier messages of the user and the answers to them, shown before the query.
        answer_schema: a JSON schema of the answer; an answer that breaks it is sent back.

    Raises:
        InputError: the id or the query is empty.

    Example:
        >>> def ordered_two(trajectory, shop):
        ...     return shop.orders == [("Oak Stool", 2)]
        >>> Task("order", "Order two Oak Stools.", tools=Shop, check=ordered_two)  # doctest: +SKIP
        >>> task = Task("sum", "What is 2 + 2?", tools=[], answer="4")
        >>> task.isolation()
        <Isolation.READ_ONLY: 'read_only'>
    """

    id: str
    query: str
    tools: Any
    answer: Any = None
    check: Check | None = None
    calls: Calls | None = None
    needed: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    follow_ups: tuple[FollowUp, ...] = ()
    experience: str = ""
    instructions: str = ""
    history: tuple[Message, ...] = ()
    answer_schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("id", "query"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise InputError(
                    f"a task's {name} must be text that is not empty; received {value!r}"
                )

    def make_tools(self) -> ToolSet:
        """Make the tools of one rollout.

        Raises:
            InputError: `tools` cannot be made into tools.
        """
        if _is_factory(self.tools):
            return as_tool_set(self.tools())
        tools = as_tool_set(self.tools)
        return tools if tools.copy_state is None else tools.fork()

    def isolation(self) -> Isolation:
        """Return how the rollouts of this task are kept apart.

        Raises:
            InputError: `tools` cannot be made into tools.
        """
        if _is_factory(self.tools):
            return getattr(self.tools, "isolation", Isolation.FRESH)
        return isolation_of(as_tool_set(self.tools))

    async def score(self, trajectory: Trajectory, tools: ToolSet) -> Score | None:
        """Return the score of a finished trajectory; None if there is neither check nor answer.

        Args:
            trajectory: the rollout, with its answer.
            tools: the real tools it used.

        Raises:
            Exception: the error of the check, or an InputError if it returns another type.
        """
        expected = "" if self.answer is None else f"the answer {as_answer(self.answer)!r}"
        if self.check is not None:
            checked = self.check(trajectory, tools.subject())
            return as_score(await checked if inspect.isawaitable(checked) else checked, expected)
        if self.answer is None:
            return None
        right = same_answer(trajectory.answer, self.answer)
        return Score.of(right, expected, answer=float(right))


def isolation_of(tools: ToolSet) -> Isolation:
    """Return how rollouts that start with these tools are kept apart."""
    if tools.live:
        return Isolation.SHARED
    changing = [tool for tool in tools.tools if tool.effect is not Effect.READ]
    if not changing and tools.copy_state is None:
        return Isolation.READ_ONLY
    forked = all(tools.trial_mode(tool.name) is TrialMode.FORK for tool in changing)
    return Isolation.FORKED if forked else Isolation.SHARED


def _is_factory(tools: Any) -> bool:
    """Return whether `tools` is called to make tools: it needs no argument and is not a tool."""
    if isinstance(tools, Tool) or not callable(tools):
        return False
    try:
        parameters = inspect.signature(tools).parameters.values()
    except (TypeError, ValueError):  # a class written in C
        return True
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in kinds for p in parameters)


def as_tool_set(made: Any) -> ToolSet:
    """Return the tool set of a `ToolSet`, a `Tool` or function, a list of them, or an object.

    The public methods of an object become the tools.

    Raises:
        InputError: there is nothing in it that can be a tool.
    """
    if isinstance(made, ToolSet):
        return made
    if isinstance(made, Tool) or is_function(made):
        made = [made]
    if isinstance(made, Sequence) and not isinstance(made, str | bytes):
        return ToolSet(tuple(t if isinstance(t, Tool) else from_function(t) for t in made))
    if isinstance(made, type):
        raise InputError(
            f"a task's tools: {made.__name__} cannot be made without arguments; give a function"
            f" without parameters that makes it, as in `lambda: {made.__name__}(...)`"
        )
    if made is None or isinstance(made, str | bytes | int | float | Mapping):
        raise InputError(
            f"a task's tools are an object, a list of functions, a ToolSet, or a function that"
            f" makes one of these; received {made!r}"
        )
    tools = from_object(made)
    if not tools.tools:
        raise InputError(
            f"a task's tools: {type(made).__name__} has no public method that is a function"
        )
    return tools


def as_score(checked: Any, expected: str = "") -> Score:
    """Return the result of a check as a score.

    Args:
        checked: a `Score`, a bool or a number from 0 to 1.
        expected: the right outcome in words, for a check that returns no `Score`.

    Raises:
        InputError: the check returned something else.
    """
    if isinstance(checked, Score):
        return checked
    if isinstance(checked, bool | int | float) and 0 <= checked <= 1:
        return Score(value=float(checked), success=checked == 1, expected=expected)
    raise InputError(
        f"a task's check returns a Score, a bool or a number from 0 to 1; it returned {checked!r}"
    )
