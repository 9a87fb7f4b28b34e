"""One call at a time runs on the same thing; all others run at the same time."""

import asyncio
import threading
from dataclasses import replace

import pytest
from turns import call, play

from toolmaster import agent as agents
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolRefusal, from_function, from_object, tool
from toolmaster.tools.locks import _locks
from toolmaster.tools.merging import merge
from toolmaster.tools.permissions import AllowAll
from toolmaster.tools.running import run_tool

CALLS = 8


class Meeting:
    """Whether `CALLS` calls can be in progress at once."""

    def __init__(self):
        self.inside = self.most = 0
        self.lock = threading.Lock()
        self.full = threading.Event()

    def visit(self, apart=0.02):
        """Come in, wait until all are there (or a moment, if one at a time), and leave."""
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == CALLS:
                self.full.set()
        self.full.wait(apart)
        with self.lock:
            self.inside -= 1

    async def visit_async(self):
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(5):
            await asyncio.sleep(0)
        self.inside -= 1


meeting = Meeting()


@pytest.fixture(autouse=True)
def _meeting():
    meeting.__init__()


class Account:
    def __init__(self, apart=0.02):
        self.balance, self.apart = 0, apart

    def snapshot(self):
        return Account(self.apart)

    def deposit(self, amount: int) -> int:
        """Deposit."""
        now = self.balance
        meeting.visit(self.apart)
        self.balance = now + amount
        return self.balance

    async def pay_in(self, amount: int) -> int:
        """Deposit, with a pause."""
        now = self.balance
        await meeting.visit_async()
        self.balance = now + amount
        return self.balance

    @tool(thread_safe=True)
    def look(self) -> None:
        """Change nothing."""
        meeting.visit(apart=60)


def visit_one() -> None:
    """One."""
    meeting.visit()


def visit_other() -> None:
    """Another of this module."""
    meeting.visit()


@tool(thread_safe=True)
def visit_safely() -> None:
    """One that may run at the same time."""
    meeting.visit(apart=60)


async def visit_async() -> None:
    """One without a thread."""
    await meeting.visit_async()


def run_all(*calls):
    async def work():
        return await asyncio.gather(*(run_tool(*call) for call in calls))

    return asyncio.run(work())


@pytest.mark.parametrize("timeout_s", [60.0, None])
def test_one_method_of_an_object_runs_at_a_time(timeout_s):
    account = Account()
    sets = [from_object(account, timeout_s=timeout_s) for _ in range(2)]  # two sets, one object
    calls = [
        (tools[name], tools.state, {"amount": 1})
        for tools in sets
        for name in ("deposit", "pay_in")
        for _ in range(CALLS)
    ]
    assert sorted(run_all(*calls)) == list(range(1, 4 * CALLS + 1))
    assert (account.balance, meeting.most) == (4 * CALLS, 1)


def test_a_lock_is_kept_for_as_long_as_calls_use_it():
    account = Account()
    tools = from_object(account)
    run_all((tools["deposit"], tools.state, {"amount": 1}))
    assert id(account) not in _locks


def test_calls_run_in_the_order_of_asking():
    seen = []
    keep = Tool("keep", "", {}, lambda state, a: seen.append(a["n"]), timeout_s=60.0)
    run_all(*((keep, seen, {"n": n}) for n in range(40)))
    assert seen == list(range(40))


def test_an_agent_loses_no_update():
    account = Account()
    call = '<tool_call>{"name":"deposit","arguments":{"amount":1}}</tool_call>'
    agent = agents.Agent(
        ScriptedPolicy([call, "<answer>done</answer>"]),
        from_object(account, timeout_s=60.0),
        protocol=Protocol.DIRECT,
        approver=AllowAll(),
    )
    agent.run_all([f"task {n}" for n in range(CALLS)])
    assert account.balance == CALLS


def test_event_loops_of_several_threads_wait_for_each_other():
    account = Account()
    tools = from_object(account, timeout_s=60.0)

    def work():
        run_all(*[(tools["deposit"], tools.state, {"amount": 1})] * 3)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (account.balance, meeting.most) == (12, 1)


def merged(tools):
    return merge([("first", from_object(Account())), ("second", tools)])


def copies(tools):
    return [tools.fork() for _ in range(CALLS)]


@pytest.mark.parametrize("wrap", [lambda tools: tools, merged], ids=["plain", "merged"])
def test_forks_and_separate_objects_do_not_wait_for_each_other(wrap):
    for sets in (
        [wrap(from_object(Account(60), timeout_s=60.0)) for _ in range(CALLS)],
        copies(wrap(from_object(Account(60), timeout_s=60.0))),
    ):
        meeting.__init__()
        names = [next(n for n in reversed(list(s.names())) if "deposit" in n) for s in sets]
        calls = [(s[name], s.state, {"amount": 1}) for s, name in zip(sets, names, strict=True)]
        assert run_all(*calls) == [1] * CALLS
        assert meeting.most == CALLS


def test_the_parts_of_a_merged_set_wait_only_for_themselves():
    bank = Account()
    both = merge([("one", from_object(bank, timeout_s=60.0)), ("two", from_object(Account()))])
    alone = from_object(bank, timeout_s=60.0)
    calls = [(both["one_deposit"], both.state, {"amount": 1})] * 4
    calls += [(alone["deposit"], alone.state, {"amount": 1})] * 4
    assert sorted(run_all(*calls)) == list(range(1, 9))
    states = both.state
    assert both["one_deposit"].shared(states) is bank
    assert both["two_deposit"].shared(states) is states[1][0]
    assert both["one_look"].shared(states) is None


