"""Stateful Python objects as tools: public methods, called on objects that can be forked."""

from __future__ import annotations

import copy
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

    The tools call the methods of whatever object is in the state, so a fork's tools change only the
    fork. An object is forked by its method `snapshot()`, which returns another object of the same
    class with the same state, or else by `copy.deepcopy`; objects without `snapshot()` are copied
    together, so that what they share stays shared. What a method changes outside its object (class
    attributes, globals, files) is not forked. One call at a time runs on an object, or on several
    that were given together, except calls of methods that the decorator `tool` says are
    thread-safe.

    Args:
        objects: the objects; every parameter of a public method needs a type hint, and its
            docstring is read as by `from_function`.
        effects: what a call may do, by method name; a method not named has the effect that the
            decorator `tool` gives it, or else `unknown`.
        timeout_s: seconds one call may take; None runs it inline without a limit. A plain method
            that is cut off goes on in its thread and may still change its object.
        forkable: False for objects that cannot be copied: trials may then only call methods that
            read.

    Returns:
        The tools, in the order of the classes' definitions. `state` is the tuple of the objects.

    Raises:
        InputError: a method that cannot be a tool, two methods with one name, an effect for a
            method that is not there, or an object that cannot be copied.
    """
    effects = effects or {}
    tools = []
    for index, instance in enumerate(objects):
        for method in _public_methods(type(instance)):
            told = {"effect": Effect.UNKNOWN, "timeout_s": timeout_s, **marks(method)}
            if method.__name__ in effects:
                told["effect"] = effects[method.__name__]
            tools.append(_tool(index, method, **told))
    copy_state = copy_objects if forkable else None
    tool_set = ToolSet(tuple(tools), objects, copy_state, object_of=_made)
    for name in effects:
        if name not in tool_set:
            close = difflib.get_close_matches(name, tool_set.names(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed: {list(tool_set.names())}"
            raise InputError(f"effect of {name!r}: there is no such public method; {hint}")
    if forkable:
        copy_objects(objects)  # says now, not in the first trial, what cannot be copied
    return tool_set


def _made(objects: tuple[Any, ...]) -> Any:
    """The one object, or all of several."""
    return objects[0] if len(objects) == 1 else objects


def copy_objects(objects: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copies of the objects that share nothing with them that changes.

    Raises:
        InputError: an object cannot be copied, or its snapshot is something else.
    """
    copies: dict[int, Any] = {}
    for instance in objects:
        if hasattr(instance, SNAPSHOT):
            copies[id(instance)] = _snapshot(instance)
    try:
        return tuple(copy.deepcopy(objects, copies))
    except Exception as error:
        names = ", ".join(type(instance).__name__ for instance in objects)
        raise InputError(
            f"{names}: cannot be copied for trials: {error}; give the class a method `snapshot()`"
            " that returns a copy, or let trials only read: put `trials=read_only read=NAME` behind"
            " the source, where NAME is a tool that reads (in Python: forkable=False)"
        ) from error


def _snapshot(instance: Any) -> Any:
    taken = instance.snapshot()
    if type(taken) is not type(instance) or taken is instance:
        name = type(instance).__name__
        what = "itself" if taken is instance else f"a {type(taken).__name__}"
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
