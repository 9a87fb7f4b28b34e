"""Python objects of this process as tools: their public methods."""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from toolmaster.errors import InputError
from toolmaster.tools.functions import convert, describe, marks
from toolmaster.tools.tool import Tool, ToolSet
from toolmaster.types import Effect

SNAPSHOT = "snapshot"


def from_object(
    *objects: Any,
    effects: Mapping[str, Effect] | None = None,
    timeout_s: float | None = None,
    forkable: bool = True,
) -> ToolSet:
    """Turn the public methods of objects into tools over these objects as the state.

    The methods run in this process. Nothing here can copy an object with all that it reaches, so
    trials only call methods that read, unless every object has a method `snapshot()`. By giving it,
    a class says that its snapshots share nothing with the object and that its methods change
    nothing else: no file, no global, no class attribute, nothing over the network. Trials then call
    all methods, on snapshots. A class that cannot say this is better named as a source
    (`shop.py:shop`), where a process of its own keeps trials apart.

    One call at a time runs on an object, or on several that were given together, except calls of
    methods that the decorator `tool` says are thread-safe.

    Args:
        objects: the objects; every parameter of a public method needs a type hint, and its
            docstring is read as by `from_function`.
        effects: what a call may do, by method name; a method not named has the effect that the
            decorator `tool` gives it, or else `unknown`.
        timeout_s: seconds one call may take; None runs it inline without a limit. A plain method
            that is cut off goes on in its thread and may still change its object.
        forkable: False if trials may only read although the objects give snapshots.

    Returns:
        The tools, in the order of the classes' definitions. `state` is the tuple of the objects.

    Raises:
        InputError: a method that cannot be a tool, two methods with one name, or an effect for a
            method that is not there.
    """
    effects = effects or {}
    tools = []
    for index, instance in enumerate(objects):
        for method in _public_methods(type(instance)):
            told = {"effect": Effect.UNKNOWN, "timeout_s": timeout_s, **marks(method)}
            if method.__name__ in effects:
                told["effect"] = effects[method.__name__]
            tools.append(_tool(index, method, **told))
    whole = forkable and objects and all(hasattr(instance, SNAPSHOT) for instance in objects)
    tool_set = ToolSet(tuple(tools), objects, _snapshots if whole else None, object_of=_made)
    for name in effects:
        if name not in tool_set:
            close = difflib.get_close_matches(name, tool_set.names(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed: {list(tool_set.names())}"
            raise InputError(f"effect of {name!r}: there is no such public method; {hint}")
    return tool_set


def _made(objects: tuple[Any, ...]) -> Any:
    """Return the one object, or all of several."""
    return objects[0] if len(objects) == 1 else objects


def _snapshots(objects: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return snapshots of the objects.

    Raises:
        InputError: a snapshot is the object itself, or something else.
    """
    taken = tuple(instance.snapshot() for instance in objects)
    for instance, copy in zip(objects, taken, strict=True):
        if type(copy) is not type(instance) or copy is instance:
            name = type(instance).__name__
            what = "itself" if copy is instance else f"a {type(copy).__name__}"
            raise InputError(f"{name}.snapshot() returned {what}; it is to return another {name}")
    return taken


def _public_methods(cls: type) -> Iterator[Callable[..., Any]]:
    """The methods that policies may call, those of base classes first."""
    seen = {SNAPSHOT}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if not name.startswith("_") and name not in seen and inspect.isfunction(member):
                seen.add(name)
                method = getattr(cls, name)  # as the class itself has it
                if inspect.isfunction(method):
                    yield method


def _tool(index: int, method: Callable[..., Any], **told: Any) -> Tool:
    """One method of the object at `index` of the state."""
    name = method.__name__
    summary, model, schema = _describe(method)

    def execute(state: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
        return getattr(state[index], name)(**convert(model, arguments))

    async def execute_async(state: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
        return await execute(state, arguments)

    run = execute_async if inspect.iscoroutinefunction(method) else execute
    return Tool(name, summary, schema, run, acts_on=_made, **told)


@lru_cache(maxsize=4096)
def _describe(method: Callable[..., Any]) -> tuple[str, type[BaseModel], dict[str, Any]]:
    """Of the method as it is called: without `self`. Sessions make the same tools again."""
    return describe(types.MethodType(method, method))
