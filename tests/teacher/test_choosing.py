"""Agreement, duplicates, slips and the rules, on small hand-made cases."""

import asyncio
import json

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.answers import agreed, normal_form
from toolmaster.judges.json_endpoint import JsonEndpoint
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Task
from toolmaster.teacher.choosing import DUPLICATE, ENOUGH, UNSETTLED, Agreed, Choice, fingerprint
from toolmaster.teacher.filters import mark_slips, reason_against
from toolmaster.teacher.judge import Judge
from toolmaster.teacher.settings import Behaviours, DemonstrationSettings
from toolmaster.types import ErrorKind, Message, Phase, Step, ToolCall, Trajectory

TRIAL, EXECUTION = Phase.TRIAL, Phase.EXECUTION


def call(name="price", phase=TRIAL, error=None, thought="t", **arguments):
    text = f"<think>{thought}</think><tool_call>...</tool_call>"
    made = ToolCall(name=name, arguments=arguments)
    return Step(text=text, phase=phase, action="call", call=made, observation="1", error=error)


def trajectory(*steps, query="What does the rye loaf cost?", answer="4.5", **fields):
    prompt = [Message(role="system", content="s"), Message(role="user", content=query)]
    made = {"task_id": "t", "protocol": "trial", "policy": "m", "tools": [], "prompt": prompt}
    return Trajectory(**{**made, "answer": answer, "steps": list(steps), **fields})


GOOD = (call(), call(phase=EXECUTION))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1,325.50", "1325.5", True),
        ("-0", "0.0", True),
        ("+7", "7", True),
        ("1e3", "1000", False),
        ("100", "1", False),
        ("Rye  loaf.", "rye loaf", True),
        ("13.25 dollars", "13.25", False),
        ("1,32", "132", False),
        ("nan", "NaN", True),
    ],
)
def test_answers_that_are_the_same(a, b, same):
    assert (normal_form(a) == normal_form(b)) is same


def test_agreement_needs_every_answer():
    assert agreed(["4.50", "4.5", " 4.5."]) == "4.50"
    assert agreed(["4.5", "4.5", "4.6"]) is None
    assert agreed(["4.5", None, "4.5"]) is None
    assert agreed(["", ""]) is None


def test_open_tasks_are_settled_by_all_their_solutions():
    answers = {"a": ["5", "5.0"], "b": ["5", "6"], "c": ["5"]}  # c was solved once only
    solved = [
        (
            Task(name, f"{name}?", tools=[]),
            [trajectory(*GOOD, task_id=name, answer=a) for a in given],
        )
        for name, given in answers.items()
    ]
    choice = Choice(DemonstrationSettings(teacher="openai:m", rollouts=2))
    asyncio.run(choice.add(solved))
    assert choice.agreed == [Agreed(id="a", query="a?", answer="5")]
    assert [(t.task_id, t.success) for t in choice.kept] == [("a", True)]
    assert [(t.task_id, reason) for t, reason in choice.left_out] == [
        ("a", DUPLICATE),
        ("b", UNSETTLED),
        ("b", UNSETTLED),
        ("c", UNSETTLED),
    ]
    assert choice.in_vain == 2


def test_no_more_than_wanted_is_kept():
    solved = [
        (Task(n, f"{n}?", tools=[], answer="4.5"), [trajectory(*GOOD, query=n)]) for n in "abc"
    ]
    choice = Choice(DemonstrationSettings(count=2))
    asyncio.run(choice.add(solved[:1]))
    asyncio.run(choice.add(solved[1:]))
    assert [t.query for t in choice.kept] == ["a", "b"]
    assert [reason for _, reason in choice.left_out] == [ENOUGH]


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


def test_a_judge_is_not_paid_for_duplicates(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    names = ("solved", "grounded", "planning", "exploration", "validation")
    model = FakeModel(in_turn(json.dumps({"reason": "well done", **dict.fromkeys(names, True)})))
    task = Task("t", "?", tools=[], answer="4.5")
    alike = [
        trajectory(call(thought=thought), GOOD[1], rollout=n) for n, thought in enumerate("ab")
    ]
    batch = [(task, [*alike, trajectory(*GOOD, query="Another?", rollout=2)])]

    async def choose(url):
        async with JsonEndpoint("judge", "m", url, retries=0) as endpoint:
            judge = Judge(endpoint, tmp_path / "v.jsonl", Behaviours(), Protocol.TRIAL)
            choice = Choice(DemonstrationSettings(filter=False), judge)
            await choice.add(batch)
            return choice

    with model.serve() as url:
        choice = asyncio.run(choose(url))
    assert [t.rollout for t in choice.kept] == [0, 2]
    assert [(t.rollout, reason) for t, reason in choice.left_out] == [(1, DUPLICATE)]
    assert len(model.asked) == 2


def test_slips_are_what_nobody_should_learn_to_write():
    steps = [
        call(error=ErrorKind.TOOL_ERROR),
        call(error=ErrorKind.UNKNOWN_TOOL),
        Step(text="?", phase=TRIAL, action="invalid", error=ErrorKind.NO_ACTION),
        call(phase=EXECUTION, error=ErrorKind.INVALID_ARGUMENTS),
        call(phase=EXECUTION),
    ]
    made = trajectory(*steps)
    mark_slips(made)
    assert [step.slip for step in made.steps] == [False, True, True, True, False]
    made = trajectory(*(step.model_copy(update={"slip": False}) for step in steps))
    made.protocol = "paper"  # its trials cannot be told from its execution
    mark_slips(made)
    assert [step.slip for step in made.steps] == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (trajectory(*GOOD), None),
        (trajectory(*GOOD, answer=" "), "no answer: max_turns"),
        (trajectory(*GOOD, answer=None), "no answer: max_turns"),
        (
            trajectory(*GOOD, score={"value": 0, "success": False}),
            "wrong answer or end state",
        ),
        (trajectory(call(), Step(text="x", phase=EXECUTION, action="answer")), "no planning"),
        (trajectory(call(), call("cost", EXECUTION)), "no exploration"),
        (trajectory(*GOOD, call(phase=EXECUTION, error=ErrorKind.TIMEOUT)), "no validation"),
        (trajectory(call(), call(phase=EXECUTION, error=ErrorKind.TIMEOUT), GOOD[1]), None),
    ],
)
def test_the_rules(made, reason):
    made.stop_reason = "max_turns"
    mark_slips(made)
    found = reason_against(made, Behaviours(), rules=True)
    assert found is reason is None or found.startswith(reason)
    if reason is not None and reason.startswith("no ") and "answer" not in reason:
        assert reason_against(made, Behaviours(), rules=False) is None


def test_without_self_correction_no_error_is_shown():
    made = trajectory(call(error=ErrorKind.TOOL_ERROR), *GOOD)
    assert reason_against(made, Behaviours(), rules=True) is None
    plain = Behaviours(self_correction=False)
    assert reason_against(made, plain, rules=True) == "an error, where none is to be shown"
