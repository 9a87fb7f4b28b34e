"""Tools given as Python source that nobody trusts: their schemas, and the sandbox they run in."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Field

from toolmaster.tasksets.resource import Held
from toolmaster.tools import Tool
from toolmaster.tools.sandbox import IsolationLevel, Sandbox
from toolmaster.types import Effect

LevelName = Literal["process", "confined", "namespaced"]
"""The least isolation that is accepted; "process" for a machine that nothing can harm."""


class Schema(BaseModel):
    """A tool's documentation."""

    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class SourceTools:
    """Makes tools of Python source; every call runs in a process of its own.

    Args:
        isolation: the least isolation that is accepted.

    Attributes:
        sandbox: where the tools run; its `open` is the `resources` of the task set.
    """

    def __init__(self, isolation: LevelName) -> None:
        level = IsolationLevel[isolation.upper()]
        self.sandbox = Held(partial(Sandbox, minimum=level))
        self.facts = {"least isolation": isolation}

    def tool(self, schema: Schema, source: str, name: str | None = None) -> Tool:
        """Make a tool that runs the function of the schema's name, which judges its arguments.

        Args:
            schema: its documentation.
            source: Python source that defines the function.
            name: what the policy calls it, if not as the schema does.
        """

        async def execute(_state: Any, arguments: dict[str, Any]) -> Any:
            return await self.sandbox.now.call(source, schema.name, arguments)

        return Tool(
            name or schema.name,
            schema.description,
            schema.parameters,
            execute,
            Effect.READ,
            validated=False,
        )
