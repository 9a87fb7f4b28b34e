"""What a rollout costs beside the endpoint's own time: many rollouts against a mock endpoint.

    python benchmarks/overhead.py [--rollouts 1000] [--inspect PYTHON]

Each rollout takes six turns of one second each at `mock_endpoint.py` (a process of its own), all
are in flight at once, so that the ideal is six seconds. The other side, inspect_ai, runs in an
environment of its own, given by its interpreter (`pip install inspect_ai openai`), with the same
tool and calls. Each side runs in a fresh process; printed are the seconds of its
rollouts, their ratio to the ideal, its processor time and its peak memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LATENCY_S, TURNS = 1.0, 6
AIM_RATIO, AIM_GIB = 1.25, 2.0
HERE = Path(__file__).parent


def ours(url: str, rollouts: int) -> int:
    """Our engine; returns how many rollouts were answered."""
    from toolmaster.limits import Limits
    from toolmaster.policies.base import Sampling
    from toolmaster.policies.openai import OpenAIPolicy
    from toolmaster.protocols import Protocol
    from toolmaster.rollouts import RolloutRequest, run_rollouts
    from toolmaster.tasksets import Task
    from toolmaster.tools import ToolSet, from_function

    def look(number: int) -> str:
        """Look a number up."""
        return f"entry {number}"

    tools = ToolSet((from_function(look, timeout_s=None),))
    tasks = [Task(f"t/{i}", "What is in the table?", lambda: tools) for i in range(rollouts)]
    policy = OpenAIPolicy("mock", Sampling(), base_url=url, tool_calls="native")
    run = run_rollouts(
        map(RolloutRequest, tasks), policy, Protocol.DIRECT, Limits(), concurrency=rollouts
    )
    return sum(t.answer == "42" and len(t.calls()) == TURNS - 1 for t in asyncio.run(run))


def inspect_side(url: str, rollouts: int) -> int:
    """The same with inspect_ai."""
    import inspect_ai
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate, use_tools
    from inspect_ai.tool import tool

    @tool
    def look():  # noqa: ANN202
        async def execute(number: int) -> str:
            """Look a number up.

            Args:
                number: which.
            """
            return f"entry {number}"

        return execute

    samples = [Sample(input=f"What is in the table? {i}", target="42") for i in range(rollouts)]
    model = get_model("openai/mock", base_url=url, api_key="none", responses_api=False)
    logs = inspect_ai.eval(
        Task(samples, solver=[use_tools(look()), generate()], scorer=includes()),
        model=model,
        max_connections=rollouts,
        max_samples=rollouts,
        display="none",
        log_dir=tempfile.mkdtemp(),
    )
    return sum(
        len([m for m in s.messages if m.role == "tool"]) == TURNS - 1 for s in logs[0].samples or ()
    )


SIDES: dict[str, Callable[[str, int], int]] = {"toolmaster": ours, "inspect_ai": inspect_side}


def run_side(name: str, url: str, rollouts: int) -> None:
    """Run a side in this process and print its figures as JSON."""
    os.environ.setdefault("OPENAI_API_KEY", "none")
    SIDES[name](url, 1)  # imports, and what is done once
    started, used = time.perf_counter(), time.process_time()
    answered = SIDES[name](url, rollouts)
    figures = {
        "answered": answered,
        "seconds": time.perf_counter() - started,
        "processor_s": time.process_time() - used,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(json.dumps(figures), flush=True)


def measure(name: str, python: str, rollouts: int) -> None:
    """Run a side in a process of its own, against an endpoint of its own."""
    mock = [sys.executable, HERE / "mock_endpoint.py", "--latency-s", str(LATENCY_S)]
    endpoint = subprocess.Popen(  # noqa: S603 - our own script
        [*mock, "--turns", str(TURNS)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert endpoint.stdout is not None
        url = f"http://127.0.0.1:{int(endpoint.stdout.readline())}/v1"
        side = [python, __file__, "--side", name, "--url", url, "--rollouts", str(rollouts)]
        done = subprocess.run(side, capture_output=True, text=True, check=False)  # noqa: S603
    finally:
        endpoint.kill()
        endpoint.wait()
    if done.returncode:
        print(f"{name:12} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return
    got = json.loads(done.stdout.strip().splitlines()[-1])
    ratio = got["seconds"] / (LATENCY_S * TURNS)
    print(
        f"{name:12} {got['answered']}/{rollouts} answered in {got['seconds']:6.2f} s,"
        f" {ratio:.2f} of the ideal; processor {got['processor_s']:6.2f} s,"
        f" peak {got['peak_gib']:.2f} GiB",
        flush=True,
    )
    if name == "toolmaster":
        met = ratio <= AIM_RATIO and got["peak_gib"] < AIM_GIB and got["answered"] == rollouts
        print(
            f"{'':12} aim ({AIM_RATIO} of the ideal, {AIM_GIB} GiB): {'met' if met else 'missed'}"
        )


def main() -> None:
    """Measure each side that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--inspect", metavar="PYTHON")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.url, arguments.rollouts)
        return
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    pythons = (sys.executable, arguments.inspect)
    for name, python in zip(SIDES, pythons, strict=True):
        if python is None:
            print(f"{name:12} skipped: no interpreter given")
        else:
            measure(name, python, arguments.rollouts)


if __name__ == "__main__":
    main()
