"""`Task`: what tools are made of, how rollouts are kept apart, and what checks may return."""

import asyncio
from dataclasses import dataclass, field

import pytest

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import Isolation, Task, as_tool_set
from toolmaster.tools import Tool, ToolSet, from_function, from_object
from toolmaster.types import Effect, Score, StopReason, Trajectory, TrialMode

SCHEMA = {"type": "object", "properties": {}}


@dataclass
class Till:
    """A till that counts payments."""

    paid: list[int] = field(default_factory=list)

    def pay(self, cents: int) -> int:
        """Pay cents; returns the sum."""
        self.paid.append(cents)
        return sum(self.paid)


class Safe(Till):
    """A till of which each rollout gets a copy."""

    def snapshot(self):
        return Safe(list(self.paid))


def read_clock() -> str:
    """Read the time."""
    return "ten"


def pay_bill(cents: int) -> str:
    """Pay for real."""
    return "paid"


def rollout(task, *turns):
    policy = ScriptedPolicy(turns)
    return asyncio.run(run_rollout(RolloutRequest(task), policy, Protocol.DIRECT, Limits()))


PAY = '<tool_call>{"name": "pay", "arguments": {"cents": 5}}</tool_call>'
DONE = "<answer>done</answer>"
READS = [from_function(read_clock, effect=Effect.READ)]


@pytest.mark.parametrize(
    ("tools", "isolation"),
    [
        (Till, Isolation.FRESH),
        (lambda: [read_clock], Isolation.FRESH),
        (Till().pay, Isolation.SHARED),  # a method with a parameter is a tool, not a factory
        (Safe(), Isolation.FORKED),
        (Till(), Isolation.SHARED),
        (READS, Isolation.READ_ONLY),
        ([], Isolation.READ_ONLY),
        ([pay_bill], Isolation.SHARED),
        (pay_bill, Isolation.SHARED),
        (from_object(Till(), forkable=False), Isolation.SHARED),
        (ToolSet(tuple(READS), live=True), Isolation.SHARED),
        (ToolSet(tuple(READS), {}, dict), Isolation.FORKED),
    ],
)
def test_isolation(tools, isolation):
    assert Task("a", "q", tools).isolation() is isolation


def test_a_part_that_cannot_be_forked_makes_the_whole_shared():
    outside = Tool("send", "", SCHEMA, lambda s, a: 1, trials=TrialMode.READ_ONLY)
    inside = Tool("note", "", SCHEMA, lambda s, a: 1)
    assert Task("a", "q", ToolSet((inside, outside), {}, dict)).isolation() is Isolation.SHARED
    assert Task("a", "q", ToolSet((inside,), {}, dict)).isolation() is Isolation.FORKED


@pytest.mark.parametrize(
    "tools", [Till, lambda: Till([]), Safe()], ids=["class", "factory", "object"]
)
def test_rollouts_do_not_see_each_other(tools):
    task = Task("pay", "Pay 5 cents.", tools, check=lambda _, till: till.paid == [5])
    for _ in range(2):
        assert rollout(task, PAY, DONE).success
    assert not rollout(task, PAY, PAY, DONE).success
    if isinstance(tools, Safe):
        assert tools.paid == []


def test_shared_tools_keep_what_was_done():
    till = Till()
    task = Task("pay", "Pay.", till)
    for _ in range(2):
        rollout(task, PAY, DONE)
    assert till.paid == [5, 5]


def test_a_check_of_functions_sees_the_tool_set():
    seen = []
    task = Task("a", "q", [read_clock], check=lambda t, made: seen.append(made) or True)
    assert rollout(task, DONE).success
    assert list(seen[0].names()) == ["read_clock"]


async def later(_trajectory, till):
    await asyncio.sleep(0)
    return len(till.paid) / 2


@pytest.mark.parametrize(
    ("check", "value", "success"),
    [
        (lambda t, till: True, 1.0, True),
        (lambda t, till: False, 0.0, False),
        (lambda t, till: 1, 1.0, True),
        (lambda t, till: 0.25, 0.25, False),
        (lambda t, till: 1.0, 1.0, True),
        (later, 0.5, False),
    ],
)
def test_what_a_check_returns(check, value, success):
    score = rollout(Task("a", "q", Till, check=check), PAY, DONE).score
    assert (score.value, score.success) == (value, success)


def test_a_check_returns_a_score_as_it_is():
    made = Score.of(False, "two stools", value=0.5, stools=0.5)
    task = Task("a", "q", Till, answer="done", check=lambda t, till: made)
    assert rollout(task, DONE).score == made


NONSENSE = "a task's check returns a Score, a bool or a number from 0 to 1; it returned {!r}"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        *(
            (lambda t, till, returned=returned: returned, NONSENSE.format(returned))
            for returned in (None, "yes", 1.5, -0.1, float("nan"), [True])
        ),
        (lambda t, till: till.orders, "AttributeError: 'Till' object has no attribute 'orders'"),
    ],
)
def test_a_check_that_fails_breaks_the_rollout(check, said):
    trajectory = rollout(Task("a", "q", Till, check=check), PAY, DONE)
    assert (trajectory.stop_reason, trajectory.score) == (StopReason.SESSION_ERROR, None)
    assert trajectory.error.endswith(said)
    assert (len(trajectory.steps), trajectory.answer) == (2, "done")  # what happened is kept


def test_tools_that_cannot_be_made_break_the_rollout():
    trajectory = rollout(Task("a", "q", lambda: 1 / 0), DONE)
    assert trajectory.error == "ZeroDivisionError: division by zero"


def test_without_a_check_the_answer_decides():
    def score(answer, given):
        task = Task("a", "q", [], answer=answer)
        trajectory = Trajectory(
            task_id="a", protocol="direct", policy="p", prompt=[], tools=[], answer=given
        )
        return asyncio.run(task.score(trajectory, task.make_tools()))

    right = score({"rugs": 4}, '{"rugs": 4}')
    assert (right.value, right.success, right.parts) == (1.0, True, {"answer": 1.0})
    assert right.expected == "the answer '{\"rugs\": 4}'"
    assert score("4", "5").expected == "the answer '4'"
    assert score("4", None).success is False
    assert score(None, "anything") is None


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (None, "received None"),
        ("shop.py", "received 'shop.py'"),
        ({"pay": pay_bill}, "a task's tools are an object, a list of functions"),
        (lambda: 3, "received 3"),
        (object(), "object has no public method"),
        (lambda: Till, "Till cannot be made without arguments"),
    ],
)
def test_tools_that_are_none(tools, said):
    with pytest.raises(InputError, match=said):
        Task("a", "q", tools).make_tools()


def test_a_class_with_parameters_is_refused():
    class Shop:
        def __init__(self, seed):
            self.seed = seed

        def look(self) -> str:
            """Look."""
            return ""

    with pytest.raises(InputError, match=r"Shop cannot be made .* `lambda: Shop\(\.\.\.\)`"):
        Task("a", "q", Shop).make_tools()


@pytest.mark.parametrize(("task_id", "query", "name"), [("", "q", "id"), ("a", " ", "query")])
def test_an_id_and_a_query_are_needed(task_id, query, name):
    with pytest.raises(InputError, match=f"a task's {name} must be text that is not empty"):
        Task(task_id, query, [])


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (from_object(Till()), ["pay"]),
        ([read_clock, Tool("x", "", SCHEMA, print)], ["read_clock", "x"]),
        (READS[0], ["read_clock"]),
        (Till(), ["pay"]),
    ],
)
def test_as_tool_set(made, names):
    assert list(as_tool_set(made).names()) == names
