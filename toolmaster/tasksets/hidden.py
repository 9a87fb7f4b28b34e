"""`hidden=FAMILIES` on any task set: hidden behaviours over tools that somebody else made.

One tool of each task gets a behaviour of `toolmaster.world.behaviours`, drawn by the id of the task
from the same prior as in the embedded world, among those that change a known-good call. Tasks whose
tools fit none stay as they are, in the family "plain". The check of a task sees the calls as the
tool took them: it compares what was meant, and calls that the behaviour refused are not there.

Loud behaviours and faults can be found out. Silent ones can only where the documentation of a tool
has an example, irreversible ones only where something shows what was written.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from toolmaster.errors import ConfigError, InputError, PolicyError, did_you_mean
from toolmaster.tasksets.task import Calls, FollowUp, Task
from toolmaster.tasksets.taskset import TEST, Taskset
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import ErrorKind, ToolCall, Trajectory
from toolmaster.world.behaviours import (
    FAMILIES,
    PRIOR,
    Behaviour,
    Transient,
    WrongTwin,
    defaults_of,
    fitting,
    lay,
)

TOLD = (
    "loud behaviours and faults can be found out; silent ones only by a documented example,"
    " irreversible ones only if something shows what was written"
)
SEARCHED = 200
"""Tasks among which there must be one with a hidden behaviour."""


def hide(tasks: Taskset, families: str) -> Taskset:
    """Return the same tasks with a hidden behaviour each.

    Args:
        tasks: a task set whose tools are as documented.
        families: families of behaviours, separated by commas; "all" for all of them.

    Raises:
        ConfigError: there is no such family, or the set hides behaviours of its own.
        InputError: no tool of the first tasks can have such a behaviour.

    Example:
        >>> def price(item: str, currency: str = "EUR") -> str:
        ...     return f"5 {currency}"
        >>> call = ToolCall(name="price", arguments={"item": "cup"})
        >>> task = Task("cup", "What is a cup?", tools=[price], answer="5 EUR", calls=[[call]])
        >>> hide(Taskset("mine", [task]), "loud")[0].labels
        {'family': 'loud', 'behaviour': 'renamed parameter'}
    """
    named = tuple(one.strip() for one in families.split(","))
    chosen = FAMILIES if "all" in named else named
    for family in chosen:
        if family not in FAMILIES:
            hint, allowed = did_you_mean(family, FAMILIES), ", ".join(FAMILIES)
            raise ConfigError(f"hidden: no family {family!r}{hint}; allowed: all, {allowed}")
    if chosen == ("plain",):
        raise ConfigError("hidden=plain hides nothing; name another family as well")
    if tasks.oracle is not None:
        raise ConfigError(f"{tasks.name} hides behaviours of its own; choose with families=")
    name = f"{tasks.name} hidden={families}"
    hidden = tasks.mapped(lambda task: _hidden(task, chosen), name, hidden=TOLD)
    hidden.oracle = _refuse
    try:
        searched = itertools.islice(tasks, SEARCHED)
        found = any(True for task in searched for _ in _possible(task, chosen))
    except PolicyError:
        raise ConfigError(
            f"{hidden.name}: its tools come from a live source (MCP, OpenAPI), in which nothing can"
            " be hidden; tools in Python and benchmarks can have hidden behaviours"
        ) from None
    if not found:
        raise InputError(
            f"{hidden.name}: in the first {min(len(tasks), SEARCHED)} tasks no tool can have such a"
            " behaviour, or it would change no known-good call"
        )
    return hidden


async def _refuse(*_: object) -> None:
    raise ConfigError(
        "known-good calls of tools with hidden behaviours show what only a trial can find out;"
        " choose a teacher model"
    )


def _hidden(task: Task, families: Sequence[str]) -> Task:
    """Return a task with a behaviour of these families, if one of its tools fits."""
    rng = random.Random(f"{task.id}/hidden")
    drawn = _draw(task, families, rng)
    if drawn is None:
        return replace(task, labels={**task.labels, "family": "plain", "behaviour": "plain"})
    family, name, behaviour = drawn
    labels = {**task.labels, "family": family, "behaviour": behaviour.name}

    def laid(tools: ToolSet) -> ToolSet:
        found = [lay(tool, behaviour) if tool.name == name else tool for tool in tools.tools]
        return replace(tools, tools=tuple(found))

    def make_tools() -> ToolSet:
        return laid(task.make_tools())

    def arrived(turn: FollowUp, tools: ToolSet) -> ToolSet:
        new = turn.arrive(tools) if turn.arrive else tools
        kept = name in tools and name in new and new[name] is tools[name]
        return new if kept else laid(new)

    check = task.check

    make_tools.isolation = task.isolation()  # type: ignore[attr-defined]
    return replace(
        task,
        tools=make_tools,
        check=check and (lambda played, made: check(as_taken(played, name, behaviour), made)),
        calls=task.calls and _sent(task.calls, name, behaviour),
        labels=labels,
        follow_ups=tuple(replace(one, arrive=partial(arrived, one)) for one in task.follow_ups),
    )


def _draw(
    task: Task, families: Sequence[str], rng: random.Random
) -> tuple[str, str, Behaviour] | None:
    """Draw a family, the name of a tool, and its behaviour; None for no hidden behaviour."""
    possible = list(_possible(task, families))
    known = {"plain", *(family for family, *_ in possible)}
    allowed = [family for family in families if family in known]
    if not allowed:
        return None
    [family] = rng.choices(allowed, [PRIOR[one] for one in allowed])
    kinds = sorted({behaviour.name for one, _, behaviour in possible if one == family})
    if not kinds:
        return None
    kind = rng.choice(kinds)
    return rng.choice([one for one in possible if one[0] == family and one[2].name == kind])


def _possible(task: Task, families: Sequence[str]) -> Iterator[tuple[str, str, Behaviour]]:
    """Yield the behaviours that tools of a task can have, with the family and the tool of each."""
    rng = random.Random(f"{task.id}/possible")
    known = [call for turn in task.calls or () for call in turn]
    tools = task.make_tools()
    names = dict.fromkeys([*task.needed, *(call.name for call in known)]) or tools.names()
    for name in names:
        if name not in tools:  # it comes later
            continue
        calls = [call.arguments for call in known if call.name == name]
        for behaviour in fitting(tools[name], TEST, rng):
            family = behaviour.family(tools[name])
            twin = isinstance(behaviour, WrongTwin)  # there is no second tool
            if not twin and family in families and _fits(behaviour, tools[name], calls):
                yield family, name, behaviour


def _fits(behaviour: Behaviour, tool: Tool, calls: Sequence[dict[str, Any]]) -> bool:
    """Return whether a behaviour changes one of these calls, and who knows it can still make all.

    A tool of which no call is known has any.
    """
    defaults, laid = defaults_of(tool), lay(tool, behaviour)
    changes = isinstance(behaviour, Transient) or not calls
    for one in calls:
        meant = {**defaults, **one}
        try:
            sent = behaviour.send(one)
        except (KeyError, TypeError, ValueError):  # a call that is not as documented
            return False
        if _met(behaviour, sent, defaults) != meant or laid.violation(sent):
            return False
        changes = changes or _met(behaviour, one, defaults) != meant
    return changes


def _met(
    behaviour: Behaviour, arguments: dict[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what the tool makes of a call; None if it refuses it or cannot make sense of it."""
    try:
        return {**defaults, **behaviour.meet(arguments)}
    except (ToolRefusal, KeyError, TypeError, ValueError):
        return None


