"""A model that generates for an event loop from a thread of its own.

A step of the model blocks the event loop that it runs in. Here it runs in another one, so that
requests are read and answers are written while it computes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from toolmaster.policies.transformers import TransformersPolicy


class Engine:
    """Shares one model among requests.

    Requests in flight share the model's passes. The temperature and the weights change only
    between requests: whoever wants others waits until those in flight have ended, and later
    requests wait behind it.

    Args:
        policy: The model.
    """

    def __init__(self, policy: TransformersPolicy) -> None:
        self.policy = policy
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._turnstile = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0

    async def generate(
        self, token_ids: list[int], limit: int, temperature: float
    ) -> tuple[list[int], list[float]]:
        """Sample one turn; see `TransformersPolicy.generate`."""
        async with self._sampling(temperature):
            turn = self.policy.generate(token_ids, limit)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(turn, self._loop))

    @asynccontextmanager
    async def _sampling(self, temperature: float) -> AsyncIterator[None]:
        """Count a request as in flight at this temperature."""
        async with self._turnstile:
            sampling = self.policy.sampling
            if temperature != sampling.temperature:
                await self._idle.wait()
                update = {"temperature": temperature}
                self.policy.sampling = sampling.model_copy(update=update)
            self._in_flight += 1
            self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()

    async def change(self, work: Callable[[], None]) -> None:
        """Call a function that changes the model, while no request is in flight."""

        async def call() -> None:
            work()

        async with self._turnstile:
            await self._idle.wait()
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._loop))

    def close(self) -> None:
        """End the thread, after the step of the model that it may be computing."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
