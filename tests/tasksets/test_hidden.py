from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import nullcontext
from typing import Literal

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import FollowUp, Isolation, Task, Taskset, taskset
from toolmaster.tasksets.hidden import hide
from toolmaster.tasksets.replay import call_turn, own_replay, turns
from toolmaster.tasksets.taskset import SharedResource
from toolmaster.teacher.demonstrations import demonstrate
from toolmaster.tools import ToolSet, from_function
from toolmaster.types import Effect, Phase, ToolCall


def price(item: str, currency: str = "EUR", *, vat: bool = True) -> str:
    """Price of an item."""
    return f"{item} {currency} {vat}"


PRICE = from_function(price, effect=Effect.READ)
CALL = ToolCall(name="price", arguments={"item": "cup"})


def price_tasks(count=30, **changes):
    given = {"tools": [PRICE], "answer": "cup EUR True", "calls": [[CALL]], **changes}
    return Taskset("mine", [Task(f"cup/{i}", "What is a cup?", **given) for i in range(count)])


def play(task, *written):
    policy = ScriptedPolicy(written)
    return asyncio.run(run_rollout(RolloutRequest(task), policy, Protocol.DIRECT, Limits()))


def replayed(task):
    return play(task, *turns(own_replay(task), Protocol.DIRECT))


def test_a_family_is_hidden_in_every_task_that_fits():
    hidden = hide(price_tasks(), "silent")
    assert {task.labels["family"] for task in hidden} == {"silent"}
    assert len({task.labels["behaviour"] for task in hidden}) > 1
    assert hidden.label == "mine hidden=silent (1)"


def test_the_same_task_hides_the_same_every_time():
    first, second = (hide(price_tasks(), "all") for _ in range(2))
    assert [task.labels for task in first] == [task.labels for task in second]


def test_the_documented_call_does_something_else_now():
    for task in hide(price_tasks(), "silent"):
        naive = play(task, call_turn(CALL), "<answer>x</answer>")
        assert naive.steps[0].observation != "cup EUR True"


@pytest.mark.parametrize("family", ["loud", "silent", "fault"])
def test_known_good_calls_are_those_of_one_who_knows(family):
    for task in hide(price_tasks(), family):
        done = replayed(task)
        assert done.calls()[-1].observation == "cup EUR True", task.labels


def test_plain_among_the_families_leaves_some_tasks_as_they_are():
    hidden = hide(price_tasks(60), "plain,silent")
    assert {task.labels["family"] for task in hidden} == {"plain", "silent"}


def test_a_check_sees_calls_as_the_tool_took_them():
    seen = []

    def check(trajectory, made):
        seen.append([step.call for step in trajectory.calls(Phase.EXECUTION)])
        return seen[-1] == [CALL]

    for task in hide(price_tasks(answer=None, check=check), "loud,fault"):
        refused = [CALL] if task.labels["family"] == "loud" else []
        done = play(task, *map(call_turn, [*refused, *task.calls[0]]), "<answer>done</answer>")
        assert done.steps[0].error is not None
        assert done.success, (task.labels, seen[-1])


def test_a_call_that_breaks_the_schema_is_seen_as_it_was():
    def check(trajectory, made):
        return len(trajectory.calls()) == 1

    [task] = hide(price_tasks(1, check=check), "silent")
    bad = call_turn(ToolCall(name="price", arguments={"item": 5}))
    assert play(task, bad, "<answer>done</answer>").success


def test_a_tool_that_comes_later_hides_it_too():
    start = ToolSet((PRICE,))

    def nothing(text: str) -> str:
        """Say it."""
        return text

    other = ToolSet((from_function(nothing, effect=Effect.READ),))
    for arrive in (lambda tools: tools, lambda _: start):
        later = FollowUp("And now?", arrive)
        tasks = price_tasks(1, follow_ups=(later,), calls=[[CALL], []], tools=start)
        [task] = hide(tasks, "silent")
        laid = task.make_tools()
        arrived = task.follow_ups[0].arrive(laid)
        assert arrived["price"].execute(None, {"item": "cup"}) != "cup EUR True"
    [task] = hide(
        price_tasks(1, follow_ups=(FollowUp("So?", lambda _: other),), calls=None), "loud"
    )
    assert list(task.follow_ups[0].arrive(task.make_tools()).names()) == ["nothing"]


