"""Selection: agreement, duplicates, what is wanted, and the judge; on small hand-made cases."""

import asyncio
import json

from fake_endpoint import FakeModel, in_turn

from toolmaster.judges.json_endpoint import JsonEndpoint
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Task
from toolmaster.teacher.judge import DemonstrationJudge
from toolmaster.teacher.selection import (
    DUPLICATE,
    ENOUGH,
    UNSETTLED,
    Agreed,
    LeftOut,
    Selection,
    fingerprint,
)
from toolmaster.teacher.settings import Behaviours, DemonstrationSettings
from toolmaster.types import Message, Phase, Step, ToolCall, Trajectory

TRIAL, EXECUTION = Phase.TRIAL, Phase.EXECUTION


def call(name="price", phase=TRIAL, thought="t", **arguments):
    text = f"<think>{thought}</think><tool_call>...</tool_call>"
    made = ToolCall(name=name, arguments=arguments)
    return Step(text=text, phase=phase, action="call", call=made, observation="1")


def trajectory(*steps, query="What does the rye loaf cost?", answer="4.5", **fields):
    prompt = [Message(role="system", content="s"), Message(role="user", content=query)]
    made = {"task_id": "t", "protocol": "trial", "policy": "m", "tools": [], "prompt": prompt}
    return Trajectory(**{**made, "answer": answer, "steps": list(steps), **fields})


GOOD = (call(), call(phase=EXECUTION))


def test_open_tasks_are_settled_by_all_their_solutions():
    answers = {"a": ["5", "5.0"], "b": ["5", "6"], "c": ["5"]}  # c was solved once only
    solved = [
        (
            Task(name, f"{name}?", tools=[]),
            [trajectory(*GOOD, task_id=name, answer=a) for a in given],
        )
        for name, given in answers.items()
    ]
    selection = Selection(DemonstrationSettings(teacher="openai:m", rollouts=2))
    asyncio.run(selection.add(solved))
    assert selection.agreed == [Agreed(id="a", query="a?", answer="5")]
    assert [(t.task_id, t.success) for t in selection.kept] == [("a", True)]
    assert [(left.task_id, left.reason) for left in selection.left_out] == [
        ("a", DUPLICATE),
        ("b", UNSETTLED),
        ("b", UNSETTLED),
        ("c", UNSETTLED),
    ]
    assert selection.failures == 2


def test_no_more_than_wanted_is_kept():
    solved = [
        (Task(n, f"{n}?", tools=[], answer="4.5"), [trajectory(*GOOD, query=n)]) for n in "abc"
    ]
    selection = Selection(DemonstrationSettings(count=2))
    asyncio.run(selection.add(solved[:1]))
    asyncio.run(selection.add(solved[1:]))
    assert [t.query for t in selection.kept] == ["a", "b"]
    assert [left.reason for left in selection.left_out] == [ENOUGH]


def test_duplicates():
    one = trajectory(call(item="Rye Loaf", count=2))
    same = trajectory(
        call(item="rye loaf.", count=2.0, thought="Other words."),
        query="what does the RYE loaf cost",
        answer="4.50",
    )
    assert fingerprint(one) == fingerprint(same)
    others = [
        trajectory(call(item="Rye Loaf", count=3)),
        trajectory(call(item="Rye Loaf", count=2), call(item="Rye Loaf", count=2)),
        trajectory(call("cost", item="Rye Loaf", count=2)),
        trajectory(call(item="Rye Loaf", count=2, phase=EXECUTION)),
        trajectory(call(item="Rye Loaf", count=2), answer="5"),
        trajectory(call(item="Rye Loaf", count=2), query="What does a rye loaf cost?"),
    ]
    assert len({fingerprint(t) for t in [one, *others]}) == 7


def test_a_judge_is_not_paid_for_duplicates(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    names = ("solved", "grounded", "planning", "exploration", "validation")
    model = FakeModel(in_turn(json.dumps({"reason": "well done", **dict.fromkeys(names, True)})))
    task = Task("t", "?", tools=[], answer="4.5")
    alike = [
        trajectory(call(thought=thought), GOOD[1], rollout=n) for n, thought in enumerate("ab")
    ]
    batch = [(task, [*alike, trajectory(*GOOD, query="Another?", rollout=2)])]

    async def choose(url):
        async with JsonEndpoint("judge", "openai:m", url, retries=0) as endpoint:
            judge = DemonstrationJudge(endpoint, Behaviours(), Protocol.TRIAL)
            selection = Selection(DemonstrationSettings(filter=False), judge)
            await selection.add(batch)
            return selection

    with model.serve() as url:
        selection = asyncio.run(choose(url))
    assert [t.rollout for t in selection.kept] == [0, 2]
    assert selection.left_out == [LeftOut(task_id="t", rollout=1, reason=DUPLICATE)]
    assert len(model.asked) == 2
