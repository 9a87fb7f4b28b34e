"""Python functions as tools: the schema comes from the signature and the docstring."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import math
import sys
import types
import typing
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import Any, TypeGuard, TypeVar, overload

import docstring_parser
import typing_extensions
from pydantic import TypeAdapter
from pydantic_core import ArgsKwargs

from toolmaster.errors import InputError
from toolmaster.tools.libraries import from_library, is_library_tool, wrapped
from toolmaster.tools.tool import Tool
from toolmaster.types import Effect

Convert = Callable[[dict[str, Any]], dict[str, Any]]
MAX_ITEMS = 1000
"""Most items that are taken of a result that yields them."""


F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=Callable[..., Any])
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
        function: a function, or a tool object of LangChain, smolagents, LlamaIndex or pydantic-ai.
            Every parameter of a function needs a type hint. Its docstring's first paragraph becomes
            the description; the parameters' descriptions are taken from its docstring (Google,
            NumPy or Sphinx style) or from `Annotated`. A parameter whose name begins with `_` is
            hidden if it has a default. What a function yields is returned as a list of at most
            `MAX_ITEMS`.
        effect: what a call may do to the world; None takes the effect that `tool` declares, or else
            unknown.
        timeout_s: seconds that one call may take, unless `tool` declares them. A plain function
            runs in a thread, which cannot be killed: after the limit its result is ignored.

    Raises:
        InputError: a parameter cannot be passed by name, or has a type hint that is missing, that
            cannot be read or that has no JSON schema.
    """
    made = from_library(function, effect, timeout_s)
    if made is not None:
        return made
    function = wrapped(function) or function
    name = name_of(function)
    summary, convert, schema = describe(function)
    run = runner(function, lambda _, arguments: function(**convert(arguments)))
    shared = _shared(function)
    options = {"effect": Effect.UNKNOWN, "timeout_s": timeout_s, **marks(function)}
    if effect is not None:
        options["effect"] = effect
    return Tool(name, summary, schema, run, acts_on=lambda _state: shared, **options)


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, of what a `functools.partial` calls, or of a class."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def runner(
    function: Callable[..., Any], call: Callable[[Any, dict[str, Any]], Any]
) -> Callable[[Any, dict[str, Any]], Any]:
    """Return `execute` of a tool, async if its function is; what is yielded becomes a list.

    Args:
        function: the function of the tool.
        call: calls it with the state and the arguments.
    """

    def execute(state: Any, arguments: dict[str, Any]) -> Any:
        return _items_of(call(state, arguments))

    async def execute_async(state: Any, arguments: dict[str, Any]) -> Any:
        result = call(state, arguments)
        return await _first_items(result) if _yields(function) else _items_of(await result)

    return execute_async if _is_async(function) else execute


def _items_of(result: Any) -> Any:
    """Return the first `MAX_ITEMS` items of an iterator, and any other result as it is."""
    return list(itertools.islice(result, MAX_ITEMS)) if isinstance(result, Iterator) else result


async def _first_items(result: AsyncGenerator[Any, None]) -> list[Any]:
    """Return the first `MAX_ITEMS` items of an async generator."""
    found: list[Any] = []
    async with contextlib.aclosing(result):
        async for item in result:
            found.append(item)
            if len(found) == MAX_ITEMS:
                break
    return found


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or _yields(function)


def _yields(function: Callable[..., Any]) -> bool:
    return inspect.isasyncgenfunction(function)


def usable(
    functions: Iterable[T], make: Callable[[T], Tool]
) -> tuple[tuple[Tool, ...], dict[str, str]]:
    """Make tools of functions; return them, and the reasons why others cannot be tools, by name.

    Raises:
        InputError: there are functions, and none of them can be a tool.
    """
    tools, reasons, first = [], {}, None
    for function in functions:
        try:
            tools.append(make(function))
        except InputError as error:
            first = first or error
            name = name_of(function)
            reasons[name] = str(error).removeprefix(f"tool {name!r}: ")
    if first is not None and not tools:
        raise first
    return tuple(tools), reasons


def is_function(value: Any) -> TypeGuard[Callable[..., Any]]:
    """Return whether a value is a function or method, wraps one, or is a tool of a library."""
    if isinstance(value, type):
        return False
    written = inspect.unwrap(value) if callable(value) else value
    is_written = inspect.isroutine(written) or isinstance(written, functools.partial)
    return is_written or is_library_tool(value)


