"""The tool host: whatever a user's module does is answered, and disturbs nobody else."""

import asyncio
import json
import math
import os
import sys
import time
from pathlib import Path

import pytest
from turns import EXPERIENCE, call, play

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import ToolRefusal
from toolmaster.tools.host import open_host
from toolmaster.tools.running import run_tool
from toolmaster.tools.sources import open_sources
from toolmaster.types import ErrorKind

WRITES = pytest.mark.skipif(sys.platform != "linux", reason="trials of writes need Linux")
TILL = '''
import asyncio, os, sys, threading, time
from toolmaster.tools import tool

EFFECTS = {"total": "read", "pay": "write", "shift": "write"}
TOTAL = 0


class Panic(BaseException):
    pass


def total() -> int:
    """Sum in the till."""
    return TOTAL


def pay(amount: int) -> int:
    """Pay; slow enough to lose updates without a lock."""
    global TOTAL
    seen = TOTAL
    time.sleep(0.01)
    TOTAL = seen + amount
    return TOTAL


@tool(effect="write", timeout_s=1)
def hang(amount: int) -> int:
    """Pay half, then hang."""
    global TOTAL
    TOTAL += amount
    while True:
        try: time.sleep(600)
        except BaseException: pass


@tool(effect="write", timeout_s=1)
async def block(amount: int) -> int:
    """Hang without giving others a turn."""
    global TOTAL
    TOTAL += amount
    time.sleep(600)


@tool(effect="read")
def leave(status: int) -> None:
    """End the process."""
    os._exit(status)


@tool(effect="read")
def fail(how: str) -> None:
    """Raise something."""
    raise {"panic": Panic, "exit": SystemExit, "interrupt": KeyboardInterrupt}[how]("as asked")


@tool(effect="read")
def chat(text: str) -> str:
    """Print, and ask on standard input."""
    print(text * 1000)
    return input(text)


@tool(effect="read", thread_safe=True)
def meet() -> int:
    """Wait for two callers."""
    return BARRIER.wait(60) + 1


BARRIER = threading.Barrier(2)


async def shift(amount: int) -> int:
    """Pay, in turns with others."""
    global TOTAL
    seen = TOTAL
    await asyncio.sleep(0.01)
    TOTAL = seen + amount
    return TOTAL
'''


@pytest.fixture
def till(tmp_path):
    path = tmp_path / "till.py"
    path.write_text(TILL)
    return str(path)


def use(source, act):
    async def run():
        async with open_sources([source]) as tools:
            return await act(tools)

    return asyncio.run(run())


async def real(tools, name, **arguments):
    return await run_tool(tools[name], tools.state, arguments)


def session(tools, protocol=Protocol.TRIAL):
    return Session(Task("t", "q", lambda: tools), protocol, Limits())


def test_the_main_process_never_imports_the_module(till):
    use(till, lambda tools: real(tools, "pay", amount=2))
    assert not [name for name in sys.modules if name.startswith("till")]


@WRITES
def test_a_trial_sees_what_it_wrote_and_the_real_state_does_not(till):
    async def act(tools):
        a_session = session(tools)
        tried = await play(a_session, call("pay", amount=2), call("shift", amount=3), call("total"))
        really = await play(a_session, EXPERIENCE, call("total"), call("pay", amount=1))
        return [step.observation for step in (*tried, *really[1:])]

    assert use(till, act) == ["2", "5", "5", "0", "1"]


def test_real_calls_run_one_at_a_time(till):
    async def act(tools):
        names = ["pay", "shift"] * 10
        await asyncio.gather(*(real(tools, name, amount=1) for name in names))
        return await real(tools, "total")

    assert use(till, act) == 20


def test_thread_safe_tools_run_at_the_same_time(till):
    async def act(tools):
        return await asyncio.gather(real(tools, "meet"), real(tools, "meet"))

    assert sorted(use(till, act)) == [1, 2]


@pytest.mark.parametrize("name", ["hang", "block"])
def test_a_call_past_its_limit_is_ended_and_leaves_the_state_of_before(till, name):
    async def act(tools):
        await real(tools, "pay", amount=5)
        with pytest.raises(TimeoutError):
            await real(tools, name, amount=100)
        return await real(tools, "total"), await real(tools, "pay", amount=1)

    assert use(till, act) == (5, 6)


def test_what_calls_in_a_burst_had_changed_may_be_lost_and_is_said_to_be(till):
    async def act(tools):
        for _ in range(3):
            await real(tools, "shift", amount=1)
        [state] = tools.state
        state._next_reserve = math.inf  # as after many calls without a pause
        await real(tools, "shift", amount=1)
        with pytest.raises(TimeoutError):
            await real(tools, "hang", amount=100)
        with pytest.raises(ToolRefusal, match="is lost; the state is as it was 2 calls before"):
            await real(tools, "total")
        return await real(tools, "total"), await real(tools, "pay", amount=1)

    assert use(till, act) == (2, 3)


