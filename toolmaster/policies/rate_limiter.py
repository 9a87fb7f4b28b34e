"""Limits the requests in flight to what an endpoint accepts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from toolmaster.policies.endpoint_errors import RateLimitedError


class RateLimiter:
    """A gate before each request, shared by all requests to one endpoint.

    After a refusal for too many requests, no request starts until the pause is over, and half as
    many may be in flight as before. Each success raises the limit a little (additive increase,
    multiplicative decrease, as in TCP).
    """

    def __init__(self) -> None:
        self.limit = math.inf
        """Requests that may be in flight."""
        self._in_flight = 0
        self._resume_at = 0.0
        self._slowed_at = -math.inf
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until a request may start, and count it as in flight inside the `with` block.

        A `RateLimitedError` that leaves the block slows all requests down for its `wait_s`.
        """
        loop = asyncio.get_running_loop()
        while (pause_s := self._resume_at - loop.time()) > 0 or self._in_flight >= self.limit:
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            else:
                await self._changed.wait()
        started = loop.time()
        self._in_flight += 1
        try:
            yield
            if started > self._slowed_at:
                self.limit += 1 / self.limit
        except RateLimitedError as error:
            self._resume_at = max(self._resume_at, loop.time() + error.wait_s)
            if started > self._slowed_at:  # requests in flight together halve it once
                self.limit = max(1.0, min(self.limit, self._in_flight) / 2)
                self._slowed_at = loop.time()
            raise
        finally:
            self._in_flight -= 1
            self._changed.set()  # wakes all waiting requests
            self._changed.clear()