def _shared(function: Callable[..., Any]) -> Any:
    """Return what calls of a function may change: its object, or the globals of its module."""
    bound = getattr(function, "__self__", None)
    if bound is not None or _is_async(function):
        return bound
    return getattr(inspect.unwrap(function), "__globals__", function)


def describe(function: Callable[..., Any]) -> tuple[str, Convert, dict[str, Any]]:
    """Return what a tool shows of a function.

    Returns:
        The description, a function that converts arguments to the types of the hints and adds the
        defaults, and the JSON schema of the arguments.

    Raises:
        InputError: see `from_function`.
    """
    name = name_of(function)
    hints = _hints(function)
    summary, notes = _docstring(inspect.getdoc(_written(function)) or "")
    shown = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name.startswith("_") and parameter.default is not parameter.empty:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InputError(
                f"tool {name!r}: parameter {parameter.name!r} cannot be passed by name"
            )
        if parameter.name not in hints:
            raise InputError(f"tool {name!r}: parameter {parameter.name!r} needs a type hint")
        hint = hints[parameter.name]
        shown.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hint))
    adapter, schema = _adapter(name, shown)
    for key, prop in schema["properties"].items():
        prop.pop("title", None)
        note = notes.get(key) or _annotated_text(hints.get(key))
        if note:
            prop["description"] = note
        if not _has_json(prop.get("default")):
            del prop["default"]

    def convert(arguments: dict[str, Any]) -> dict[str, Any]:
        return adapter.validate_python(ArgsKwargs((), arguments))

    return summary, convert, schema


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what was written with `def`: for a partial or an object, what it calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") else type(function).__call__


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type hints of the parameters; that of the result need not be readable."""
    written = _written(function)
    written = inspect.unwrap(getattr(written, "__func__", written))
    stub = types.FunctionType((lambda: None).__code__, getattr(written, "__globals__", {}))
    annotations = getattr(written, "__annotations__", {})
    stub.__annotations__ = {key: hint for key, hint in annotations.items() if key != "return"}
    try:
        hints = typing.get_type_hints(stub, include_extras=True)
        return {key: _readable(hint) for key, hint in hints.items()}
    except Exception as error:
        raise InputError(
            f"tool {name_of(function)!r}: its type hints cannot be read: {type(error).__name__}:"
            f" {error}; they need names that exist at run time, so import them outside"
            " `if TYPE_CHECKING`"
        ) from error


def _readable(hint: Any) -> Any:
    """Return a hint that pydantic reads: before Python 3.12 it refuses `typing.TypedDict`."""
    if sys.version_info < (3, 12) and typing.is_typeddict(hint):
        make: Any = typing_extensions.TypedDict
        fields = typing.get_type_hints(hint, include_extras=True)
        return make(hint.__name__, fields, total=hint.__total__)
    return hint


def _annotated_text(hint: Any) -> str:
    """Return the text in `Annotated[T, "text"]` or `Annotated[T, Doc("text")]`; "" without one."""
    texts = (getattr(one, "documentation", one) for one in getattr(hint, "__metadata__", ()))
    return next((one for one in texts if isinstance(one, str)), "")


def _has_json(value: Any) -> bool:
    """Return whether a number has a form in JSON, which has no word for infinity."""
    return not isinstance(value, float) or math.isfinite(value)


def _adapter(
    name: str, parameters: list[inspect.Parameter]
) -> tuple[TypeAdapter[dict[str, Any]], dict[str, Any]]:
    """Return what converts arguments for these parameters, and their JSON schema."""

    def given(**arguments: Any) -> dict[str, Any]:
        return arguments

    shaped: Any = given
    shaped.__name__ = name
    shaped.__annotations__ = {one.name: one.annotation for one in parameters}
    shaped.__signature__ = inspect.Signature(parameters)
    try:
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(shaped)
        return adapter, adapter.json_schema()
    except Exception as error:
        if len(parameters) > 1:
            for one in parameters:
                _adapter(name, [one])  # raises for the parameter at fault
        shown = ", ".join(f"{p.name}: {inspect.formatannotation(p.annotation)}" for p in parameters)
        raise InputError(
            f"tool {name!r}: no JSON schema can be made of its parameter {shown}; use str, int,"
            " float, bool, list, dict, Literal, an enum, a dataclass or a pydantic model, or, if it"
            " is not a tool, begin its name with `_`"
        ) from error


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into its first paragraph and the descriptions of the parameters."""
    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return " ".join(text.partition("\n\n")[0].split()), {}
    summary = (parsed.description or "").partition("\n\n")[0]
    notes = {one.arg_name: " ".join((one.description or "").split()) for one in parsed.params}
    return " ".join(summary.split()), notes
