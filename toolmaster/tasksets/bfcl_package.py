"""Access to the package `bfcl-eval`: its folder of cases, and its functions as tools."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.errors import InputError
from toolmaster.tools import Tool


class Parameters(BaseModel):
    """The parameters of a function, in BFCL's own schema."""

    properties: dict[str, dict[str, Any]]
    required: list[str] = Field(default_factory=list)


class Function(BaseModel):
    """A function as the package documents it."""

    name: str
    description: str = ""
    parameters: Parameters

    def tool(self, execute: Callable[[Any, dict[str, Any]], Any]) -> Tool:
        """Return the function as a tool that validates its own arguments."""
        schema = json_schema({"type": "dict", **self.parameters.model_dump()})
        return Tool(tool_name(self.name), self.description, schema, execute, validated=False)


def tool_name(function_name: str) -> str:
    """Return the name that a model sees, with underscores for dots, as endpoints require."""
    return function_name.replace(".", "_")


def json_schema(schema: Any) -> Any:
    """Return a schema in BFCL's own type names as a JSON schema."""
    if not isinstance(schema, Mapping):
        return schema
    types = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
    made = dict(schema)
    if isinstance(made.get("type"), str):
        made["type"] = types.get(made["type"], made["type"])
    if isinstance(made.get("properties"), Mapping):
        made["properties"] = {key: json_schema(one) for key, one in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in made:
            made[key] = json_schema(made[key])
    return made


def package(module: str) -> Any:
    """Return a module of the package.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return importlib.import_module(f"bfcl_eval.{module}")
    except ImportError as error:
        raise InputError(
            f"BFCL's cases come from its package ({error}); install it with"
            " `pip install --no-deps bfcl-eval mpmath`"
        ) from None


def backend() -> Any:
    """Return the package's table of classes."""
    return package("constants.executable_backend_config")


def data_folder() -> Path:
    """Return the package's folder of cases."""
    return Path(backend().__file__).parents[1] / "data"
