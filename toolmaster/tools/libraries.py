"""Tool objects of other libraries: LangChain, smolagents, and those that wrap a function.

Nothing of these libraries is imported: their objects are known by what they have.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from toolmaster.tools.tool import Tool
from toolmaster.types import Effect

WRAPPED = ("fn", "func", "function")
"""Attributes in which tools of LlamaIndex, pydantic-ai and others keep the function they wrap."""


def from_library(made: Any, effect: Effect | None, timeout_s: float | None) -> Tool | None:
    """Return the tool of another library as a tool; None if it is none that is known.

    Known are those of LangChain (`tool_call_schema`, `invoke`) and of smolagents (`inputs`,
    `forward`), which have a name and a description.
    """
    name, description = _name(made), getattr(made, "description", None)
    schema = _schema(made)
    if schema is None or not isinstance(name, str) or not isinstance(description, str):
        return None
    execute = _invoked(made) if hasattr(made, "invoke") else lambda _, given: made(**given)
    return Tool(name, description, schema, execute, effect or Effect.UNKNOWN, timeout_s)


def is_library_tool(made: Any) -> bool:
    """Return whether an object is a tool of another library."""
    return _schema(made) is not None or wrapped(made) is not None


def wrapped(made: Any) -> Callable[..., Any] | None:
    """Return the function in a tool object of another library; None if it has none."""
    if inspect.isroutine(made) or inspect.isclass(made) or not isinstance(_name(made), str):
        return None
    found = (getattr(made, name, None) for name in WRAPPED)
    return next((one for one in found if inspect.isroutine(one)), None)


def _name(made: Any) -> Any:
    return getattr(made, "name", None) or getattr(getattr(made, "metadata", None), "name", None)


def _schema(made: Any) -> dict[str, Any] | None:
    given = getattr(made, "tool_call_schema", None)
    if isinstance(given, type) and issubclass(given, BaseModel):
        given = given.model_json_schema()
    if isinstance(given, dict):
        return {key: value for key, value in given.items() if key not in ("title", "description")}
    inputs = getattr(made, "inputs", None)
    if not isinstance(inputs, Mapping) or not hasattr(made, "forward"):
        return None
    required = [name for name, one in inputs.items() if not one.get("nullable")]
    return {"type": "object", "properties": {k: _input(v) for k, v in inputs.items()},
            "required": required, "additionalProperties": False}  # fmt: skip


def _input(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an input of smolagents, which also has "any" and other kinds."""
    kinds = ("string", "number", "integer", "boolean", "array", "object")
    shown = {"description": one["description"]} if "description" in one else {}
    return {"type": one["type"], **shown} if one.get("type") in kinds else shown


def _invoked(made: Any) -> Callable[[Any, dict[str, Any]], Any]:
    def execute(_state: Any, arguments: dict[str, Any]) -> Any:
        return made.invoke(arguments)

    async def execute_async(_state: Any, arguments: dict[str, Any]) -> Any:
        return await made.ainvoke(arguments)

    return execute if getattr(made, "coroutine", None) is None else execute_async
