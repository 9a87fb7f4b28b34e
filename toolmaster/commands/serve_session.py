"""`toolmaster serve-session`: a task as an MCP server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

from toolmaster.errors import InputError
from toolmaster.pipeline.recipe import Recipe
from toolmaster.serving.served import ServedSession
from toolmaster.system.extras import require
from toolmaster.tasksets import taskset


def serve_session(
    task_id: str, settings: Recipe, *, port: int | None, file: Path, show_verdict: bool
) -> None:
    """Serve sessions of one task until the client leaves, or over HTTP until Ctrl-C.

    Args:
        task_id: Id of a task of the recipe's task set.
        settings: The recipe, for its task set, protocol and limits.
        port: Port of streamable HTTP on this machine; None serves one client over stdio.
        file: The `trajectories.jsonl` to append to; created if missing.
        show_verdict: Whether the client is told the score at the end.

    Raises:
        InputError: No such task, a port that cannot be used, a file that cannot be written, or the
            package `mcp` is not installed.
    """
    require("mcp", "mcp")
    from toolmaster.serving.tool_server import ToolServer  # noqa: PLC0415 - loads the SDK

    tasks = taskset(settings.tasks)
    session = partial(
        ServedSession,
        tasks[task_id],
        settings.protocol,
        settings.limits_for(tasks),
        show_verdict=show_verdict,
        file=file,
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise InputError(
            f"cannot write {str(file)!r}: {error.strerror}; give another --out"
        ) from None
    server = ToolServer(session)
    with suppress(KeyboardInterrupt):
        asyncio.run(server.serve_stdio() if port is None else server.serve_http(port))
