"""Experience from task to task: retrieved, counted, learned, checked, doubted."""

import asyncio
import threading
from dataclasses import replace

import pytest
from experience_kit import answered, call, make_lesson, make_tools, run, told

from toolmaster.experience import Experience, Retrieved
from toolmaster.limits import Budget, BudgetSettings
from toolmaster.tools.permissions import AllowAll
from toolmaster.types import Effect, ErrorKind

LESSON = "divide the result by 100"
TRIAL = (call(item="loaf"), told(f"price: {LESSON}"), call(item="bun"), answered())
KNOWN = (told("none"), call(item="bun"), answered())


@pytest.fixture
def experience(store):
    return Experience(store)


def retrieve(experience, tools=None):
    return asyncio.run(experience.retrieve(tools or make_tools()))


def learn(experience, trajectory, retrieved=None, tools=None):
    tools = tools or make_tools()
    asyncio.run(experience.learn(trajectory, tools, retrieved or Retrieved()))


def one(experience):
    [lesson] = experience.store.lessons()
    return lesson


def test_a_lesson_is_kept_with_who_when_and_what_showed_it(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL, right=True), tools=tools)
    lesson = one(experience)
    assert (lesson.tool, lesson.source, lesson.text) == ("price", "shop", LESSON)
    assert (lesson.policy, lesson.retrieved, lesson.helped) == ("someone@3", 0, 0)
    assert (lesson.arguments, lesson.observation) == ({"item": "loaf"}, "400")
    assert lesson.repeatable
    retrieved = retrieve(experience)
    assert (retrieved.text, retrieved.checks) == (f"price: {LESSON}", 0)
    assert one(experience).retrieved == 1


@pytest.mark.parametrize(
    ("turns", "right"),
    [
        (TRIAL, False),
        (KNOWN, True),
        ((told(f"price: {LESSON}"), call(item="bun"), answered()), True),
        ((call("put", item="a", to=1), told(f"price: {LESSON}"), answered()), True),
        ((call(item="loaf"), told("cost: cents"), answered()), True),
    ],
    ids=["judged wrong", "none", "copied", "another tool was tried", "no such tool"],
)
def test_what_teaches_nothing(experience, turns, right):
    tools = make_tools()
    learn(experience, run(tools, *turns, right=right), tools=tools)
    assert experience.store.lessons() == []


def test_a_rollout_without_a_verdict_teaches(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL), tools=tools)
    assert one(experience).text == LESSON


@pytest.mark.parametrize(
    ("turns", "right", "helped", "failed"),
    [
        (KNOWN, True, 4, 0),
        (KNOWN, None, 3, 0),
        (KNOWN, False, 3, 1),
        ((told("none"), call(item="what"), call(item="bun"), answered()), True, 3, 1),
        ((told("none"), answered()), False, 3, 0),
        ((call(item="what"), told("none"), answered()), True, 3, 0),
        ((told("none"), call(item="bun"), "<think>and stops"), None, 3, 0),
    ],
    ids=["right", "unjudged", "wrong", "error", "not used", "error in a trial", "broken off"],
)
def test_whether_a_lesson_helped(experience, turns, right, helped, failed):
    experience.store.learn(make_lesson(helped=3))
    retrieved = retrieve(experience)
    tools = make_tools()
    learn(experience, run(tools, *turns, right=right), retrieved, tools)
    lesson = one(experience)
    assert (lesson.helped, lesson.failed, lesson.stale) == (helped, failed, None)


@pytest.mark.parametrize(
    ("fields", "outcomes", "stale"),
    [
        ({"helped": 1}, [False, True, False], False),
        ({"helped": 1}, [False, False], True),
        ({"helped": 0}, [False], True),
        ({"helped": 5, "repeatable": False}, [False], True),
    ],
    ids=["doubted", "twice in a row", "never helped", "cannot be checked"],
)
def test_failures_make_a_lesson_stale(experience, fields, outcomes, stale):
    experience.store.learn(make_lesson(**fields))
    tools = make_tools()
    for right in outcomes:
        learn(experience, run(tools, *KNOWN, right=right), retrieve(experience), tools)
    assert one(experience).stale == ("a task failed" if stale else None)


@pytest.mark.parametrize("stop", ["budget", "max_tokens", "stopped"])
def test_a_task_that_a_limit_of_ours_ended_is_no_failure_of_a_lesson(experience, stop):
    experience.store.learn(make_lesson())
    retrieved, tools = retrieve(experience), make_tools()
    ended = run(tools, *KNOWN, right=False).model_copy(update={"stop_reason": stop})
    learn(experience, ended, retrieved, tools)
    assert (one(experience).failed, one(experience).stale) == (0, None)


@pytest.mark.parametrize(("right", "stale"), [(True, None), (False, "judged wrong")])
def test_the_user_judges_the_last_task_once(experience, right, stale):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL), tools=tools)
    experience.store.learn(make_lesson(tool="other", awaits="2001-01-01T00:00:00 an earlier task"))
    assert [lesson.tool for lesson in experience.store.judge(right)] == ["price"]
    [lesson] = experience.store.find("price")
    assert (lesson.helped, lesson.stale) == (int(right), stale)
    [other] = experience.store.judge(True)
    assert other.tool == "other"
    assert experience.store.judge(right) == []


def test_what_a_checker_judged_awaits_nothing(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL, right=True), tools=tools)
    learn(experience, run(tools, *KNOWN), retrieve(experience), tools)
    assert one(experience).awaits
    assert one(experience).helped == 0
    learn(experience, run(tools, *KNOWN, right=True), retrieve(experience), tools)
    assert (one(experience).awaits, one(experience).helped) == ("", 1)


