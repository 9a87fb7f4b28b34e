"""Runs one call of a tool whatever the tool does, and makes text of what it gives back."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic_core import to_jsonable_python

from toolmaster.threads import in_thread
from toolmaster.tools.tool import Tool


async def run_tool(tool: Tool, state: Any, arguments: dict[str, Any]) -> Any:
    """The tool's result: in a thread where a plain function has a time limit to keep."""
    try:
        if tool.timeout_s is None or inspect.iscoroutinefunction(tool.execute):
            result = tool.execute(state, arguments)
        else:
            result = await in_thread(partial(tool.execute, state, arguments))
        return await result if inspect.isawaitable(result) else result
    except SystemExit as error:  # would end this program, not the tool
        raise RuntimeError(f"SystemExit: {error}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the tool was cancelled from within") from error  # not this rollout


def as_text(result: Any) -> str:
    """Text as it is, bytes by what they hold, the rest as JSON or else as Python writes it.

    Dataclasses and pydantic models are objects there, sets lists, enums their values.
    """
    if isinstance(result, str):
        return str(result)
    if isinstance(result, bytes | bytearray):
        return _bytes_as_text(result)
    return json.dumps(result, ensure_ascii=False, default=_not_json)


def _not_json(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return _bytes_as_text(value)
    if isinstance(value, Iterator):  # perhaps endless
        return str(value)
    try:
        return to_jsonable_python(value, fallback=str)
    except ValueError:
        return str(value)


def _bytes_as_text(data: bytes | bytearray) -> str:
    """UTF-8 without NUL is text; of anything else only the size says something."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return f"[binary, {len(data)} bytes, not shown]" if "\0" in text else text


def describe_error(error: Exception) -> str:
    """Its kind and what it says, whatever comes of asking it."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an error that cannot even say what it is
        return type(error).__name__
