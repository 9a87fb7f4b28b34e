"""Calling asynchronous functions from plain code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def plain(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result.

    Inside a running event loop, as in a notebook, it runs in a thread with its own event loop while
    the caller waits. Asynchronous code should `await` the coroutine instead.

    Raises:
        Exception: whatever the coroutine raises.
    """
    return outside_loop(lambda: asyncio.run(work))


def outside_loop(work: Callable[[], T]) -> T:
    """Call a function that starts event loops: in a thread if one is already running here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1, "toolmaster") as pool:
        return pool.submit(work).result()
