"""The web APIs of ToolBench as a row lists them, and as tools named as the original names them.

A tool judges its arguments for itself, as there: a parameter that is missing or unknown is refused,
types are not enforced.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.tools import Tool
from toolmaster.tools.tool import in_quotes
from toolmaster.types import Effect

DESCRIPTION_CHARS = 256
TYPES = {"NUMBER": "number", "BOOLEAN": "boolean", "OBJECT": "object", "ARRAY": "array"}
"""The files' types that are not text; everything else is."""
RESERVED = frozenset({"from", "class", "return", "false", "true", "id", "and"})
"""Names that the original's Python functions could not have; they begin with `is_` there."""


class Parameter(BaseModel):
    """A parameter of an API."""

    name: str
    type: str = "STRING"
    description: str = ""
    default: Any = None
    """A value that worked once; an example rather than a default."""


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
    def standard_name(self) -> str:
        """What the original's server calls it."""
        return standard(self.api_name)

    @property
    def own_name(self) -> str:
        """Category, tool and API as the original's server calls them, with slashes between."""
        category = re.sub(r"_+", "_", re.sub(r"[ ,/]", "_", self.category_name))
        return f"{category}/{standard(self.tool_name, reserve=False)}/{self.standard_name}"

    @property
    def name(self) -> str:
        """The tool's name, as the original forms it."""
        return f"{self.standard_name}_for_{standard(self.tool_name, reserve=False)}"[-64:]


def standard(name: str, *, reserve: bool = True) -> str:
    """A name as the original writes it: lower case, other signs as one underscore."""
    name = re.sub(r"_+", "_", re.sub(r"[^\u4e00-\u9fa5a-zA-Z0-9_^]", "_", name)).lower().strip("_")
    if name[:1].isdigit():
        name = f"get_{name}"
    return f"is_{name}" if reserve and name in RESERVED else name


def named(apis: Sequence[Api]) -> dict[str, Api]:
    """Tool name to API, each API once; where two would share a name, the second is NAME_2."""
    found: dict[str, Api] = {}
    for api in apis:
        number, name = 1, api.name
        while name in found and found[name] != api:
            number += 1
            name = f"{api.name[-60:]}_{number}"
        found[name] = api
    return found


def as_tool(name: str, api: Api) -> Tool:
    """An API as a tool; who answers it comes with `responses.Connected`."""
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
    return Tool(
        name, description, schema, _unanswered, effect, validated=False, own_name=api.own_name
    )


def _unanswered(_state: Any, _arguments: dict[str, Any]) -> Any:
    raise NotImplementedError("answered by `responses.Connected`")


def _property(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": TYPES.get(parameter.type.upper(), "string")}
    if text := " ".join(parameter.description.split())[:DESCRIPTION_CHARS]:
        schema["description"] = text
    if parameter.default not in (None, ""):
        schema["examples"] = [parameter.default]
    return schema


def misuse(tool: Tool, arguments: dict[str, Any]) -> str | None:
    """What is wrong with a call whatever its types: a parameter missing or unknown."""
    known = tool.parameters["properties"]
    for name in tool.parameters["required"]:
        if name not in arguments:
            return f'missing required parameter "{name}"'
    for name in arguments:
        if name not in known:
            return f'unknown parameter "{name}"; allowed: {in_quotes(known) or "none"}'
    return None
