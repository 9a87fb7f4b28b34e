"""One lock for each thing that calls change: one call runs, the others wait in order.

Plain functions run in threads, and a coroutine pauses wherever it waits. Without a lock, two
rollouts that use one object would read and write it at the same time and lose updates.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

from toolmaster.tools.tool import ToolRefusal, in_quotes


class CallLock:
    """Lets one call at a time run on a thing. Callers may be in any event loop and thread.

    Args:
        shared: the thing that the calls change.
    """

    def __init__(self, shared: Any) -> None:
        self.shared = shared  # kept alive, so that no other thing gets its id
        self._guard = threading.Lock()
        self._holder: str | None = None
        self._in_thread = self._abandoned = False
        self._waiting: deque[tuple[Future[bool], str]] = deque()

    async def acquire(self, name: str) -> None:
        """Wait until all calls that asked before have ended.

        Args:
            name: the tool that is called.

        Raises:
            ToolRefusal: the call before this one ran out of time and still runs in its thread.
        """
        with self._guard:
            if self._holder is None:
                self._holder = name
                return
            holder = self._holder
            place: Future[bool] = Future()
            if self._abandoned:
                place.set_result(False)
            else:
                self._waiting.append((place, name))
        try:
            acquired = await asyncio.wrap_future(place)
        except asyncio.CancelledError:
            if not place.cancel() and place.result():  # acquired in the meantime
                self.release()
            raise
        if not acquired:
            raise ToolRefusal(
                f"not run: a call of {in_quotes([holder])} got no answer in time and still runs;"
                " until it has ended, nothing else is run on what it may change"
            )

    def enter_thread(self) -> None:
        """The call that holds the lock goes on in a thread, until `leave_thread`."""
        self._in_thread = True

    def leave_thread(self) -> None:
        """The thread has ended."""
        with self._guard:
            self._in_thread = False
            if self._abandoned:
                self._pass_on()

    def release(self) -> None:
        """Let the next call run; a thread that still runs keeps the lock, and all are told so."""
        with self._guard:
            if not self._in_thread:
                self._pass_on()
                return
            self._abandoned = True
            while self._waiting:
                place, _ = self._waiting.popleft()
                if place.set_running_or_notify_cancel():
                    place.set_result(False)

    def _pass_on(self) -> None:
        self._holder, self._abandoned = None, False
        while self._holder is None and self._waiting:
            place, name = self._waiting.popleft()
            if place.set_running_or_notify_cancel():
                self._holder = name
                place.set_result(True)


HELD: ContextVar[tuple[CallLock, ...]] = ContextVar("HELD", default=())
"""The locks of the calls around this one: a tool may run an agent that calls tools."""
_locks: WeakValueDictionary[int, CallLock] = WeakValueDictionary()
"""By the id of what is shared; gone when no call uses it."""
_finding = threading.Lock()


def lock_of(shared: Any) -> CallLock:
    """The lock of a thing, which is told from others by its identity."""
    with _finding:
        lock = _locks.get(id(shared))
        if lock is None:
            lock = _locks[id(shared)] = CallLock(shared)
        return lock
