"""What the tool host costs: opening a trial, calls through the pipe, forks of a large state.

    python benchmarks/tool_host.py [--calls 2000] [--forks 50] [--mib 100]

Both sides come from one run: a trial in a walled fork beside `copy.deepcopy` of the same state, and
calls through the pipe beside calls in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolmaster.tools.host import HostState, open_host
from toolmaster.tools.tool import ToolSet

MODULE = """
EFFECTS = {"left": "read"}

class Shop:
    def __init__(self):
        self.rows = [{"item": str(number), "left": number} for number in range(1000)]
        self.large = bytearray(MIB << 20)

    def left(self, item: str) -> int:
        'How many are left.'
        return self.rows[int(item)]["left"]

    def take(self, item: str) -> int:
        'Take nothing, which nobody knows: a reserve is forked before each call.'
        return self.rows[int(item)]["left"]

shop = Shop()
"""


def opened(mib: int) -> ToolSet:
    """Return the tools of a shop that holds some memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shop.py")
        path.write_text(MODULE.replace("MIB", str(mib)))
        [tools] = open_host([(str(path), "shop", 30.0)])
    return tools


def milliseconds(act: Callable[[], Any], times: int) -> list[float]:
    """Return how long each of some runs took."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        taken.append(1000 * (time.perf_counter() - started))
    return sorted(taken)


async def calls(tools: ToolSet, name: str, count: int) -> float:
    """Return calls a second, one after the other."""
    tool, arguments = tools[name], {"item": "7"}
    started = time.perf_counter()
    for _ in range(count):
        assert await tool.execute(tools.state, arguments) == 7
    return count / (time.perf_counter() - started)


def show(what: str, taken: list[float]) -> None:
    """Print the least and the median."""
    print(f"{what:44} {taken[0]:8.2f} ms least, {statistics.median(taken):8.2f} ms median")


def main(count: int, forks: int, mib: int) -> None:
    """Measure and print."""
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at start")
    small, large = opened(0), opened(mib)
    names: dict[str, Any] = {}
    exec(MODULE.replace("MIB", str(mib)), names)  # noqa: S102 - the same state, in this process
    for what, tools in (("of a small state", small), (f"of {mib} MiB", large)):
        state: HostState = tools.state
        show(f"a trial {what}", milliseconds(lambda s=state: s.fork(trial=True), forks))
        show(f"a fork for a rollout {what}", milliseconds(lambda s=state: s.fork(), forks))
    show(f"copy.deepcopy of {mib} MiB", milliseconds(lambda: copy.deepcopy(names["shop"]), 5))
    for what, name in (("reading calls through the pipe", "left"), ("writing calls", "take")):
        print(f"{what:44} {asyncio.run(calls(small, name, count)):8.0f} a second")
    direct = milliseconds(lambda: [names["shop"].left("7") for _ in range(count)], 3)[0]
    print(f"{'calls in this process':44} {1000 * count / direct:8.0f} a second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--forks", type=int, default=50)
    parser.add_argument("--mib", type=int, default=100)
    given = parser.parse_args()
    main(given.calls, given.forks, given.mib)
