"""The rate limiter: one refusal slows all requests down, and successes speed them up again."""

import asyncio
from contextlib import suppress

from toolmaster.policies.endpoint_errors import RateLimitedError
from toolmaster.policies.rate_limiter import RateLimiter


async def request(limiter, over, *, refused=False):
    with suppress(RateLimitedError):
        async with limiter.slot():
            await over.wait()
            if refused:
                raise RateLimitedError("slow down", 0.0)


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


def test_refusals_of_requests_in_flight_together_halve_the_limit_once():
    async def go():
        limiter, over = RateLimiter(), asyncio.Event()
        together = [asyncio.create_task(request(limiter, over, refused=True)) for _ in range(8)]
        await turns()
        over.set()
        await asyncio.gather(*together)
        limits = [limiter.limit]
        for _ in range(6):
            await request(limiter, over)
            limits.append(limiter.limit)
        return limits

    limits = asyncio.run(go())
    assert limits[0] == 4.0
    assert limits == sorted(limits)
    assert 5 < limits[-1] < 6


def test_no_more_than_the_limit_are_in_flight_and_none_is_lost():
    """Two at a time; one that waits and one in flight are cancelled, and the others still run."""

    async def go():
        limiter, over, running, most = RateLimiter(), asyncio.Event(), 0, 0
        limiter.limit = 2.0

        async def counted():
            nonlocal running, most
            async with limiter.slot():
                running += 1
                most = max(most, running)
                try:
                    await over.wait()
                finally:
                    running -= 1
                    limiter.limit = 1.5  # successes do not widen it here

        tasks = [asyncio.create_task(counted()) for _ in range(9)]
        await turns()
        tasks[0].cancel()
        tasks[4].cancel()
        await turns()
        over.set()
        got = await asyncio.gather(*tasks, return_exceptions=True)
        return most, [isinstance(one, asyncio.CancelledError) for one in got]

    most, cancelled = asyncio.run(go())
    assert most == 2
    assert [index for index, yes in enumerate(cancelled) if yes] == [0, 4]
