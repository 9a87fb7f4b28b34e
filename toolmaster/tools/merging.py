"""Several tool sets as one: each tool keeps its own state and its own way of being tried."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from toolmaster.tools.tool import Tool, ToolSet

_NAME_CHARS = 64
"""The longest name that OpenAI-compatible endpoints take."""


def merge(parts: Sequence[tuple[str, ToolSet]]) -> ToolSet:
    """Put tool sets together.

    A fork copies the state of every part that can be forked; the tools of the others are never run
    on a fork. Parts are copied one by one: what two of them share is copied twice.

    Args:
        parts: `(label, tools)`. Tools that share a name take their label in front, and say in
            their description what they are called where they come from.

    Returns:
        One tool set, every tool with its `trials` set. `state` is the tuple of the parts' states;
        it is live where a part is. A check looks at the object of the part that has one, or at the
        tuple of objects where several have.
    """
    names = iter(unique_names([(label, name) for label, part in parts for name in part.names()]))
    tools = [
        _moved(tool, index, next(names), label, part)
        for index, (label, part) in enumerate(parts)
        for tool in part.tools
    ]
    copies = [part.copy_state for _, part in parts]

    def copy_states(states: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            copy(state) if copy else state for copy, state in zip(copies, states, strict=True)
        )

    states = tuple(part.state for _, part in parts)
    live = any(part.live for _, part in parts)
    copy_state = copy_states if any(copies) else None
    return ToolSet(tuple(tools), states, copy_state, live, _object_of([part for _, part in parts]))


def _object_of(parts: Sequence[ToolSet]) -> Callable[[tuple[Any, ...]], Any] | None:
    """From the states of the parts to the object, or the objects, that their tools act on."""
    found = [(i, part.object_of) for i, part in enumerate(parts) if part.object_of is not None]

    def object_of(states: tuple[Any, ...]) -> Any:
        objects = tuple(own(states[index]) for index, own in found)
        return objects[0] if len(objects) == 1 else objects

    return object_of if found else None


def unique_names(tools: Sequence[tuple[str, str]]) -> list[str]:
    """One name for each `(label, tool)`: letters, digits, `_` and `-`, at most 64 of them.

    A tool keeps its own name where no other has it; tools that share one all take their label in
    front.
    """
    own = [_clean(tool) for _, tool in tools]
    shared = Counter(own)
    names: list[str] = []
    for (label, tool), name in zip(tools, own, strict=True):
        wanted = _clean(f"{label}_{tool}") if shared[name] > 1 else name
        candidate, number = wanted, 1
        while candidate in names or (candidate != name and candidate in shared):
            number += 1
            candidate = f"{wanted[: _NAME_CHARS - 4]}_{number}"
        names.append(candidate)
    return names


def _moved(tool: Tool, index: int, name: str, label: str, part: ToolSet) -> Tool:
    """A tool of the part at `index` as one of the whole."""

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
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:_NAME_CHARS] or "tool"
