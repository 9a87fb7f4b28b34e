"""Merges tool sets: each tool keeps its own state and its own trial mode."""

from __future__ import annotations

import inspect
import re
from collections.abc import Container, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from toolmaster.tools.tool import Tool, ToolSet

MAX_NAME_CHARS = 64
"""The longest name of a tool that OpenAI-compatible endpoints take."""


def merge(parts: Sequence[tuple[str, ToolSet]]) -> ToolSet:
    """Return one tool set with the tools of several.

    A fork copies the state of every part that can be forked; the tools of the others never run on a
    fork. A state that several parts share is copied once.

    Args:
        parts: Pairs of a label and a tool set. Tools that share a name get their label in front of
            it, and their original name in the description.

    Returns:
        One tool set, every tool with its `trials` set. Its `state` is the tuple of the parts'
        states; it is live if any part is. A check gets the object of the part that has one, or the
        tuple of objects if several have one.
    """
    names = iter(unique_names([(label, name) for label, part in parts for name in part.names()]))
    tools = tuple(
        _moved(tool, index, next(names), label, part)
        for index, (label, part) in enumerate(parts)
        for tool in part.tools
    )
    sets = [part for _, part in parts]
    objects = [(i, part.object_of) for i, part in enumerate(sets) if part.object_of is not None]

    def copied(states: tuple[Any, ...], *, trial: bool) -> tuple[Any, ...]:
        copies: dict[int, Any] = {}
        for part, state in zip(sets, states, strict=True):
            if part.copy_state is not None and id(state) not in copies:
                copies[id(state)] = replace(part, state=state).fork(trial=trial).state
        return tuple(copies.get(id(state), state) for state in states)

    def object_of(states: tuple[Any, ...]) -> Any:
        made = tuple(own(states[index]) for index, own in objects)
        return made[0] if len(made) == 1 else made

    return ToolSet(
        tools,
        tuple(part.state for part in sets),
        partial(copied, trial=False) if any(part.copy_state for part in sets) else None,
        partial(copied, trial=True) if any(part.try_state for part in sets) else None,
        any(part.live for part in sets),
        object_of if objects else None,
    )


def unique_names(tools: Sequence[tuple[str, str]]) -> list[str]:
    """Return one name for each `(label, tool)`: letters, digits, `_` and `-`, at most 64 of them.

    A tool keeps its name if no other tool has it; otherwise all tools of that name get their label
    in front. So does a name that begins with the label of others: rules may name those.
    """
    own = [_clean(tool) for _, tool in tools]
    labels = {label: f"{_clean(label)}_" for label, _ in tools}

    def is_free(label: str, name: str) -> bool:
        others = (labels[other] for other in labels if other != label)
        return own.count(name) == 1 and not name.startswith(tuple(others))

    kept = {name for (label, _), name in zip(tools, own, strict=True) if is_free(label, name)}
    names: list[str] = []
    for (label, tool), name in zip(tools, own, strict=True):
        wanted = name if name in kept else _clean(f"{label}_{tool}")
        names.append(unique_name(wanted, {*names, *(kept - {name})}))
    return names


def unique_name(name: str, taken: Container[str]) -> str:
    """Return a name in at most `MAX_NAME_CHARS` characters, with a number if it is taken."""
    number, candidate = 1, name[:MAX_NAME_CHARS]
    while candidate in taken:
        number += 1
        candidate = f"{name[: MAX_NAME_CHARS - len(str(number)) - 1]}_{number}"
    return candidate


def _moved(tool: Tool, index: int, name: str, label: str, part: ToolSet) -> Tool:
    """Return a tool of the part at `index` as a tool of the whole."""

    def execute(states: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
        return tool.execute(states[index], arguments)

    async def execute_async(states: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
        return await execute(states, arguments)

    note = f"[{tool.name!r} of {label!r}] " if name != tool.name else ""
    return replace(
        tool,
        name=name,
        description=note + tool.description,
        execute=execute_async if inspect.iscoroutinefunction(tool.execute) else execute,
        trials=part.trial_mode(tool.name),
        source=tool.source or label,
        own_name=tool.own_name or tool.name,
        acts_on=lambda states: tool.shared(states[index]),
    )


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:MAX_NAME_CHARS] or "tool"
