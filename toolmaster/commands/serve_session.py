"""`toolmaster serve-session`: a task as an MCP server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from toolmaster.commands.options import NOTHING, Flag, Given, Words, options, read
from toolmaster.errors import InputError
from toolmaster.pipeline.recipe import STAGES, Recipe, find_recipe
from toolmaster.system.extras import require
from toolmaster.tasksets import taskset

_ANY_PORT = Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))]


@options(Recipe, hide=("run", "stages", "model", "seed", *STAGES))
def serve_session(
    task: str,
    /,
    *words: Words,
    recipe: str | None = None,
    port: _ANY_PORT = None,
    out: Path = Path("served.jsonl"),
    verdict: Flag = False,
    given: Given = NOTHING,
) -> None:
    """Serve sessions of one task until the client leaves, or over HTTP until Ctrl-C.

    Args:
        task: Id of a task, for example v6/test/3.
        recipe: Recipe whose task set, protocol and limits are taken.
        port: Port of streamable HTTP, 0 for a free one. If not set, one client is served over
            stdio.
        out: File that trajectories are appended to.
        verdict: Tell the client its score at the end.

    Raises:
        InputError: No such task, a port that cannot be used, a file that cannot be written, or the
            package `mcp` is not installed.
    """
    settings = read(Recipe, words, given, recipe=None if recipe is None else find_recipe(recipe))
    require("mcp", "mcp")
    from toolmaster.serving.served import ServedSession  # noqa: PLC0415 - heavy
    from toolmaster.serving.tool_server import ToolServer  # noqa: PLC0415 - loads the SDK

    tasks = taskset(settings.tasks)
    session = partial(
        ServedSession,
        tasks[task],
        settings.protocol,
        settings.limits_for(tasks),
        show_verdict=verdict,
        file=out,
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()
    except OSError as error:
        raise InputError(
            f"cannot write {str(out)!r}: {error.strerror}; give another --out"
        ) from None
    server = ToolServer(session)
    with suppress(KeyboardInterrupt):
        asyncio.run(server.serve_stdio() if port is None else server.serve_http(port))
