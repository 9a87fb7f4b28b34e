"""What ToolHop and FTRL share: tools given as untrusted Python source, and a rule of answers."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Field

from toolmaster.tasksets.taskset import SharedResource
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
    """Makes tools of Python source; every call runs in a separate process.

    Args:
        isolation: the least isolation that is accepted.

    Attributes:
        options: `facts` and `resources` of the task set.
    """

    def __init__(self, isolation: LevelName) -> None:
        self._sandbox = SharedResource(partial(Sandbox, minimum=IsolationLevel[isolation.upper()]))
        facts = {"least isolation": isolation}
        self.options: dict[str, Any] = {"facts": facts, "resources": self._sandbox.open}

    def tool(self, schema: Schema, source: str, name: str | None = None) -> Tool:
        """Make a tool that runs the function of the schema's name, which the source defines.

        The function checks its arguments. The policy may call the tool by another `name`.
        """

        async def execute(_state: Any, arguments: dict[str, Any]) -> Any:
            return await self._sandbox.current.call(source, schema.name, arguments)

        return Tool(
            name or schema.name,
            schema.description,
            schema.parameters,
            execute,
            Effect.READ,
            validated=False,
        )


def contains(text: str | None, gold: str) -> bool:
    """Return whether every part of the right answer occurs in a text.

    Case, commas and outer white space do not count; parts are separated by ", ". "3" is contained
    in "13 or 31". Official figures use this rule, so that they compare with published ones; every
    other figure uses `answers.same_answer`.

    Source: `answer_verify` in github.com/bytedance/FTRL, `Code/utils/utils.py`.

    Args:
        text: an answer or an observation; None counts as wrong.
        gold: the right answer.
    """
    if text is None:
        return False
    return all(_bare(part) in _bare(text) for part in gold.split(", "))


def _bare(text: str) -> str:
    return text.lower().replace(",", "").strip()
