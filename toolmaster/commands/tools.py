"""`toolmaster tools`: the tools of sources, or what the embedded world has, in plain words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from toolmaster.commands.options import Json
from toolmaster.progress import console
from toolmaster.report.live import in_trial
from toolmaster.system.terminal import json_line
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.sources import open_sources
from toolmaster.world.behaviours import KINDS, Behaviour, WrongTwin, fitting
from toolmaster.world.spec import Specs


def tools(*sources: str, as_json: Json = False) -> None:
    """List the tools of sources, or what the embedded world has.

    Args:
        sources: Python modules, `mcpServers` files, OpenAPI documents, each with its options in
            quotes. If not given, the services and hidden behaviours of the embedded world.
    """
    records = asyncio.run(_of_sources(sources)) if sources else _of_world()
    if as_json:
        for record in records:
            print(json_line(record))
        return
    for kind, group in groupby(records, lambda record: record["kind"]):
        shown = list(group)
        columns = [name for name in shown[0] if name not in ("kind", "parameters")]
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column == "name")
        for record in shown:
            table.add_row(*(Text(_cell(record[column])) for column in columns))
        console.print(Text(f"{kind}s", style="bold"))
        console.print(table)


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


async def _of_sources(sources: Sequence[str]) -> list[dict[str, Any]]:
    async with open_sources(sources) as opened:
        return [*(_record(tool, opened) for tool in opened.tools), *_behaviours(opened)]


def _record(tool: Tool, opened: ToolSet) -> dict[str, Any]:
    return {
        "kind": "tool",
        "name": tool.name,
        "arguments": list(tool.parameters.get("properties", {})),
        "what it does": " ".join(tool.description.split()),
        "effect": tool.effect.value,
        "in a trial": in_trial(tool, opened),
        "parameters": tool.parameters,
    }


def _behaviours(opened: ToolSet) -> list[dict[str, Any]]:
    """Return what `hidden=` could lay over the tools of a task set, with the tools that it fits."""
    fits: dict[str, set[str]] = {}
    for tool in opened.tools:
        for one in fitting(tool, "test", random.Random(0)):
            fits.setdefault(one.name, set()).add(tool.name)
    return [
        {**_hidden(kind), "tools": sorted(fits[kind.name])}
        for kind in KINDS
        if kind.name in fits and kind is not WrongTwin
    ]


def _of_world() -> list[dict[str, Any]]:
    services = [
        {
            "kind": "service",
            "name": service.name,
            "what it is": service.about,
            "split": service.split,
            "tools": list(service.operations),
        }
        for service in Specs().services.values()
    ]
    return services + [
        {**_hidden(kind), "split": "test" if kind.held_out else "train, test"} for kind in KINDS
    ]


def _hidden(kind: type[Behaviour]) -> dict[str, Any]:
    return {"kind": "hidden behaviour", "name": kind.name, "what it is": kind.about}
