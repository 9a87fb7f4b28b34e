"""Shared by ToolHop and FTRL: tools given as untrusted Python source, and an answer rule."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Field

from toolmaster.tasksets.taskset import SharedResource
from toolmaster.tools import Tool
from toolmaster.tools.sandbox import IsolationLevel, Sandbox
from toolmaster.types import Effect

LevelName = Literal["process", "confined", "namespaced"]
"""The least isolation that is accepted; "process" is only for a disposable machine."""


class Schema(BaseModel):
    """A tool's documentation."""

    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class SourceTools:
    """Makes tools from Python source; every call runs in a separate process."""

    def __init__(self, isolation: LevelName) -> None:
        self._sandbox = SharedResource(partial(Sandbox, minimum=IsolationLevel[isolation.upper()]))
        facts = {"least isolation": isolation}
        self.options: dict[str, Any] = {"facts": facts, "resources": self._sandbox.open}
        """Options of the task set."""

    def tool(self, schema: Schema, source: str, name: str | None = None) -> Tool:
        """Return a tool that runs the function of the source with the schema's name.

        The function validates its arguments. `name` is the tool's name, if it is another one.
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
    """Return whether every part of the gold answer occurs in a text.

    Parts are separated by ", "; case, commas and outer white space are ignored. So "13 or 31"
    contains "3". Official figures use this rule, to be comparable with published ones; all other
    figures use `answers.same_answer`.

    Source: `answer_verify` in github.com/bytedance/FTRL, `Code/utils/utils.py`.

    Args:
        text: an answer or an observation; None contains nothing.
        gold: the gold answer.
    """
    if text is None:
        return False
    return all(_bare(part) in _bare(text) for part in gold.split(", "))


def _bare(text: str) -> str:
    return text.lower().replace(",", "").strip()