def test_a_lesson_is_checked_at_its_first_use_in_a_run(experience):
    experience.store.learn(make_lesson())
    tools = make_tools(fork=False)
    runs = [experience, replace(experience), replace(experience, check_after_s=0)]
    checks = [[retrieve(run, tools).checks for _ in range(3)] for run in runs]
    assert checks == [[1, 0, 0], [1, 0, 0], [1, 1, 1]]
    assert tools.state["calls"] == 5
    assert one(experience).retrieved == 9


def test_what_a_run_has_learned_it_does_not_check(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL), tools=tools)
    assert retrieve(experience, tools).checks == 0
    assert retrieve(replace(experience), tools).checks == 1


def test_tasks_that_begin_together_share_one_check(experience):
    experience.store.learn(make_lesson())
    tools = make_tools(factor=10)

    async def together():
        return await asyncio.gather(*(experience.retrieve(tools) for _ in range(4)))

    found = asyncio.run(together())
    assert sum(each.checks for each in found) == 1
    assert [each.text for each in found] == [""] * 4  # none of them uses what no longer holds


def test_a_silent_change_is_found_by_the_first_task_after_it(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL), tools=tools)
    changed = make_tools(factor=10)
    found = retrieve(replace(experience), changed)
    assert (found.text, found.checks) == ("", 1)
    assert one(experience).stale == "its call now shows '40'"
    again = (call(item="loaf"), told("price: divide the result by 10"), answered())
    learn(experience, run(changed, *again), found, changed)
    assert retrieve(experience, changed).text == "price: divide the result by 10"


def test_a_failed_task_brings_the_check_forward(experience):
    experience.store.learn(make_lesson(helped=1))
    retrieved = retrieve(experience)
    tools = make_tools(factor=10)
    learn(experience, run(tools, *KNOWN, right=False), retrieved, tools)
    found = retrieve(experience, tools)
    assert (found.text, found.checks) == ("", 1)


def test_a_lesson_follows_its_tool_to_another_place_and_is_checked_there(experience):
    experience.store.learn(make_lesson())
    moved = make_tools(source="/another/path")
    assert [retrieve(experience, moved).checks for _ in range(2)] == [1, 0]
    assert one(experience).source == "/another/path"
    assert retrieve(experience, make_tools(source="elsewhere", factor=10)).text == ""


def test_a_check_runs_on_a_fork_where_there_is_one(experience):
    experience.store.learn(make_lesson())
    tools = make_tools()
    assert retrieve(experience, tools).checks == 1
    assert tools.state["calls"] == 0


def test_writes_are_never_made_again(experience):
    written = {"tool": "put", "arguments": {"item": "bun", "to": 9}, "observation": "done"}
    experience.store.learn(make_lesson({"price": make_tools()["put"]}, **written))
    tools = make_tools(fork=False)
    assert [retrieve(experience, tools).checks for _ in range(5)] == [0] * 5
    assert tools.state["prices"]["bun"] == 2
    assert tools["put"].effect is Effect.WRITE


class Refusing(AllowAll):
    asked = 0

    async def approve(self, tool, call):
        self.asked += 1
        return "no"


def test_a_check_that_is_not_permitted_costs_and_tells_nothing(store):
    store.learn(make_lesson())
    tools, approver = make_tools(fork=False), Refusing()
    experience = Experience(store, approver=approver)
    for _ in range(2):
        retrieved = retrieve(experience, tools)
        assert (retrieved.text, retrieved.checks) == (f"price: {LESSON}", 0)
    assert (tools.state["calls"], approver.asked) == (0, 1)  # nobody is asked again and again


def test_a_check_that_cannot_be_tried_costs_and_tells_nothing(store):
    store.learn(make_lesson())
    tools = make_tools()
    tools.state["opened"] = threading.Lock()  # no copy of it can be made
    budget = Budget(BudgetSettings())
    retrieved = retrieve(Experience(store, budget=budget), tools)
    assert (retrieved.text, retrieved.checks) == (f"price: {LESSON}", 0)
    assert (budget.spent().calls, store.lessons()[0].stale) == (0, None)


def test_checks_spend_the_budget_and_stop_with_it(store):
    lessons = [make_lesson(), make_lesson(text="other")]
    budget = Budget(BudgetSettings(max_calls=1))
    outcomes, _ = asyncio.run(Experience(store, budget=budget).check(lessons, make_tools()))
    assert outcomes == {lessons[0].id: None}
    assert budget.spent().calls == 1
    budget = Budget(BudgetSettings(max_tokens=1))
    budget.spend_tokens(1, 0)
    assert asyncio.run(Experience(store, budget=budget).check(lessons, make_tools())) == ({}, 0)


def test_only_what_was_shown_is_compared(store):
    cut = make_lesson(observation="40…")
    odd = make_lesson(
        text="odd",
        arguments={"item": "<x>"},
        observation="error: unknown '\u2039x\u203a'",
        error=ErrorKind.TOOL_ERROR,
    )
    experience = Experience(store)
    assert asyncio.run(experience.check([cut, odd], make_tools()))[0] == {
        cut.id: None,
        odd.id: None,
    }
    outcomes, _ = asyncio.run(experience.check([cut], make_tools(factor=9)))
    assert outcomes == {cut.id: "its call now shows '36'"}
