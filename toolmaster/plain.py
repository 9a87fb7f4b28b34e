"""`plain`: the form without `await` of an asynchronous function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def plain(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    Inside a running event loop, as in a notebook, it runs in a thread with a loop of its own, and
    the caller waits for it. Code that is asynchronous should `await` the coroutine itself.

    Raises:
        Exception: whatever the coroutine raises.
    """
    return outside_loop(lambda: asyncio.run(work))


def outside_loop(work: Callable[[], T]) -> T:
    """Call a function that runs event loops of its own, in a thread where one is running here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1, "toolmaster") as pool:
        return pool.submit(work).result()
