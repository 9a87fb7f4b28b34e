"""One lock for each object that calls change: one call runs, the others wait in order.

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
    """Lets one call at a time run on an object. Callers may be in any event loop and thread."""

    def __init__(self, shared: Any) -> None:
        self.shared = shared  # kept alive, so that no other object gets its id
        self._guard = threading.Lock()
        self._holder: str | None = None
        """The tool whose call has the lock."""
        self._in_thread = self._stuck = False
        """Whether that call runs in a thread, and whether its caller has stopped waiting for it."""
        self._waiting: deque[tuple[str, Future[str | None]]] = deque()
        """Tools and futures. A result of None gives the lock, a name is that of the stuck call."""

    async def acquire(self, name: str) -> None:
        """Wait until all calls that asked before this one, of the tool `name`, have ended.

        Raises:
            ToolRefusal: The call before this one ran out of time and still runs in its thread.
        """
        turn: Future[str | None] = Future()
        with self._guard:
            self._waiting.append((name, turn))
            self._serve()
        try:
            stuck = turn.result() if turn.done() else await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancel() and turn.result() is None:  # acquired in the meantime
                self.release()
            raise
        if stuck is not None:
            raise ToolRefusal(
                f"not run: a call of {in_quotes([stuck])} got no answer in time and still runs;"
                " until it has ended, nothing else is run on what it may change"
            )

    def enter_thread(self) -> None:
        """Tell that the call that has the lock goes on in a thread, until `leave_thread`."""
        self._in_thread = True

    def leave_thread(self) -> None:
        """Tell that the thread has ended."""
        with self._guard:
            self._in_thread = False
            if self._stuck:
                self._stuck, self._holder = False, None

    def release(self) -> None:
        """Let the next call run. If the thread still runs, it keeps the lock; all are refused."""
        with self._guard:
            self._stuck = self._in_thread
            if not self._stuck:
                self._holder = None
            self._serve()

    def _serve(self) -> None:
        """Give the lock to the next call if it is free; refuse all calls if it is stuck."""
        while self._waiting and (self._stuck or self._holder is None):
            name, turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():
                turn.set_result(self._holder if self._stuck else None)
                self._holder = self._holder or name


HELD: ContextVar[tuple[CallLock, ...]] = ContextVar("HELD", default=())
"""The locks of the calls around this one: a tool may run an agent that calls tools."""
_locks: WeakValueDictionary[int, CallLock] = WeakValueDictionary()
"""By the id of the shared object; an entry disappears when no call uses it."""
_finding = threading.Lock()


def lock_of(shared: Any) -> CallLock:
    """Return the lock of an object, which is told from others by its identity."""
    with _finding:
        lock = _locks.get(id(shared))
        if lock is None:
            lock = _locks[id(shared)] = CallLock(shared)
        return lock
