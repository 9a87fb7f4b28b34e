"""Small files in the benchmarks' own formats, made here, and the way to run them."""

import asyncio
import json
from pathlib import Path

import pytest
from toolmaster.benchmarks.replay import policies

from toolmaster.benchmarks import find_benchmark
from toolmaster.benchmarks.base import Source
from toolmaster.config import load_config
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def write(tmp_path):
    """A function: write JSON to a file, return its path."""

    def save(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return save


@pytest.fixture
def play(tmp_path):
    """A function: replay known calls on a benchmark's file; returns (case, trajectory, values)."""

    def run(name, path, replays, protocol=Protocol.TRIAL):
        benchmark = find_benchmark(name)

        async def work():
            source = Source(path, load_config(benchmark.options, None), tmp_path)
            async with benchmark.open_suite(source) as suite:
                known = replays(suite.cases) if callable(replays) else replays
                acting = policies(suite.cases, known, protocol)
                cases = [case for case in suite.cases if case.task.id in acting]
                trajectories = await run_rollouts(
                    [RolloutRequest(case.task, policy=acting[case.task.id]) for case in cases],
                    ScriptedPolicy(()),
                    protocol,
                    benchmark.limits,
                )
            return [(c, t, c.measure(t)) for c, t in zip(cases, trajectories, strict=True)]

        return asyncio.run(work())

    return run


@pytest.fixture
def load(tmp_path):
    """A function: a benchmark's suite of a file, opened and closed again."""

    def run(name, path):
        benchmark = find_benchmark(name)

        async def work():
            source = Source(path, load_config(benchmark.options, None), tmp_path)
            async with benchmark.open_suite(source) as suite:
                return suite

        return asyncio.run(work())

    return run


@pytest.fixture
def shared():
    """A function: a file of the shared data; the test is skipped without it."""

    def find(name):
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"needs {path}, which is not part of the project")
        return path

    return find
