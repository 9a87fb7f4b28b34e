"""Running replays of benchmarks on services in tests."""

import asyncio
import json
from inspect import isawaitable

from toolmaster.benchmarks import find_benchmark
from toolmaster.benchmarks.base import Source
from toolmaster.benchmarks.replay import gold_replays, policies
from toolmaster.config import load_config
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts


def run_replays(name, path, folder, replays=gold_replays, protocol=Protocol.TRIAL, **options):
    """Replay calls on a benchmark's file; returns (case, trajectory, values) and the facts."""
    benchmark = find_benchmark(name)
    chosen = [f"{key}={json.dumps(value, default=str)}" for key, value in options.items()]

    async def work():
        source = Source(path, load_config(benchmark.options, None, chosen), folder)
        async with benchmark.open_suite(source) as suite:
            acting = policies(suite.cases, replays(suite.cases), protocol)
            cases = [case for case in suite.cases if case.task.id in acting]
            trajectories = await run_rollouts(
                [RolloutRequest(case.task, policy=acting[case.task.id]) for case in cases],
                ScriptedPolicy(()),
                protocol,
                benchmark.limits,
            )
            found = []
            for case, trajectory in zip(cases, trajectories, strict=True):
                values = case.measure(trajectory)
                found.append((case, trajectory, await values if isawaitable(values) else values))
        return found, dict(suite.facts)

    return asyncio.run(work())