def test_isolation_stays():
    [task] = hide(price_tasks(1), "silent")
    assert task.isolation() is Isolation.READ_ONLY


def test_a_task_whose_tools_fit_nothing_stays_plain():
    def hello() -> str:
        """Say hello."""
        return "hello"

    task = Task("hello", "Say hello.", tools=[hello], answer="hello")
    hidden = hide(Taskset("mine", [*price_tasks(1), task]), "silent")
    assert hidden["hello"].labels["family"] == "plain"
    assert hidden["hello"].make_tools()["hello"].execute(None, {}) == "hello"
    with pytest.raises(InputError, match="in the first 1 tasks no tool can have such a behaviour"):
        hide(Taskset("mine", [task]), "silent")


@pytest.mark.parametrize(
    ("families", "said"),
    [
        ("silnt", r"no family 'silnt' .did you mean 'silent'"),
        ("plain", "hidden=plain hides nothing"),
    ],
)
def test_families_that_cannot_be_hidden(families, said):
    with pytest.raises(ConfigError, match=said):
        hide(price_tasks(), families)


@pytest.mark.parametrize("families", ["all,silent", "silent,all"])
def test_all_families_among_others(families):
    assert [t.labels for t in hide(price_tasks(), families)] == [
        t.labels for t in hide(price_tasks(), "all")
    ]


def test_one_task_that_stays_plain_by_chance_is_no_error():
    assert {hide(price_tasks(1), "plain,loud").label} == {"mine hidden=plain,loud (1)"}


def test_a_choice_that_no_call_makes_is_not_hidden():
    def order(item: str, size: Literal["small", "large"] = "small") -> str:
        """Order an item."""
        return f"{item} {size}"

    tool = from_function(order, effect=Effect.WRITE)
    call = ToolCall(name="order", arguments={"item": "cup"})
    tasks = price_tasks(60, tools=[tool], calls=[[call]], answer=None)
    assert "codes for words" not in {task.labels["behaviour"] for task in hide(tasks, "loud")}


def test_a_call_that_is_not_as_documented_gets_no_behaviour():
    def book(day: dt.date) -> str:
        """Book a day."""
        return str(day)

    call = ToolCall(name="book", arguments={"day": "May 1"})
    [task] = hide(price_tasks(1, tools=[book], calls=[[call]]), "plain,loud")
    assert task.labels["behaviour"] != "other format"


def test_a_live_source_cannot_hide_anything():
    resource = SharedResource(nullcontext)

    def tools():
        return resource.current

    tasks = Taskset("live", [Task("a", "What?", tools=tools)], resources=resource.open)
    with pytest.raises(ConfigError, match="live hidden=loud: its tools come from a live source"):
        hide(tasks, "loud")


def test_known_good_calls_are_no_demonstrations(tmp_path):
    with pytest.raises(ConfigError, match="show what only a trial can find out"):
        demonstrate(hide(price_tasks(), "loud"), count=1, output_dir=tmp_path)


def test_the_world_hides_its_own():
    with pytest.raises(ConfigError, match="world:short hides behaviours of its own"):
        taskset("world:short hidden=silent")


def test_named_in_one_line():
    pytest.importorskip("bfcl_eval")
    hidden = taskset("bfcl:simple_python tasks=20 hidden=loud")
    assert hidden.label.startswith("bfcl:simple_python hidden=loud")
    assert {task.labels["family"] for task in hidden} == {"loud"}
    for task in hidden:
        if task.calls:
            assert replayed(task).success, task.labels
