"""The pool: levels and their refusal, replacement of lost workers, waiting, cancelling, results."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import ToolRefusal, ToolSet
from toolmaster.tools.sandbox import (
    IsolationLevel,
    LimitBroken,
    Sandbox,
    SandboxLimits,
    pool,
    process,
)
from toolmaster.types import Effect

ADD = "def add(a, b=1): return a + b"
SLEEP = "import time\ndef f(): time.sleep(600)"
PROCESS = IsolationLevel.PROCESS


def in_sandbox(use, limits=None, **settings):
    """What `use(sandbox)` returns, at the weakest level: it starts fastest and runs anywhere."""

    async def run():
        sandbox = Sandbox(limits, workers=settings.pop("workers", 1), minimum=PROCESS)
        sandbox._levels = [PROCESS]
        async with sandbox:
            return await use(sandbox)

    return asyncio.run(run())


def test_call():
    assert in_sandbox(lambda sandbox: sandbox.call(ADD, "add", {"a": 2, "b": 3})) == 5


@pytest.mark.parametrize(
    ("source", "arguments", "text"),
    [
        ("def g(): pass", {}, "the source defines no function 'f'"),
        ("f = 3", {}, "the source defines no function 'f'"),
        ("def f(: pass", {}, "SyntaxError: invalid syntax (<source>, line 1)"),
        ("import no_such_module", {}, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(a): pass", {}, "TypeError: f() missing 1 required positional argument: 'a'"),
        ("def f(): raise ValueError('no\\nsuch')", {}, "ValueError: no\nsuch"),
        ("def f(): raise KeyboardInterrupt", {}, "KeyboardInterrupt: "),
        ("x = '\0'", {}, "null bytes"),
        ("x = '\ud800'", {}, "UnicodeEncodeError: "),
        ("def f(a): pass", {"a": "x" * (1 << 20)}, "source and arguments take 1048"),
    ],
)
def test_refusal(source, arguments, text):
    with pytest.raises(ToolRefusal) as caught:
        in_sandbox(lambda sandbox: sandbox.call(source, "f", arguments))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("None", None),
        ("(1, [True, 'ä'])", [1, [True, "ä"]]),
        ("{1: 'a', 'when': datetime.date(2024, 2, 29)}", {"1": "a", "when": "2024-02-29"}),
        ("{'x': {1}}", {"x": "{1}"}),
        ("float('inf')", "inf"),
        ("{(1, 2): 3}", "{(1, 2): 3}"),
        ("b'raw'", "b'raw'"),
        ("'\\ud800'", "\ud800"),
        ("10 ** 30", 10**30),
    ],
)
def test_values(value, shown):
    source = f"import datetime\ndef f(): return {value}"
    assert in_sandbox(lambda sandbox: sandbox.call(source, "f", {})) == shown


def test_modern_source():
    source = """
from __future__ import annotations
import asyncio, dataclasses, typing
@dataclasses.dataclass
class Point:
    x: int
    kind: typing.ClassVar[str] = "point"
async def f(x):
    await asyncio.sleep(0)
    return dataclasses.asdict(Point(x))
"""
    assert in_sandbox(lambda sandbox: sandbox.call(source, "f", {"x": 1})) == {"x": 1}


def test_hints_are_evaluated_as_without_the_future_import():
    source = "def f(x: int = 1) -> str: return str(f.__annotations__['x'])"
    assert in_sandbox(lambda sandbox: sandbox.call(source, "f", {})) == "<class 'int'>"


def test_arguments_that_are_not_json():
    with pytest.raises(InputError, match="function 'add': arguments must be JSON values"):
        in_sandbox(lambda sandbox: sandbox.call(ADD, "add", {"a": {1}}))


def test_results_do_not_hang_on_the_hash_seed():
    source = "def f(): return [hash('a'), str({'x', 'y', 'z', 'w'})]"

    async def twice(sandbox):
        return await sandbox.call(source, "f", {})

    assert in_sandbox(twice) == in_sandbox(twice)


def test_random_numbers_differ_between_calls():
    source = "import random\ndef f(): return random.random()"

    async def use(sandbox):
        return [await sandbox.call(source, "f", {}) for _ in range(3)]

    assert len(set(in_sandbox(use))) == 3


def test_level_and_its_refusal(monkeypatch):
    async def start(level, limits):
        if level > PROCESS:
            raise InputError(f"no {level.name.lower()} here")
        return await original(level, limits)

    original = pool.start
    monkeypatch.setattr(pool, "start", start)

    async def enter(**settings):
        async with Sandbox(workers=1, **settings) as sandbox:
            return sandbox.level

    assert asyncio.run(enter(minimum=PROCESS)) is PROCESS
    with pytest.raises(InputError) as caught:
        asyncio.run(enter())
    assert str(caught.value) == (
        "untrusted source needs isolation level CONFINED or above, which this machine does not"
        " offer (NAMESPACED: no namespaced here; CONFINED: no confined here); to run it with less,"
        " where nothing can be harmed, say so: Sandbox(minimum=IsolationLevel.PROCESS)"
    )


def test_worker_that_cannot_start(monkeypatch):
    monkeypatch.setattr(process, "START", "raise ValueError('no disk')")
    with pytest.raises(InputError, match="PROCESS: the worker did not start: ValueError: no disk"):
        in_sandbox(lambda sandbox: sandbox.call(ADD, "add", {"a": 1}))


def test_a_sandbox_that_is_not_open():
    async def use(sandbox):
        return sandbox

    for sandbox in (Sandbox(), in_sandbox(use)):
        with pytest.raises(RuntimeError, match="the sandbox is not open"):
            asyncio.run(sandbox.call(ADD, "add", {"a": 1}))


AS_USER = """
import asyncio, os, sys
from toolmaster.tools.sandbox import Sandbox, kernel
if os.geteuid() == 0:
    kernel.call("prctl", kernel.PR_CAPBSET_DROP, 21, 0, 0, 0)  # CAP_SYS_ADMIN, for workers
