"""Plain functions off the event loop, in threads that nobody has to wait for.

The event loop's own executor is joined when the loop closes and when the interpreter ends, so one
tool that hangs would keep the program from ending, whatever its deadline said. These threads are
daemons: past a deadline, or on Ctrl-C, what they still do is ignored.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any


def start_thread(function: Callable[[], Any]) -> asyncio.Future[Any]:
    """Call a function in a thread of its own.

    Returns:
        A future of the running event loop: what the function returns or raises. What would end the
        event loop (SystemExit, a panic of an extension module, StopIteration) becomes a
        RuntimeError.

    Raises:
        RuntimeError: there is no running event loop, or no further thread can be started.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            failure = error
            if isinstance(error, StopIteration) or not isinstance(error, Exception):
                failure = RuntimeError(f"{type(error).__name__}: {error}")
        try:
            loop.call_soon_threadsafe(_settle, done, result, failure)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _drop(result)

    threading.Thread(target=work, daemon=True).start()
    return done


async def result_of(done: asyncio.Future[Any]) -> Any:
    """Wait for the result of a thread; one that comes together with a cancellation is dropped."""
    try:
        return await done
    except asyncio.CancelledError:
        if done.done() and not done.cancelled() and done.exception() is None:
            _drop(done.result())
        raise


def _settle(done: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if done.done():  # given up
        _drop(result)
        return
    if failure is not None:
        done.set_exception(failure)
    else:
        done.set_result(result)


def _drop(result: Any) -> None:
    """Let go of a result that comes too late; a coroutine would warn that nobody awaits it."""
    if inspect.iscoroutine(result):
        result.close()
