"""`toolmaster teach`: from the command line to `toolmaster.teach.teach`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from toolmaster.config import load_config
from toolmaster.errors import ConfigError
from toolmaster.recipe import Recipe
from toolmaster.teach import teach
from toolmaster.teacher.costs import Estimate
from toolmaster.teacher.settings import SOLUTIONS, TeachSettings


def teach_settings(
    given: Mapping[str, object], recipe: Path | None, overrides: Sequence[str]
) -> TeachSettings:
    """The settings of a run: the recipe's, then options, then overrides `key=value`.

    Args:
        given: option to value, None where it was not given.
        recipe: a recipe whose world, protocol, limits and seed are taken; None for the defaults.
        overrides: items `key=value`.

    Raises:
        ConfigError: a recipe, an option or an override that cannot be accepted.
    """
    values: dict[str, object] = {}
    if recipe is not None:
        settings = load_config(Recipe, recipe)
        values = {key: getattr(settings, key) for key in ("limits", "protocol", "seed")}
        values["world"] = settings.tasks
    if given.get("propose") is not None:
        values["rollouts"] = SOLUTIONS
    values |= {key: value for key, value in given.items() if value is not None}
    return load_config(TeachSettings, None, overrides, values)


def run_teach(settings: TeachSettings, *, yes: bool) -> None:
    """Open the tools and teach.

    Args:
        settings: what to do.
        yes: whether to go on without asking once the estimate is shown.

    Raises:
        ConfigError: settings that cannot be accepted, or nobody there to ask.
    """

    def confirm(expected: Estimate) -> bool:
        typer.echo(str(expected))
        if yes:
            return True
        if not sys.stdin.isatty():
            raise ConfigError("nobody is there to confirm the cost; give --yes to go on with it")
        waiting = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return typer.confirm("Go on?")  # the event loop's own handler would wait for the answer
        finally:
            signal.signal(signal.SIGINT, waiting)

    async def work() -> None:
        settings.check(has_tools=bool(settings.tools))
        if not settings.tools:
            await teach(settings, confirm=confirm)
            return
        from toolmaster.tools.sources import open_sources  # noqa: PLC0415 - what tools need

        async with open_sources(settings.tools, trials=settings.trials) as tools:
            await teach(settings, tools, confirm=confirm)

    asyncio.run(work())