async def main():
    async with Sandbox(workers=1) as sandbox:
        source = "import os\\ndef f(): return [os.getuid(), os.getpid() < 9]"
        worker = sandbox._slots._queue[0]._process.pid
        print(worker, sandbox.level.name, *await sandbox.call(source, "f", {}), flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


@pytest.fixture
def as_user(monkeypatch, tmp_path):
    """A process of an ordinary user that has a sandbox open, and what it printed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", AS_USER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield process, process.stdout.readline().split()
        process.communicate("")


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_without_the_right_to_mount(as_user):
    """Inside a user namespace, or where that is forbidden, one level lower."""
    _, (_, *found) = as_user
    user = str(os.geteuid())
    assert found in (["NAMESPACED", user, "True"], ["CONFINED", user, "False"])


@pytest.mark.skipif(sys.platform != "linux", reason="waits through a pidfd")
def test_workers_end_with_their_owner(as_user, tmp_path):
    process, (worker, *_) = as_user
    ended = select.poll()
    ended.register(os.pidfd_open(int(worker)), select.POLLIN)
    assert list(tmp_path.iterdir()) != []
    process.kill()
    assert ended.poll(60_000)
    assert list(tmp_path.iterdir()) == []


BUSY_OWNER = """
import asyncio, sys
from toolmaster.tools.sandbox import IsolationLevel, Sandbox, SandboxLimits
async def main():
    sandbox = Sandbox(SandboxLimits(wall_s=600), workers=1)
    sandbox._levels = [IsolationLevel[sys.argv[1]]]
    async with sandbox:
        print(sandbox._slots._queue[0]._process.pid, flush=True)
        source = "import time\\ndef f(): open('x', 'w').close(); time.sleep(600)"
        await sandbox.call(source, "f", {})
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="waits through a pidfd")
@pytest.mark.parametrize("level", ["PROCESS", "CONFINED"])
def test_an_owner_killed_during_a_call_leaves_no_folder(monkeypatch, tmp_path, level):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", BUSY_OWNER, level]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        if not (keeper := owner.stdout.readline()):
            pytest.skip("not offered here")
        while not list(tmp_path.glob("*/x")):
            assert owner.poll() is None
        ended = select.poll()
        ended.register(os.pidfd_open(int(keeper)), select.POLLIN)
        owner.kill()
        assert ended.poll(60_000)
    assert list(tmp_path.iterdir()) == []


def test_interpreter_that_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match=r"PROCESS: the worker did not start: .*No such file"):
        in_sandbox(lambda sandbox: sandbox.call(ADD, "add", {"a": 1}))


def test_no_workers():
    with pytest.raises(InputError, match="workers: received 0; at least 1 is needed"):
        Sandbox(workers=0)


def test_least_memory():
    limits = SandboxLimits(memory_mib=64)
    assert in_sandbox(lambda sandbox: sandbox.call(ADD, "add", {"a": 1}), limits) == 2


def test_limits_are_checked_before_anything_starts():
    with pytest.raises(ValueError, match="greater than 0"):
        SandboxLimits(wall_s=0)


