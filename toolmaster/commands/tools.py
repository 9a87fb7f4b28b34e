"""`toolmaster tools`: the tools of sources, or what the embedded world has, in plain words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from toolmaster.commands.options import Flag, Json
from toolmaster.errors import ConfigError
from toolmaster.experience import default_path
from toolmaster.limits import AgentLimits
from toolmaster.progress import console, messages, say
from toolmaster.protocols import Protocol
from toolmaster.report.live import in_trial
from toolmaster.serving.served import as_turn
from toolmaster.session import Session
from toolmaster.system.nesting import read_json
from toolmaster.system.terminal import json_line, visible
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.permissions import Ask, keep_approval, keep_effect, with_kept_effects
from toolmaster.tools.sources import open_sources
from toolmaster.types import Effect
from toolmaster.world.behaviours import KINDS, Behaviour, WrongTwin, fitting
from toolmaster.world.spec import Specs


def tools(
    *sources: str,
    call: tuple[str, str] | None = None,
    trial: Flag = False,
    allow: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    effect: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    as_json: Json = False,
) -> int:
    """List the tools of sources, or what the embedded world has.

    Args:
        sources: Python modules, `mcpServers` files, OpenAPI documents, each with its options in
            quotes. If not given, the services and hidden behaviours of the embedded world.
        call: Name of a tool and the JSON of its arguments, to call it for real. You are asked
            before a call that is destructive or of unknown effect.
        trial: Make the call of --call as a trial.
        allow: Name of a tool that always runs unasked in this folder, until it changes.
        effect: NAME=EFFECT: what you know of a tool in this folder, until it changes; read, write,
            destructive or unknown.

    Returns:
        The exit code: 1 if the call was refused or failed.
    """
    if (call or allow or effect) and not sources:
        raise ConfigError("--call, --allow and --effect need a source: toolmaster tools SOURCE ...")
    if trial and call is None:
        raise ConfigError("--trial is for --call NAME ARGUMENTS")
    if allow or effect:
        asyncio.run(_keep(sources, allow, effect))
    if call is not None:
        return asyncio.run(_call(sources, *call, trial=trial))
    records = asyncio.run(_of_sources(sources)) if sources else _of_world()
    if as_json:
        for record in records:
            print(json_line(record))
        return 0
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
    return 0


async def _keep(sources: Sequence[str], allow: Sequence[str], effects: Sequence[str]) -> None:
    """Keep effects and approvals of tools for the current folder."""
    pairs = [text.rpartition("=")[::2] for text in effects]
    for name, effect in pairs:
        if not name or effect not in list(Effect):
            raise ConfigError(
                f"--effect is NAME=EFFECT with one of {', '.join(Effect)}; received"
                f" {f'{name}={effect}'.lstrip('=')!r}"
            )
    async with open_sources(sources) as opened:
        for name in [*(name for name, _ in pairs), *allow]:
            if name not in opened:
                raise ConfigError(
                    f"no tool is called {name!r}; there are: {', '.join(opened.names())}"
                )
        for name, effect in pairs:
            keep_effect(kept_beside("effects.jsonl"), opened[name], Effect(effect))
            say(f"{name}: its effect is {effect}, in {Path.cwd()}", where=messages())
        known = with_kept_effects(opened, kept_beside("effects.jsonl"))
        for name in allow:
            keep_approval(kept_beside("approvals.jsonl"), known[name])
            say(f"{name}: runs without asking, in {Path.cwd()}", where=messages())


async def _call(sources: Sequence[str], name: str, arguments: str, *, trial: bool) -> int:
    """Make one call as a session makes it, and print its result."""
    try:
        given = read_json(arguments)
    except ValueError as error:
        raise ConfigError(f"the arguments of --call are no JSON: {error}") from None
    if not isinstance(given, dict):
        raise ConfigError(f"the arguments of --call are a JSON object; received {arguments}")
    async with open_sources(sources) as opened:
        known = with_kept_effects(opened, kept_beside("effects.jsonl"))
        approver = Ask(approvals=kept_beside("approvals.jsonl"))
        task = Task("tools", "a call by hand", tools=lambda: known)
        limits = AgentLimits(result_chars=10**7)
        session = Session(task, Protocol.DIRECT, limits, approver=approver)
        step = await session.step(as_turn(name, given), trial=trial)
        print(visible(step.observation or ""))
        return int(step.error is not None)


def kept_beside(name: str) -> Path:
    """Return a file of the user's beside that of lessons."""
    return default_path().with_name(name)


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


async def _of_sources(sources: Sequence[str]) -> list[dict[str, Any]]:
    async with open_sources(sources) as opened:
        known = with_kept_effects(opened, kept_beside("effects.jsonl"))
        return [*(_record(tool, known) for tool in known.tools), *_behaviours(known)]


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
