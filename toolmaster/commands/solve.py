"""`toolmaster solve`: its options. What it does is in `commands.solving`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from toolmaster.errors import ConfigError

Words = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads this annotation
    typer.Argument(
        metavar="TASK [KEY=VALUE]...",
        help="What is to be done (not with --tasks), then settings: limits.trial_calls=3"
        " sampling.turn_tokens=1024 concurrency=4",
    ),
]
Tools = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        help="module.py, package.module[:name], an mcpServers JSON file, or an OpenAPI file or"
        " address; repeat it for several"
    ),
]


def solve(
    words: Words = None,
    tools: Tools = None,
    model: Annotated[
        str | None, typer.Option(help="A folder, OWNER/NAME of the Hub, or openai:NAME")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Endpoint of an openai: model, as http://localhost:8000/v1")
    ] = None,
    tasks: Annotated[
        Path | None, typer.Option(help="A task a line, or JSON lines with a field query")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="trial (default), direct, paper")] = None,
    trials: Annotated[
        str | None, typer.Option(help="How trials run: fork, read_only, live; else as is safe")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Run calls that may destroy unasked")] = False,
    permissions: Annotated[Path | None, typer.Option(help="A file of what may be called")] = None,
    max_calls: Annotated[int | None, typer.Option(help="Calls, of all tasks together")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens read and written")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Seconds from the first task on")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="Money; needs --prices")] = None,
    prices: Annotated[
        str | None, typer.Option(help="Price of a million tokens read and written: 0.15,0.6")
    ] = None,
    experience: Annotated[
        str | None, typer.Option(help="A file of what was learned before, or none")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON record a task on stdout, nothing else")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Where trajectories are kept (runs/solve/trajectories.jsonl)"),
    ] = None,
) -> None:
    """Have a task done with your own tools: tried safely first, then used."""
    words = list(words or [])
    task = words.pop(0) if tasks is None and words else None
    stray = next((word for word in words if "=" not in word), None)
    if stray is not None:
        why = "the task is one argument, in quotes" if tasks is None else "--tasks names the tasks"
        raise ConfigError(f"{stray!r} is no setting KEY=VALUE; {why}")
    options: dict[str, Any] = {
        "tasks": tasks and str(tasks),
        "tools": tools,
        "model": model,
        "base_url": base_url,
        "protocol": protocol,
        "trials": trials,
        "yes": yes or None,
        "permissions": permissions and str(permissions),
        "budget.max_calls": max_calls,
        "budget.max_tokens": max_tokens,
        "budget.max_seconds": max_seconds,
        "budget.max_cost": max_cost,
        "budget.prices": prices and prices.split(","),
        "experience": experience,
        "as_json": as_json or None,
        "out": out and str(out),
    }
    try:
        from toolmaster.commands.solve_settings import settings_from  # noqa: PLC0415 - heavy
        from toolmaster.commands.solving import run_solve  # noqa: PLC0415

        code = run_solve(settings_from(options, words), task)
    except KeyboardInterrupt:
        typer.echo("toolmaster: stopped before any task had begun", err=True)
        code = 130
    raise typer.Exit(code)
