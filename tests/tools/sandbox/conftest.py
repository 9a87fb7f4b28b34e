"""A warm sandbox at each isolation level that this machine offers, shared by a module's tests."""

import asyncio
import sys
from contextlib import ExitStack, contextmanager

import pytest

from toolmaster.errors import InputError
from toolmaster.tools.sandbox import IsolationLevel, Sandbox, SandboxLimits

LIMITS = SandboxLimits(
    wall_s=60.0, cpu_s=1, memory_mib=256, scratch_mib=2, scratch_files=8, result_kib=64
)

if sys.platform != "linux":
    collect_ignore = ["test_attacks.py"]


class Running:
    """A sandbox driven from plain test functions."""

    def __init__(self, runner, sandbox):
        self.runner = runner
        self.sandbox = sandbox

    def call(self, source, function="f", **arguments):
        return self.runner.run(self.sandbox.call(source, function, arguments))

    def calls(self, *sources):
        """What each source answers, all at once; an exception stands for itself."""

        async def together():
            running = (self.sandbox.call(source, "f", {}) for source in sources)
            return await asyncio.gather(*running, return_exceptions=True)

        return self.runner.run(together())


@contextmanager
def opened(level, limits=LIMITS, **settings):
    """A sandbox at this level and no other."""
    sandbox = Sandbox(limits, **settings)
    sandbox._levels = [level]
    with asyncio.Runner() as runner:
        try:
            runner.run(sandbox.__aenter__())
        except InputError as error:
            pytest.skip(f"not offered here: {error}")
        yield Running(runner, sandbox)
        runner.run(sandbox.__aexit__(None, None, None))


CONFINING = [IsolationLevel.CONFINED, IsolationLevel.NAMESPACED]


@pytest.fixture(scope="module", params=CONFINING, ids=lambda level: level.name)
def running(request):
    """One with two workers, at each level that confines."""
    with opened(request.param, workers=2) as running:
        yield running


@pytest.fixture
def at_level():
    """A function: a sandbox at a level, closed after the test."""
    with ExitStack() as stack:
        yield lambda level, *args, **more: stack.enter_context(opened(level, *args, **more))