def test_wall_limit_of_one_call_leaves_the_others():
    async def use(sandbox):
        sleeping = sandbox.call(SLEEP, "f", {})
        adding = (sandbox.call(ADD, "add", {"a": number}) for number in range(5))
        return await asyncio.gather(sleeping, *adding, return_exceptions=True)

    first, *others = in_sandbox(use, SandboxLimits(wall_s=2), workers=2)
    assert isinstance(first, LimitBroken)
    assert (str(first), first.limit) == ("no answer within 2 s", "wall_s")
    assert others == [1, 2, 3, 4, 5]


def test_waiting_for_a_worker_does_not_count():
    source = "import time\ndef f():\n time.sleep(0.8)\n return 'done'"

    async def use(sandbox):
        return await asyncio.gather(*(sandbox.call(source, "f", {}) for _ in range(4)))

    assert in_sandbox(use, SandboxLimits(wall_s=3)) == ["done"] * 4


def test_a_lost_worker_is_replaced():
    async def use(sandbox):
        worker = sandbox._slots.get_nowait()
        sandbox._slots.put_nowait(worker)
        running = asyncio.create_task(sandbox.call(SLEEP, "f", {}))
        await asyncio.sleep(0)
        os.killpg(worker._process.pid, signal.SIGKILL)
        with pytest.raises(LimitBroken, match="the call's worker was lost, and is replaced"):
            await running
        again = await sandbox.call(ADD, "add", {"a": 1})
        worker = sandbox._slots.get_nowait()
        sandbox._slots.put_nowait(worker)
        os.killpg(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
        return again, await sandbox.call(ADD, "add", {"a": 2})

    assert in_sandbox(use) == (2, 3)


def test_cancelled_call_frees_its_place():
    async def use(sandbox):
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await sandbox.call(SLEEP, "f", {})
        return await sandbox.call(ADD, "add", {"a": 1})

    assert in_sandbox(use) == 2


def _calls_of(worker):
    """Ids of the processes that a worker has forked."""
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return {grandchild for child in children for grandchild in _calls_of(child)} | set(children)


def _alive(process):
    """Whether it runs; what has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


DEAF = """
import signal, time
def f():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("lost", [False, True], ids=["cancelled", "worker killed"])
@pytest.mark.parametrize("level", list(IsolationLevel), ids=lambda level: level.name)
def test_no_call_outlives_its_worker(at_level, level, lost):
    running = at_level(level, SandboxLimits(), workers=1)

    async def use():
        [worker] = running.sandbox._slots._queue
        before = _calls_of(worker._process.pid)
        calling = asyncio.create_task(running.sandbox.call(DEAF, "f", {}))
        while not (calls := _calls_of(worker._process.pid) - before):
            await asyncio.sleep(0)
        if lost:
            worker._process.kill()
        else:
            calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        async with asyncio.timeout(20):
            while any(map(_alive, calls)):
                await asyncio.sleep(0)

    running.runner.run(use())


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def use(sandbox):
        source = "import os\ndef f():\n os.makedirs('/'.join('a' * 900))\n return os.getcwd()"
        assert Path(await sandbox.call(source, "f", {})).parent == tmp_path
        worker = sandbox._slots.get_nowait()
        sandbox._slots.put_nowait(worker)
        return worker._process

    process = in_sandbox(use, SandboxLimits(scratch_files=2000), workers=2)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_tool_in_a_session():
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    async def use(sandbox):
        tool = sandbox.tool(
            name="plus", description="Add one.", parameters=parameters, source=ADD, function="add"
        )
        assert tool.effect is Effect.READ
        task = Task("t/1", "?", lambda: ToolSet((tool,)))
        session = Session(task, Protocol.TRIAL, Limits())
        observed = []
        for arguments in ({"a": 1}, {"a": 1, "c": 2}, {"a": "x"}):
            call = json.dumps({"name": "plus", "arguments": arguments})
            step = await session.step(f"<think>t</think><tool_call>{call}</tool_call>")
            observed.append(step.observation)
        return observed

    first, unknown, wrong = in_sandbox(use)
    assert first == "2"
    assert unknown == "error: TypeError: add() got an unexpected keyword argument 'c'"
    assert wrong.startswith("error: a: ")


def test_the_result_may_be_as_large_as_the_limit_says():
    source = "def f(size): return 'x' * size"
    room = 1024 - len('{"value": ""}')

    async def use(sandbox):
        fits = await sandbox.call(source, "f", {"size": room})
        with pytest.raises(LimitBroken, match="larger than 1 KiB"):
            await sandbox.call(source, "f", {"size": room + 1})
        return fits

    assert in_sandbox(use, SandboxLimits(result_kib=1)) == "x" * room