def _sent(calls: Calls, name: str, behaviour: Behaviour) -> Calls:
    """Return known-good calls as one who knows of the behaviour makes them."""
    changed: list[list[ToolCall]] = []
    fails = isinstance(behaviour, Transient)
    for turn in calls:
        changed.append([])
        for call in turn:
            if call.name != name:
                changed[-1].append(call)
                continue
            sent = call.model_copy(update={"arguments": behaviour.send(call.arguments)})
            changed[-1] += [sent, sent] if fails else [sent]
            fails = False
    return changed


def as_taken(trajectory: Trajectory, name: str, behaviour: Behaviour) -> Trajectory:
    """Return a trajectory with the calls of a tool with a behaviour as the tool took them.

    The calls that the behaviour refused are not there. Calls that did not reach the tool, as their
    arguments break its schema, are as they were.
    """
    steps = []
    for step in trajectory.steps:
        call = step.call
        if call is not None and call.name == name and step.error is ErrorKind.TOOL_ERROR:
            if _met(behaviour, call.arguments, {}) is None or isinstance(behaviour, Transient):
                continue
        elif call is not None and call.name == name and step.error is None:
            call = call.model_copy(update={"arguments": behaviour.meet(call.arguments)})
            step = step.model_copy(update={"call": call})  # noqa: PLW2901 - a changed copy
        steps.append(step)
    return trajectory.model_copy(update={"steps": steps})
