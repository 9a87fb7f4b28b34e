"""Experience from task to task: handed, judged, learned, checked, doubted."""

import asyncio
import threading

import pytest
from experience_kit import answered, call, make_card, make_tools, run, told

from toolmaster.experience import Experience, Handing
from toolmaster.experience.checks import check
from toolmaster.types import Effect, ErrorKind

LESSON = "divide the result by 100"
TRIAL = (call(item="loaf"), told(f"price: {LESSON}"), call(item="bun"), answered())
KNOWN = (told("none"), call(item="bun"), answered())


@pytest.fixture
def experience(store):
    return Experience(store, check_every=2)


def hand(experience, tools=None):
    return asyncio.run(experience.hand(tools or make_tools()))


def learn(experience, trajectory, handed=None, tools=None):
    asyncio.run(experience.learn(trajectory, tools or make_tools(), handed or Handing()))


def one(experience):
    [card] = experience.store.cards()
    return card


def test_a_lesson_is_kept_with_who_when_and_what_showed_it(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL, right=True), tools=tools)
    card = one(experience)
    assert (card.tool, card.source, card.lesson) == ("price", "shop", LESSON)
    assert (card.policy, card.learned, card.handed, card.helped) == ("someone@3", 1, 0, 0)
    [seen] = card.evidence
    assert (seen.arguments, seen.observation, seen.repeatable) == ({"item": "loaf"}, "400", True)
    handed = hand(experience)
    assert (handed.text, handed.checks) == (f"price: {LESSON}", 0)
    assert one(experience).handed == 1


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
    assert experience.store.cards() == []


def test_a_rollout_without_a_verdict_teaches(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL), tools=tools)
    assert one(experience).lesson == LESSON


@pytest.mark.parametrize(
    ("turns", "right", "helped", "failed"),
    [
        (KNOWN, True, 4, 0),
        (KNOWN, None, 4, 0),
        (KNOWN, False, 3, 1),
        ((told("none"), call(item="what"), call(item="bun"), answered()), True, 3, 1),
        ((told("none"), answered()), False, 3, 0),
        ((call(item="what"), told("none"), answered()), True, 3, 0),
        ((told("none"), call(item="bun"), "<think>and stops"), None, 3, 0),
    ],
    ids=["right", "unjudged", "wrong", "error", "not used", "error in a trial", "broken off"],
)
def test_whether_a_card_helped(experience, turns, right, helped, failed):
    experience.store.add(make_card(helped=3))
    handed = hand(experience)
    tools = make_tools()
    learn(experience, run(tools, *turns, right=right), handed, tools)
    card = one(experience)
    assert (card.helped, card.failed, card.stale) == (helped, failed, None)


def test_a_card_is_checked_every_nth_time_it_is_handed(experience):
    experience.store.put(make_card())
    tools = make_tools(fork=False)
    checks = [hand(experience, tools).checks for _ in range(7)]
    assert checks == [0, 0, 1, 0, 1, 0, 1]
    assert tools.state["calls"] == 3
    assert one(experience).handed == 7


def test_a_silent_change_is_found_and_the_tool_is_tried_again(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL), tools=tools)
    changed = make_tools(factor=10)
    handings = [hand(experience, changed) for _ in range(3)]
    assert [h.text for h in handings] == [f"price: {LESSON}"] * 2 + [""]
    assert (handings[2].checks, [c.lesson for c in handings[2].changed]) == (1, [LESSON])
    assert one(experience).stale == "its call now shows '40'"
    again = (call(item="loaf"), told("price: divide the result by 10"), answered())
    learn(experience, run(changed, *again), handings[2], changed)
    assert hand(experience, changed).text == "price: divide the result by 10"


def test_a_failed_task_brings_the_check_forward(experience):
    experience.store.add(make_card(helped=1))
    handed = hand(experience)
    tools = make_tools(factor=10)
    learn(experience, run(tools, *KNOWN, right=False), handed, tools)
    found = hand(experience, tools)
    assert (found.text, found.checks) == ("", 1)


def test_a_check_runs_on_a_fork_where_there_is_one(experience):
    experience.store.put(make_card(unchecked=2))
    tools = make_tools()
    assert hand(experience, tools).checks == 1
    assert tools.state["calls"] == 0


def test_writes_are_never_made_again(experience):
    written = {"name": "put", "arguments": {"item": "bun", "to": 9}, "observation": "done"}
    evidence = [written | {"repeatable": True}]
    experience.store.put(make_card({"price": make_tools()["put"]}, tool="put", evidence=evidence))
    tools = make_tools(fork=False)
    assert [hand(experience, tools).checks for _ in range(5)] == [0] * 5
    assert tools.state["prices"]["bun"] == 2
    assert tools["put"].effect is Effect.WRITE


class Refusing:
    async def permit(self, tool, call):
        return "no"


class Spent:
    spent = 0

    def __init__(self, calls):
        self.calls = calls

    def spend_call(self):
        self.spent += 1

    def exhausted(self):
        return "calls" if self.spent >= self.calls else None

    def start(self):
        pass

    def spend_tokens(self, read, written):
        pass

    def seconds_left(self):
        return None

    def left(self):
        return ""


def test_a_check_that_is_not_permitted_costs_and_tells_nothing(store):
    store.put(make_card(unchecked=9))
    tools = make_tools(fork=False)
    handed = hand(Experience(store, guard=Refusing()), tools)
    assert (handed.text, handed.checks) == (f"price: {LESSON}", 0)
    assert (tools.state["calls"], store.cards()[0].unchecked) == (0, 10)


def test_a_check_that_cannot_be_tried_costs_and_tells_nothing(store):
    store.put(make_card(unchecked=9))
    tools = make_tools()
    tools.state["opened"] = threading.Lock()  # no copy of it can be made
    budget = Spent(9)
    handed = hand(Experience(store, budget=budget), tools)
    assert (handed.text, handed.checks, handed.changed) == (f"price: {LESSON}", 0, ())
    assert (budget.spent, store.cards()[0].stale) == (0, None)


@pytest.mark.parametrize(("calls", "checks"), [(0, 0), (1, 1), (9, 2)])
def test_checks_spend_the_budget_and_stop_with_it(store, calls, checks):
    tools = make_tools()
    cards = [make_card(unchecked=9), make_card(unchecked=9, lesson="other")]
    budget = Spent(calls)
    for card in cards:
        store.put(card)
    if calls:
        found = asyncio.run(check(cards, tools, budget=budget))
        assert (found.calls, len(found.holding)) == (checks, checks)
    else:
        assert hand(Experience(store, budget=budget), tools).checks == 0
    assert budget.spent == checks


def test_only_what_was_shown_is_compared(store):
    cut = make_card().evidence[0].model_copy(update={"observation": "40…"})
    error = cut.model_copy(update={"arguments": {"item": "<x>"}, "error": ErrorKind.TOOL_ERROR})
    odd = error.model_copy(update={"observation": "error: unknown '\u2039x\u203a'"})
    cards = [make_card(evidence=[e.model_dump()]) for e in (cut, odd)]
    found = asyncio.run(check(cards, make_tools()))
    assert found.holding == tuple(cards)
    gone = asyncio.run(check(cards[:1], make_tools(factor=9)))
    assert [seen for _, seen in gone.changed] == ["36"]


def test_a_renamed_source_is_another_tool(experience):
    tools = make_tools()
    learn(experience, run(tools, *TRIAL), tools=tools)
    assert hand(experience, make_tools(source="store")).text == ""
    assert hand(experience, make_tools()).text != ""
    assert one(experience).stale is None
