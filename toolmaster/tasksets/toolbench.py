"""ToolBench's web APIs as tools, with upstream's names, and the backends of their calls.

A tool checks its arguments as there: a parameter that is missing or unknown is refused, types are
not enforced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
from pydantic import BaseModel, Field

from toolmaster.errors import PolicyError
from toolmaster.tasksets.responses import Backend, PastCall
from toolmaster.tasksets.taskset import SharedResource
from toolmaster.tools import Tool, ToolRefusal
from toolmaster.types import Effect

TIMEOUT_S = 60.0
"""Seconds that the server may take to answer."""
DESCRIPTION_CHARS = 256
TYPES = {"NUMBER": "number", "BOOLEAN": "boolean", "OBJECT": "object", "ARRAY": "array"}
"""Types of the files that are not text."""
RESERVED = frozenset({"from", "class", "return", "false", "true", "id", "and"})
"""Names that upstream's Python functions could not have; it prefixes them with `is_`."""


class Parameter(BaseModel):
    """A parameter of an API."""

    name: str
    type: str = "STRING"
    description: str = ""
    default: Any = None
    """An example value rather than a default."""


class Api(BaseModel):
    """An API as a row lists it."""

    category_name: str
    tool_name: str
    api_name: str
    api_description: str = ""
    required_parameters: list[Parameter] = Field(default_factory=list)
    optional_parameters: list[Parameter] = Field(default_factory=list)
    method: str = "GET"
    template_response: Any = None

    @property
    def own_name(self) -> str:
        """Category, tool and API by their names at upstream's server, with slashes between."""
        category = re.sub(r"[ ,/_]+", "_", self.category_name)
        return f"{category}/{standard(self.tool_name, reserve=False)}/{standard(self.api_name)}"

    @property
    def name(self) -> str:
        """The tool's name, formed as upstream does."""
        return f"{standard(self.api_name)}_for_{standard(self.tool_name, reserve=False)}"[-64:]


def standard(name: str, *, reserve: bool = True) -> str:
    """Return a name as upstream writes it: lower case, one underscore for other characters."""
    name = re.sub(r"[^\u4e00-\u9fa5a-zA-Z0-9^]+", "_", name).lower().strip("_")
    if name[:1].isdigit():
        name = f"get_{name}"
    return f"is_{name}" if reserve and name in RESERVED else name


def named(apis: Sequence[Api]) -> dict[str, Api]:
    """Return the APIs by tool name, each once; a second API of the same name is NAME_2."""
    by_name: dict[str, Api] = {}
    for api in apis:
        number, name = 1, api.name
        while name in by_name and by_name[name] != api:
            number += 1
            name = f"{api.name[-60:]}_{number}"
        by_name[name] = api
    return by_name


def as_tool(name: str, api: Api) -> Tool:
    """Return an API as a tool, whose calls `responses.BackendTools` has a backend answer."""
    required = {standard(p.name): p for p in api.required_parameters}
    optional = {standard(p.name): p for p in api.optional_parameters}
    schema = {
        "type": "object",
        "properties": {key: _property(p) for key, p in {**optional, **required}.items()},
        "required": list(required),
        "additionalProperties": False,
    }
    text = " ".join(api.api_description.split())[:DESCRIPTION_CHARS]
    description = f"{api.tool_name}: {text or api.api_name}"
    effect = Effect.READ if api.method.upper() == "GET" else Effect.UNKNOWN
    return Tool(name, description, schema, print, effect, validated=False, own_name=api.own_name)


def _property(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": TYPES.get(parameter.type.upper(), "string")}
    if text := " ".join(parameter.description.split())[:DESCRIPTION_CHARS]:
        schema["description"] = text
    if parameter.default not in (None, ""):
        schema["examples"] = [parameter.default]
    return schema


def misuse(tool: Tool, arguments: dict[str, Any]) -> str | None:
    """Return which parameter of a call is missing or unknown; types do not matter."""
    schema = {**tool.parameters, "properties": dict.fromkeys(tool.parameters["properties"], True)}
    return replace(tool, parameters=schema, validated=True).violation(arguments)


def toolbench_server(address: str) -> Backend:
    """Return the backend of StableToolBench's server, whose key is in TOOLBENCH_KEY."""
    client = SharedResource(lambda: httpx.AsyncClient(timeout=TIMEOUT_S))

    async def answer(tool: Tool, arguments: dict[str, Any], _earlier: Sequence[PastCall]) -> Any:
        category, tool_name, api_name = tool.own_name.split("/")
        question = {
            "category": category,
            "tool_name": tool_name,
            "api_name": api_name,
            "tool_input": arguments,
            "strip": "truncate",
            "toolbench_key": os.environ.get("TOOLBENCH_KEY", ""),
        }
        try:
            response = await client.current.post(address, json=question)
            given = response.raise_for_status().json()
            if not isinstance(given, dict) or "response" not in given:
                got = repr(str(given)[:100])
                raise ValueError(f"expected an object with error and response, got {got}")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise PolicyError(f"the server at {address}: {type(error).__name__}: {error}") from None
        if given.get("error"):
            raise ToolRefusal(str(given["error"]))
        return given["response"]

    return Backend("live", "StableToolBench server", answer, client.open)
