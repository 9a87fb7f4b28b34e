"""What tools need, opened with their task set."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from toolmaster.errors import PolicyError
from toolmaster.tasksets import Taskset
from toolmaster.tasksets.resource import Held


@pytest.fixture
def held():
    """A resource that counts how often it was made, and lists what is open."""
    made = []

    @asynccontextmanager
    async def make():
        made.append(len(made))
        yield made[-1]

    return Held(make)


def test_it_is_made_anew_each_time_the_set_is_opened(held):
    tasks = Taskset("t", [], resources=held.open)

    async def opened():
        async with tasks.open():
            return held.now

    assert [asyncio.run(opened()) for _ in range(2)] == [0, 1]
    with pytest.raises(PolicyError, match=r"run its tasks inside `tasks\.open\(\)`"):
        _ = held.now


def test_the_one_opened_last_is_used_while_it_is_open(held):
    async def nested():
        async with held.open():
            async with held.open():
                inner = held.now
            return inner, held.now

    assert asyncio.run(nested()) == (1, 0)
