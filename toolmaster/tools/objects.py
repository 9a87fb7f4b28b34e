"""Python objects of this process as tools: their public methods."""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tools.functions import Convert, describe, marks, runner, usable
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
            docstring is read as by `from_function`. A method that cannot be a tool is left out; see
            `ToolSet.left_out`.
        effects: what a call may do, by method name; a method not named has the effect that the
            decorator `tool` gives it, or the class in its mapping `EFFECTS`, or else `unknown`.
        timeout_s: seconds one call may take; None runs it inline without a limit. A plain method
            that is cut off goes on in its thread and may still change its object.
        forkable: False if trials may only read although the objects give snapshots.

    Returns:
        The tools, in the order of the classes' definitions. `state` is the tuple of the objects.

    Raises:
        InputError: no method can be a tool, two have one name, or an effect is of a method that is
            not there.
    """
    effects = effects or {}
    tools: list[Tool] = []
    left_out: dict[str, str] = {}
    for index, instance in enumerate(objects):
        make = partial(_tool, index, type(instance), effects, timeout_s)
        made, reasons = usable(_public_methods(type(instance)), make)
        tools += made
        left_out |= reasons
    whole = forkable and objects and all(hasattr(instance, SNAPSHOT) for instance in objects)
    tool_set = ToolSet(tuple(tools), objects, _snapshots if whole else None, object_of=_made)
    tool_set.left_out = left_out
    for name in effects:
        if name not in tool_set and name not in left_out:
            close = difflib.get_close_matches(name, tool_set.names(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed: {list(tool_set.names())}"
            raise InputError(f"effect of {name!r}: there is no such public method; {hint}")
    return tool_set


def _made(objects: tuple[Any, ...]) -> Any:
    """Return the one object, or all of several."""
    return objects[0] if len(objects) == 1 else objects


def _snapshots(objects: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return snapshots of the objects; an InputError says that one is none."""
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
            if name.startswith("_") or name in seen or isinstance(member, type):
                continue
            method = getattr(cls, name)  # as the class itself has it
            if isinstance(inspect.unwrap(getattr(method, "__func__", method)), types.FunctionType):
                seen.add(name)
                yield method


def _tool(
    index: int,
    cls: type,
    effects: Mapping[str, Effect],
    timeout_s: float | None,
    method: Callable[..., Any],
) -> Tool:
    """One method of the object at `index` of the state."""
    name = method.__name__
    declared = getattr(cls, "EFFECTS", {}).get(name, Effect.UNKNOWN)
    told = {"effect": declared, "timeout_s": timeout_s, **marks(method)}
    if name in effects:
        told["effect"] = effects[name]
    static = isinstance(inspect.getattr_static(cls, name), staticmethod | classmethod)
    summary, convert, schema = _describe(method, static)

    def call(state: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
        return getattr(state[index], name)(**convert(arguments))

    run = runner(method, call)
    return Tool(name, summary, schema, run, acts_on=_made, **told)


@lru_cache(maxsize=4096)
def _describe(method: Callable[..., Any], static: bool) -> tuple[str, Convert, dict[str, Any]]:
    """Of the method as it is called: without `self`. Sessions make the same tools again."""
    return describe(method if static else types.MethodType(method, method))