def test_one_plain_function_of_a_module_runs_at_a_time():
    one, other = (from_function(f, timeout_s=60.0) for f in (visit_one, visit_other))
    run_all(*[(one, None, {}), (other, None, {})] * 4)
    assert meeting.most == 1


@pytest.mark.parametrize(
    "made",
    [
        lambda: from_function(visit_safely, timeout_s=60.0),
        lambda: from_function(visit_async),
        lambda: from_object(Account(), timeout_s=60.0)["look"],
        lambda: Tool("raw", "", {}, lambda s, a: meeting.visit(60), timeout_s=60, thread_safe=True),
    ],
    ids=["declared", "async", "method", "raw"],
)
def test_what_is_safe_runs_at_the_same_time(made):
    run_all(*[(made(), (Account(),), {})] * CALLS)
    assert meeting.most == CALLS


def test_a_bound_method_and_its_object_share_a_lock():
    account = Account()
    method = from_function(account.deposit, timeout_s=60.0)
    tools = from_object(account, timeout_s=60.0)
    run_all(*[(method, None, {"amount": 1}), (tools["deposit"], tools.state, {"amount": 1})] * 4)
    assert account.balance == 8


class Stuck:
    def __init__(self):
        self.go_on, self.ended = threading.Event(), threading.Event()

    def hang(self) -> None:
        """Hang."""
        self.go_on.wait(60)
        self.ended.set()

    def ask(self) -> str:
        """Ask."""
        return "answered"


def test_after_a_call_that_hangs_the_next_ones_are_told_so_until_it_has_ended():
    stuck = Stuck()
    tools = from_object(stuck, timeout_s=60.0, forkable=False)
    hang = replace(tools["hang"], timeout_s=0.05)

    async def work():
        hanging = asyncio.create_task(run_tool(hang, tools.state, {}))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(run_tool(tools["ask"], tools.state, {}))
        with pytest.raises(TimeoutError):
            await hanging
        for late in (waiting, run_tool(tools["ask"], tools.state, {})):
            with pytest.raises(ToolRefusal, match='not run: a call of "hang" got no answer'):
                await late
        stuck.go_on.set()
        await asyncio.to_thread(stuck.ended.wait, 60)
        while True:
            try:
                return await run_tool(tools["ask"], tools.state, {})
            except ToolRefusal:  # its thread is about to end
                await asyncio.sleep(0)

    assert asyncio.run(work()) == "answered"


def test_who_gives_up_waiting_is_passed_over():
    stuck = Stuck()
    tools = from_object(stuck, timeout_s=60.0, forkable=False)

    async def work():
        first = asyncio.create_task(run_tool(tools["hang"], tools.state, {}))
        await asyncio.sleep(0)
        given_up, last = (
            asyncio.create_task(run_tool(tools["ask"], tools.state, {})) for _ in range(2)
        )
        await asyncio.sleep(0)
        given_up.cancel()
        stuck.go_on.set()
        await first
        assert await last == "answered"
        with pytest.raises(asyncio.CancelledError):
            await given_up

    asyncio.run(work())


def test_a_tool_may_call_tools_of_its_own_object():
    class Nested:
        def outer(self) -> str:
            """Call the other."""
            return asyncio.run(run_tool(tools["inner"], tools.state, {})) + "!"

        def inner(self) -> str:
            """Answer."""
            return "inner"

    tools = from_object(Nested(), timeout_s=60.0)
    assert run_all((tools["outer"], tools.state, {})) == ["inner!"]


def test_a_thread_that_cannot_be_started_releases_the_lock(monkeypatch):
    account = Account()
    tools = from_object(account, timeout_s=60.0)

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            run_all((tools["deposit"], tools.state, {"amount": 1}))
    assert run_all((tools["deposit"], tools.state, {"amount": 1})) == [1]


class Books:
    """Two numbers that are equal whenever no call runs."""

    def __init__(self):
        self.debit = self.credit = 0
        self.begun, self.go_on = threading.Event(), threading.Event()

    def snapshot(self):
        made = Books()
        made.debit, made.credit = self.debit, self.credit
        return made

    def book(self) -> None:
        """Change both."""
        self.debit += 1
        self.begun.set()
        self.go_on.wait(60)
        self.credit += 1

    def balance(self) -> str:
        """Show both."""
        return f"{self.debit} {self.credit}"


def session(tools, protocol):
    return Session(Task("t", "q", lambda: tools), protocol, Limits())


def test_a_trial_forks_what_no_call_is_changing():
    books = Books()
    tools = from_object(books, timeout_s=60.0)

    async def work():
        real = asyncio.create_task(play(session(tools, Protocol.DIRECT), call("book")))
        await asyncio.to_thread(books.begun.wait, 60)
        trial = asyncio.create_task(play(session(tools, Protocol.TRIAL), call("balance")))
        await asyncio.sleep(0)
        books.go_on.set()
        await real
        [step] = await trial
        return step.observation

    assert asyncio.run(work()) == "1 1"


def test_calls_of_sessions_that_wait_for_each_other_do_not_run_out_of_time():
    """The calls together take longer than each of them may."""

    class Slow:
        def work(self) -> str:
            """Work."""
            threading.Event().wait(0.1)
            return "done"

        async def ask(self) -> str:
            """Answer at once."""
            return "answered"

    tools = from_object(Slow(), timeout_s=60.0)
    quick = replace(tools, tools=(tools["work"], replace(tools["ask"], timeout_s=0.01)))

    async def work():
        sessions = [session(quick, Protocol.DIRECT) for _ in range(2)]
        played = (play(s, call(name)) for s, name in zip(sessions, ("work", "ask"), strict=True))
        return [step.observation for [step] in await asyncio.gather(*played)]

    assert asyncio.run(work()) == ["done", "answered"]
