"""Python functions as tools: the schema comes from the signature and the docstring."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, create_model

from toolmaster.errors import InputError
from toolmaster.tools.tool import Tool
from toolmaster.types import Effect

_FIELD = "of_"
"""Prefix of model fields: pydantic refuses `schema`, `copy` or `_x`, which parameters may have."""


F = TypeVar("F", bound=Callable[..., Any])
_MARKS = "__tool__"
"""The attribute of a function in which `tool` stores its arguments."""


@overload
def tool(function: F) -> F: ...


@overload
def tool(
    *, effect: Effect | str = ..., timeout_s: float | None = ..., thread_safe: bool = ...
) -> Callable[[F], F]: ...


def tool(
    function: Any = None,
    *,
    effect: Effect | str = Effect.UNKNOWN,
    timeout_s: float | None = 30.0,
    thread_safe: bool = False,
) -> Any:
    """Declare the effect and limits of a function or method as a tool; it can be called as before.

    Args:
        function: the function, if the decorator is written without arguments.
        effect: "read", "write", "destructive" or "unknown": what a call may do to the world.
        timeout_s: seconds that one call may take.
        thread_safe: whether calls may run at the same time. Otherwise calls run one at a time, over
            all plain functions of the module or all methods of the object. Async functions that
            are not methods always run at the same time.

    Raises:
        ValueError: there is no such effect.

    Example:
        >>> @tool(effect="read")
        ... def get_price(item: str) -> int:
        ...     "Price of an item in dollars."
        ...     return 46
        >>> from_function(get_price).effect
        <Effect.READ: 'read'>
    """

    def mark(marked: Any) -> Any:
        options = {"effect": Effect(effect), "timeout_s": timeout_s, "thread_safe": thread_safe}
        setattr(marked, _MARKS, options)
        return marked

    return mark if function is None else mark(function)


def marks(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments of the decorator `tool` for a function; empty if it was not used."""
    return dict(getattr(function, _MARKS, {}))


def from_function(
    function: Callable[..., Any],
    *,
    effect: Effect | None = None,
    timeout_s: float | None = 30.0,
) -> Tool:
    """Turn a Python function, plain or async, into a tool.

    Plain functions of one module share its globals, and methods share their object, so their calls
    run one at a time. Async functions, and functions that `tool` marks as thread-safe, run at the
    same time.

    Args:
        function: every parameter needs a type hint; its docstring's first paragraph becomes the
            description, and lines of a Google-style `Args:` section the parameters' descriptions.
            A parameter whose name begins with `_` is hidden if it has a default.
        effect: what a call may do to the world; None takes the effect that `tool` declares, or else
            unknown.
        timeout_s: seconds that one call may take, unless `tool` declares them. A plain function
            runs in a thread, which cannot be killed: after the limit its result is ignored.

    Raises:
        InputError: the function has no name (a `functools.partial`) or is a generator, or a
            parameter cannot be passed by name or has a type hint that is missing, that cannot be
            read or that has no JSON schema.
    """
    if not hasattr(function, "__name__"):
        raise InputError(
            f"a tool needs a function with a name, got {function!r}; write one that calls it:"
            " def NAME(parameter: type): return ..."
        )
    name = function.__name__
    summary, model, schema = describe(function)

    def execute(_state: Any, arguments: dict[str, Any]) -> Any:
        return function(**convert(model, arguments))

    async def execute_async(_state: Any, arguments: dict[str, Any]) -> Any:
        return await execute(_state, arguments)

    run = execute_async if inspect.iscoroutinefunction(function) else execute
    shared = _shared(function)
    options = {"effect": Effect.UNKNOWN, "timeout_s": timeout_s, **marks(function)}
    if effect is not None:
        options["effect"] = effect
    return Tool(name, summary, schema, run, acts_on=lambda _state: shared, **options)


def _shared(function: Callable[..., Any]) -> Any:
    """Return what calls of a function may change: its object, or the globals of its module."""
    bound = getattr(function, "__self__", None)
    if bound is not None or inspect.iscoroutinefunction(function):
        return bound
    return getattr(inspect.unwrap(function), "__globals__", function)


def describe(function: Callable[..., Any]) -> tuple[str, type[BaseModel], dict[str, Any]]:
    """Return what a tool shows of a function.

    Returns:
        The description, a model that converts the arguments, and their JSON schema.

    Raises:
        InputError: see `from_function`.
    """
    name = function.__name__
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InputError(
            f"tool {name!r}: it yields; let it return a list, or, if it is not a tool, begin its"
            " name with `_`"
        )
    hints = _hints(function)
    summary, notes = _docstring(inspect.getdoc(function) or "")
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name.startswith("_") and parameter.default is not parameter.empty:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InputError(
                f"tool {name!r}: parameter {parameter.name!r} cannot be passed by name"
            )
        if parameter.name not in hints:
            raise InputError(f"tool {name!r}: parameter {parameter.name!r} needs a type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    model, schema = _model(name, fields)
    schema.pop("title", None)
    schema.setdefault("properties", {})
    for key, prop in schema["properties"].items():
        prop.pop("title", None)
        if key in notes:
            prop["description"] = notes[key]
    return summary, model, schema


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        raise InputError(
            f"tool {function.__name__!r}: its type hints cannot be read: {type(error).__name__}:"
            f" {error}; they need names that exist at run time, so import them outside"
            " `if TYPE_CHECKING`"
        ) from error


def _model(name: str, fields: dict[str, Any]) -> tuple[type[BaseModel], dict[str, Any]]:
    """Return a model of these parameters and its JSON schema."""
    named = {f"{_FIELD}{key}": field for key, field in fields.items()}
    config = ConfigDict(extra="forbid", alias_generator=_parameter)
    try:
        model: type[BaseModel] = create_model(name, __config__=config, **named)
        return model, model.model_json_schema()
    except Exception as error:
        if len(fields) > 1:
            for key, field in fields.items():
                _model(name, {key: field})  # raises for the parameter at fault
        shown = ", ".join(f"{key}: {inspect.formatannotation(fields[key][0])}" for key in fields)
        raise InputError(
            f"tool {name!r}: no JSON schema can be made of its parameter {shown}; use str, int,"
            " float, bool, list, dict, Literal, an enum, a dataclass or a pydantic model, or, if it"
            " is not a tool, begin its name with `_`"
        ) from error


def convert(model: type[BaseModel], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments converted to the types of their hints, with defaults."""
    validated = model.model_validate(arguments)
    return {_parameter(key): getattr(validated, key) for key in model.model_fields}


def _parameter(field: str) -> str:
    return field.removeprefix(_FIELD)


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a Google-style docstring into its first paragraph and its argument notes."""
    summary = " ".join(text.partition("\n\n")[0].split())
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", text, flags=re.MULTILINE)
    notes: dict[str, str] = {}
    if section:
        lines = section.group(1)
        for match in re.finditer(r"^ {4}(\w+)[^:\n]*:((?:.*)(?:\n {6,}.*)*)", lines, re.MULTILINE):
            notes[match.group(1)] = " ".join(match.group(2).split())
    return summary, notes
