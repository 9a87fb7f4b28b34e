"""How many session steps one core does in a second, with scripted turns of oracle demonstrations.

    python benchmarks/sessions.py [--tasks 400] [--repeats 5]

Both figures come from one run: `Session.step` alone, and the whole rollout engine around it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.session import Session
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import Behaviours
from toolmaster.world.tasks import World


async def main(tasks: int, repeats: int) -> None:
    """Prepare the scripts once, then time playing them."""
    world, limits = World(), Limits()
    scripts = []
    for number in range(tasks):
        drawn = world.draw(world.id_of("train", number))
        oracle = OraclePolicy(drawn, Protocol.TRIAL, Behaviours())
        request = RolloutRequest(drawn.task)
        trajectory = await run_rollout(request, oracle, Protocol.TRIAL, limits)
        scripts.append((request, [step.text for step in trajectory.steps]))
    steps = sum(len(texts) for _, texts in scripts)
    alone, engine = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        for request, texts in scripts:
            session = Session(request.task, Protocol.TRIAL, limits)
            for text in texts:
                await session.step(text)
        alone.append(steps / (time.perf_counter() - started))
        started = time.perf_counter()
        for request, texts in scripts:
            await run_rollout(request, ScriptedPolicy(texts), Protocol.TRIAL, limits)
        engine.append(steps / (time.perf_counter() - started))
    for title, rates in (("Session.step", alone), ("run_rollout", engine)):
        low, high, middle = min(rates), max(rates), statistics.median(rates)
        print(f"{title:14} {middle:9,.0f} steps/s (median of {repeats}; {low:,.0f} to {high:,.0f})")
    print(f"ratio          {statistics.median(engine) / statistics.median(alone):9.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.tasks, arguments.repeats))
