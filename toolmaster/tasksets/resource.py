"""`Held`: something that tools need, opened with the task set and found by the tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from toolmaster.errors import PolicyError

T = TypeVar("T")


class Held(Generic[T]):
    """Something that is made anew each time the task set is opened; `open` is its `resources`.

    Args:
        make: makes it, unopened.

    Example:
        >>> from toolmaster.tools.sandbox import Sandbox
        >>> sandbox = Held(Sandbox)
        >>> resources = sandbox.open  # for a `Taskset` whose tools call `sandbox.now`
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._make = make
        self._open: list[T] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open it for as long as the context lasts."""
        async with self._make() as opened:
            self._open.append(opened)
            try:
                yield
            finally:
                self._open.remove(opened)

    @property
    def now(self) -> T:
        """What is open now.

        Raises:
            PolicyError: nothing is; the rollout breaks, for this is not the model's doing.
        """
        if not self._open:
            raise PolicyError("the task set is not open; run its tasks inside `tasks.open()`")
        return self._open[-1]
