"""Runs one call of a tool within its time limit, and turns its result into text."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from toolmaster.system.threads import result_of, start_thread
from toolmaster.tools.locks import HELD, CallLock, lock_of
from toolmaster.tools.tool import Tool, ToolSet
from toolmaster.types import TrialMode


async def run_tool(tool: Tool, state: Any, arguments: dict[str, Any]) -> Any:
    """Run a call when all earlier calls that share its state have ended; see `Tool.shared`.

    A plain function with a time limit runs in a thread.

    Returns:
        The tool's result.

    Raises:
        TimeoutError: the call did not end within `timeout_s`, not counting the wait for others.
        ToolRefusal: the tool refuses, or an earlier call timed out and still runs.
        Exception: any other error of the tool.
    """
    shared, held = tool.shared(state), HELD.get()
    lock = None if shared is None else lock_of(shared)
    if lock is None or lock in held:
        return await _in_time(tool, state, arguments, None)
    await lock.acquire(tool.name)
    token = HELD.set((*held, lock))
    try:
        return await _in_time(tool, state, arguments, lock)
    finally:
        HELD.reset(token)
        lock.release()


async def fork(tools: ToolSet) -> ToolSet:
    """Return a fork of a tool set for a trial, made while no call changes the state.

    Raises:
        InputError: the state cannot be copied.
        ToolRefusal: an earlier call timed out and still changes the state.
    """
    tried = [tool for tool in tools.tools if tools.trial_mode(tool.name) is TrialMode.FORK]
    shared = [thing for tool in tried if (thing := tool.shared(tools.state)) is not None]
    locks = {lock_of(thing) for thing in shared} - set(HELD.get())
    held: list[CallLock] = []
    try:
        for lock in sorted(locks, key=id):  # a fixed order, so that two forks cannot deadlock
            await lock.acquire("fork")
            held.append(lock)
        if tools.try_state is None:
            return tools.fork(trial=True)
        return await asyncio.to_thread(tools.fork, trial=True)  # of a process, which may take long
    finally:
        for lock in held:
            lock.release()


async def _in_time(tool: Tool, state: Any, arguments: dict[str, Any], lock: CallLock | None) -> Any:
    if tool.timeout_s is None:
        return await _result(tool, state, arguments, lock)
    async with asyncio.timeout(tool.timeout_s):
        return await _result(tool, state, arguments, lock)


async def _result(tool: Tool, state: Any, arguments: dict[str, Any], lock: CallLock | None) -> Any:
    task = asyncio.current_task()
    try:
        if tool.timeout_s is None or inspect.iscoroutinefunction(tool.execute):
            result = tool.execute(state, arguments)
        else:
            result = await _in_thread(partial(tool.execute, state, arguments), lock)
        return await result if inspect.isawaitable(result) else result
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # a tool's own: it would end this program
        if not _is_running(task) or (task is not None and task.cancelling()):
            raise
        cancelled = isinstance(error, asyncio.CancelledError)
        reason = "the tool was cancelled from within" if cancelled else describe_error(error)
        raise RuntimeError(reason) from error


def _is_running(task: asyncio.Task[Any] | None) -> bool:
    """Return whether a task is running now, and not being thrown away unfinished."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # the event loop has ended
        return False


async def _in_thread(call: Callable[[], Any], lock: CallLock | None) -> Any:
    """Return the result of a call in a thread, which holds the lock until the call ends."""
    if lock is None:
        return await result_of(start_thread(call))

    def work() -> Any:
        try:
            return call()
        finally:
            lock.leave_thread()

    lock.enter_thread()
    try:
        done = start_thread(work)
    except BaseException:
        lock.leave_thread()
        raise
    return await result_of(done)


def as_text(result: Any) -> str:
    """Return a result as text: text as it is, decoded bytes, everything else as JSON.

    In JSON, dataclasses, pydantic models and rows of data frames are objects; sets and arrays are
    lists; enums are their values; dates have ISO's form. A value that JSON cannot hold is its
    `str`.
    """
    if isinstance(result, str):
        return str(result)
    if isinstance(result, bytes | bytearray):
        return _bytes_as_text(result)
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError):
        return json.dumps(_plain(result), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray):
        return _bytes_as_text(value)
    if isinstance(value, Mapping):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [_plain(one) for one in value]
    try:
        return _converted(value)
    except Exception:  # noqa: BLE001 - the value's own code
        return str(value)


def _converted(value: Any) -> Any:
    """Return a value of a library as plain data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", fallback=str)
    if isinstance(value, Iterator):  # perhaps endless
        return str(value)
    if type(value).__name__ == "NaTType":
        return None
    has = partial(hasattr, value)
    if has("to_dicts"):  # a frame of polars
        value = value.to_dicts()
    elif has("to_dict") and (has("columns") or has("index")):  # a frame or series of pandas
        value = value.to_dict("records") if has("columns") else value.to_dict()
    elif has("tolist"):  # NumPy, PyTorch
        value = value.tolist()
    else:
        return to_jsonable_python(value, fallback=str)
    return _plain(value)


def _key(key: Any) -> str:
    """Return a key of a mapping as JSON needs it."""
    if isinstance(key, tuple):
        return ", ".join(map(str, key))
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return str(key.value if isinstance(key, Enum) else key)


def _bytes_as_text(data: bytes | bytearray) -> str:
    """Return UTF-8 without NUL as text, and a note with the size for anything else."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return f"[binary, {len(data)} bytes, not shown]" if "\0" in text else text


def describe_error(error: BaseException) -> str:
    """Return the type and the message of an error, or the type alone if `str` fails."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - from the error's own `__str__`
        return type(error).__name__