def test_a_state_that_is_lost_is_said_to_be_lost(tmp_path):
    path = tmp_path / "busy.py"
    path.write_text(
        TILL + "\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )

    async def act(tools):
        await real(tools, "pay", amount=5)
        with pytest.raises(TimeoutError):
            await real(tools, "hang", amount=100)
        with pytest.raises(ToolRefusal, match="what calls had changed before it is lost"):
            await real(tools, "total")
        return await real(tools, "total")

    assert use(str(path), act) == 0


@WRITES
def test_a_call_that_is_ended_disturbs_no_other_rollout(till):
    async def act(tools):
        first, second = session(tools), session(tools, Protocol.DIRECT)
        await play(first, call("pay", amount=7))
        cut_off, left = await play(second, call("hang", amount=1), call("leave", status=3))
        [seen] = await play(first, call("total"))
        return cut_off.error, left.observation, seen.observation

    error, left, seen = use(till, act)
    assert error is ErrorKind.TIMEOUT
    assert left == (
        "error: the call ended the process that it ran in; the state is as it was before the call"
    )
    assert seen == "7"


@pytest.mark.parametrize("how", ["panic", "exit", "interrupt"])
def test_what_is_no_exception_is_an_answer(till, how):
    async def act(tools):
        with pytest.raises(ToolRefusal, match=r"\w+: as asked"):
            await real(tools, "fail", how=how)
        return await real(tools, "pay", amount=1)

    assert use(till, act) == 1


def test_printing_and_asking(till, capfd):
    async def act(tools):
        with pytest.raises(ToolRefusal, match="EOFError"):
            await real(tools, "chat", text="name? ")

    use(till, act)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import os; os._exit(3)", "its process ended, or took too long, while it was loaded"),
        ("raise SystemExit(2)", "fails on import at line 1: SystemExit: 2"),
        ("class P(BaseException): pass\nraise P('rust')", "fails on import at line 2: P: rust"),
        ("x = input()", "EOFError"),
        ("from nowhere_at_all import x", "ModuleNotFoundError"),
    ],
)
def test_a_module_that_cannot_be_loaded(tmp_path, module, message):
    path = tmp_path / "broken.py"
    path.write_text(module)
    with pytest.raises(InputError, match=message):
        open_host([(str(path), None, 30.0)])


def test_a_module_with_siblings_and_a_package(tmp_path):
    (tmp_path / "prices.py").write_text("PRICES = {'tea': 3}\n")
    path = tmp_path / "shop.py"
    path.write_text(
        "from prices import PRICES\n"
        "def price(item: str) -> int:\n    'Price.'\n    import late\n"
        "    return PRICES[item] + late.more\n"
    )
    (tmp_path / "late.py").write_text("more = 4\n")
    assert use(str(path), lambda tools: real(tools, "price", item="tea")) == 7


RESULTS = """
import dataclasses, decimal, enum
@dataclasses.dataclass
class Point:
    x: int
def results() -> list:
    "All kinds."
    plain = [(1, 2), {7: None}, float("inf"), "\\ud800"]
    return [*plain, {3}, Point(4), decimal.Decimal("5.5"), b"six"]
def cycle() -> list:
    "A list in itself."
    x = []
    x.append(x)
    return x
"""


def test_results_are_values(tmp_path):
    path = tmp_path / "kinds.py"
    path.write_text(RESULTS)

    async def act(tools):
        with pytest.raises(ToolRefusal, match="its result cannot be shown: "):
            await real(tools, "cycle")
        return await real(tools, "results")

    found = use(str(path), act)
    assert found == [[1, 2], {"7": None}, float("inf"), "\ud800", [3], {"x": 4}, "5.5", "six"]


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def children(process="self"):
    """Ids of the processes that descend from a process of this one."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [child, *children(child)]
    return found


@WRITES
def test_forks_leave_no_process_and_no_descriptor(till):
    async def act(tools):
        def many():
            for _ in range(20):
                fork = tools.fork()
                fork.fork(trial=True)
            tools.fork()  # the host waits for those that have ended

        many()
        before = open_descriptors(), len(children())
        many()
        return before, (open_descriptors(), len(children()))

    before, after = use(till, act)
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 2
    deadline = time.monotonic() + 60
    while children() and time.monotonic() < deadline:
        pass
    assert not children()


def test_a_host_ends_in_order(tmp_path):
    path, log = tmp_path / "log.py", tmp_path / "log.txt"
    path.write_text(
        f"LOG = open({str(log)!r}, 'w')\n"
        "def note(text: str) -> int:\n    'Note.'\n    return LOG.write(text)\n"
    )
    assert use(str(path), lambda tools: real(tools, "note", text="kept")) == 4
    assert log.read_text() == "kept"


@WRITES
def test_a_fresh_fork_makes_its_object_anew(tmp_path):
    path = tmp_path / "shop.py"
    path.write_text(
        "import random, tempfile\n"
        "class Shop:\n"
        "    def __init__(self): self.number, self.orders = random.random(), []\n"
        "    def order(self, item: str) -> list:\n        self.orders.append(item)\n"
        "        return self.orders\n"
        "    def draw(self) -> list:\n        return [self.number, random.random()]\n"
    )

    async def act(tools):
        [state] = tools.state
        await real(tools, "order", item="tea")
        fresh = [state.fresh() for _ in range(3)]
        orders = [await tools["order"].execute((one,), {"item": "x"}) for one in fresh]
        drawn = [await tools["draw"].execute((one,), {}) for one in fresh]
        return orders, drawn

    orders, drawn = use(f"{path}:Shop", act)
    assert orders == [["x"]] * 3
    assert len({json.dumps(one) for one in drawn}) == 3
