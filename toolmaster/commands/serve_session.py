"""`toolmaster serve-session`: a world task as an MCP server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from toolmaster.recipe import Recipe
from toolmaster.serving.mcp_server import SessionServer
from toolmaster.serving.served import ServedSession
from toolmaster.tasksets import taskset


def serve_session(
    task_id: str, settings: Recipe, *, port: int | None, file: Path, show_verdict: bool
) -> None:
    """Serve sessions of one task until the client leaves, or over HTTP until Ctrl-C.

    Args:
        task_id: of a task of the recipe's task set.
        settings: whose task set, protocol and limits hold.
        port: of streamable HTTP on this machine; None serves one client over stdio.
        file: the `trajectories.jsonl` to append to; created if missing.
        show_verdict: whether the client is told the score at the end.

    Raises:
        InputError: no such task, a port that cannot be had, a file that cannot be written.
    """
    tasks = taskset(settings.tasks)
    task, limits = tasks[task_id], settings.limits_for(tasks)

    def make(client: str) -> ServedSession:
        return ServedSession(
            task, settings.protocol, limits, client=client, show_verdict=show_verdict
        )

    server = SessionServer(make, file)
    with suppress(KeyboardInterrupt):
        asyncio.run(server.serve_stdio() if port is None else server.serve_http(port))
