"""How fast an endpoint may be asked, shared by everyone who asks it.

One answer "too many requests" slows all of them down: for as long as the endpoint says nobody asks,
then half as many requests are in flight as before, and each success lets a little more through. How
often in a row that was so is counted, so that pauses can grow whatever the endpoint says.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque


class Pace:
    """A gate before each request; one for each endpoint and event loop."""

    def __init__(self) -> None:
        self.width = math.inf
        """Requests that may be in flight."""
        self._slowed = 0
        self._in_flight = 0
        self._resume_at = 0.0
        self._slowed_at = -math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> float:
        """Wait for one's turn; returns when it came, in the loop's seconds."""
        loop = asyncio.get_running_loop()
        while True:
            pause_s = self._resume_at - loop.time()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            elif self._in_flight >= self.width:
                place = loop.create_future()
                self._waiting.append(place)
                try:
                    await place
                except asyncio.CancelledError:
                    self._wake()  # the turn may have been ours
                    raise
            else:
                self._in_flight += 1
                return loop.time()

    def leave(self, entered: float, *, succeeded: bool = False) -> None:
        """The request is over.

        Args:
            entered: what `enter` returned.
            succeeded: it was answered, so that a little more may be tried.
        """
        self._in_flight -= 1
        if succeeded and entered > self._slowed_at:
            self.width += 1 / self.width
            self._slowed = 0
        self._wake()

    def refusals(self, entered: float) -> int:
        """How often in a row all were slowed down before, without a success in between.

        Args:
            entered: when a request began that was turned away; of those in flight together only the
                first one counts.
        """
        return self._slowed if entered > self._slowed_at else self._slowed - 1

    def slow_down(self, entered: float, pause_s: float) -> None:
        """The endpoint has had too many requests.

        Args:
            entered: when the request that it turned away began; of those in flight together only
                the first one halves the width.
            pause_s: how long nobody should ask.
        """
        now = asyncio.get_running_loop().time()
        self._resume_at = max(self._resume_at, now + pause_s)
        if entered > self._slowed_at:
            self.width = max(1.0, min(self.width, self._in_flight) / 2)
            self._slowed_at = now
            self._slowed += 1

    def _wake(self) -> None:
        free = self.width - self._in_flight
        while self._waiting and free >= 1:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1
