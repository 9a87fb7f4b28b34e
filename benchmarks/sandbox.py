"""How many calls of untrusted source the sandbox does in a second, at every level offered here.

    python benchmarks/sandbox.py [--calls 2000] [--repeats 5] [--workers 2]

Both sides come from one run: warm calls in the sandbox, and the same calls in a new interpreter
each (with no isolation at all), which is what a warm worker saves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time

from toolmaster.errors import InputError
from toolmaster.tools.sandbox import IsolationLevel, Sandbox

SOURCE = '''
from datetime import datetime

def days_between(start, end, unit="days", inclusive=False):
    """Days or weeks between two dates."""
    holidays = {"2024-12-25": "Christmas Day", "2025-01-01": "New Year's Day"}
    try:
        first, last = (datetime.strptime(day, "%Y-%m-%d") for day in (start, end))
    except ValueError as error:
        return {"error": str(error)}
    days = (last - first).days + (1 if inclusive else 0)
    found = [name for day, name in holidays.items() if start <= day <= end]
    return {"value": days if unit == "days" else days / 7, "unit": unit, "holidays": found}
'''
ARGUMENTS = {"start": "2024-02-28", "end": "2025-03-01"}
EXPECTED = {"value": 367, "unit": "days", "holidays": ["Christmas Day", "New Year's Day"]}


async def warm(level: IsolationLevel, calls: int, repeats: int, workers: int) -> list[float]:
    """Calls a second in each repeat, all of them given at once."""
    sandbox = Sandbox(workers=workers, minimum=IsolationLevel.PROCESS)
    sandbox._levels = [level]
    rates = []
    async with sandbox:
        for repeat in range(repeats + 1):
            started = time.perf_counter()
            running = (sandbox.call(SOURCE, "days_between", ARGUMENTS) for _ in range(calls))
            answers = await asyncio.gather(*running)
            rates.append(calls / (time.perf_counter() - started))
            assert answers == [EXPECTED] * calls
            if repeat == 0:
                rates.clear()  # starts the workers
    return rates


async def cold(calls: int, workers: int) -> list[float]:
    """Calls a second with a new interpreter for each."""
    places = asyncio.Semaphore(workers)
    program = f"{SOURCE}\nimport json\nprint(json.dumps(days_between(**{ARGUMENTS!r})))"

    async def one() -> None:
        async with places:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", program, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            assert b'"value": 367' in output

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(calls)))
    return [calls / (time.perf_counter() - started)]


async def main(calls: int, repeats: int, workers: int) -> None:
    """Measure and print."""
    print(f"{os.cpu_count()} processors, {workers} workers, load {os.getloadavg()[0]:.1f} at start")
    measured = {}
    for level in reversed(IsolationLevel):
        try:
            measured[level.name] = await warm(level, calls, repeats, workers)
        except InputError as error:
            print(f"{level.name:16} not offered here: {error}")
    measured["new interpreter"] = await cold(max(10, calls // 20), workers)
    for name, rates in measured.items():
        low, high, middle = min(rates), max(rates), statistics.median(rates)
        print(
            f"{name:16} {middle:7,.0f} calls/s (median of {len(rates)}; {low:,.0f} to {high:,.0f})"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    asyncio.run(main(arguments.calls, arguments.repeats, arguments.workers))
