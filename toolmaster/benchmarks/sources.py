"""What benchmarks with tools as Python source share: the sandbox they run in, and their schemas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.benchmarks.base import Source
from toolmaster.config import Settings
from toolmaster.tools import Tool
from toolmaster.tools.sandbox import IsolationLevel, Sandbox


class SourceOptions(Settings):
    """How untrusted source is run."""

    isolation: str = Field("confined", pattern="^(process|confined|namespaced)$")
    """The least isolation that is accepted; "process" for a machine that nothing can harm."""


class Schema(BaseModel):
    """A tool's documentation."""

    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


def open_sandbox(source: Source) -> Sandbox:
    """The sandbox of a suite whose options are `SourceOptions`; enter it with `async with`."""
    assert isinstance(source.options, SourceOptions)  # noqa: S101 - the benchmark says so
    return Sandbox(minimum=IsolationLevel[source.options.isolation.upper()])


def facts(sandbox: Sandbox) -> dict[str, str]:
    """What a result depends on."""
    return {"isolation": sandbox.level.name.lower()}


def source_tool(sandbox: Sandbox, schema: Schema, source: str, name: str | None = None) -> Tool:
    """A tool that runs the function of the schema's name; the function judges its arguments.

    Args:
        sandbox: where it runs.
        schema: its documentation.
        source: Python source that defines the function.
        name: what the policy calls it, if not as the schema does.
    """
    tool = sandbox.tool(
        name=name or schema.name,
        description=schema.description,
        parameters=schema.parameters,
        source=source,
        function=schema.name,
    )
    return replace(tool, validated=False)
