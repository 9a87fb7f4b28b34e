"""A guard that asks the user at the terminal before a destructive call is run for real."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import typer

from toolmaster.report.viewer import visible
from toolmaster.threads import in_thread
from toolmaster.tools import Tool
from toolmaster.types import Effect, ToolCall

SHOWN_CHARS = 2000


class AskUser:
    """Asks about destructive calls, one at a time, and permits all others.

    Args:
        paused: keeps others from writing to the terminal while a question stands there.
    """

    def __init__(self, paused: Callable[[], AbstractContextManager[None]]) -> None:
        self._paused = paused
        self._asking = asyncio.Lock()

    async def permit(self, tool: Tool, call: ToolCall) -> str | None:
        """None where the call may run; otherwise why not."""
        if tool.effect is not Effect.DESTRUCTIVE:
            return None
        if not sys.stdin.isatty():
            return "not permitted: the call is destructive, and there is nobody to ask"
        arguments = json.dumps(call.arguments, ensure_ascii=False)[:SHOWN_CHARS]
        question = visible(f"Run {call.name} {arguments} for real? It is destructive.")
        ask = partial(typer.confirm, question, default=False, err=True)
        async with self._asking:
            with self._paused():
                try:
                    allowed = await in_thread(ask)
                except typer.Abort:
                    allowed = False
        return None if allowed else "not permitted: the user declined the call"
