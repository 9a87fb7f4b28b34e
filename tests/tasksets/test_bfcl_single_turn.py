"""BFCL single-turn tasks in a session: which calls count, and that known-good calls are right."""

import asyncio
from collections import Counter

import pytest

from toolmaster.errors import InputError
from toolmaster.evaluation.evaluate import collect
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.bfcl import ACKNOWLEDGED, known_good
from toolmaster.tasksets.bfcl_package import Function
from toolmaster.tasksets.replay import Replay, missing, replays_of
from toolmaster.types import ErrorKind, ToolCall

pytest.importorskip(
    "bfcl_eval.constants.executable_backend_config",
    reason="needs `pip install --no-deps bfcl-eval mpmath`",
)

FUNCTION = {
    "name": "math.area",
    "description": "The area of a triangle.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "integer", "description": "Its base."},
            "height": {"type": "float"},
            "unit": {"type": "string"},
            "type": {"type": "dict", "properties": {"type": {"type": "any"}}},
            "points": {"type": "tuple", "items": {"type": "float"}},
        },
        "required": ["base", "height"],
    },
}
ROW = {
    "id": "parallel_3",
    "question": [[{"role": "user", "content": "Areas of 10 x 5 and 3 x 4, please."}]],
    "function": [FUNCTION],
}
FIRST = {"math.area": {"base": [10], "height": [5], "unit": ["", "cm"]}}
SECOND = {"math.area": {"base": [3], "height": [4.0, 4], "unit": ["cm", ""]}}


UNKNOWN_TYPE = {
    "name": "math.area",
    "parameters": {"properties": {"base": {"type": "matrix"}}, "required": []},
}


@pytest.fixture
def made(write, tmp_path):
    """A function: the task set of one row of a category."""

    def make(category="parallel", answers=(FIRST, SECOND), **changes):
        row = {**ROW, "id": f"{category}_3", **changes}
        (tmp_path / "possible_answer").mkdir(exist_ok=True)
        name = f"BFCL_v4_{category}.json"
        write(f"possible_answer/{name}", {"id": row["id"], "ground_truth": list(answers)})
        return taskset(f"bfcl:{write(name, row)}")

    return make


def one(base, height, **more):
    return {"name": "math_area", "arguments": {"base": base, "height": height, **more}}


def played(play, tasks, *calls, protocol=Protocol.DIRECT):
    [trajectory] = play(tasks, {tasks.ids[0]: Replay(calls=list(calls))}, protocol)
    return trajectory


def test_a_task(made):
    tasks = made()
    [task] = tasks
    assert (task.id, task.query) == ("bfcl/parallel_3", "Areas of 10 x 5 and 3 x 4, please.")
    assert task.isolation() is Isolation.FRESH
    assert task.needed == ("math_area",)
    assert task.labels == {"family": "parallel"}
    assert [call.arguments for call in task.calls[0]] == [
        {"base": 10, "height": 5},
        {"base": 3, "height": 4.0, "unit": "cm"},
    ]
    assert "acknowledged, not run" in tasks.facts["functions"]
    assert tasks.limits.max_turns == 20
    [schema] = task.make_tools().schemas()
    assert schema["function"]["name"] == "math_area"
    assert schema["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "base": {"type": "integer", "description": "Its base."},
            "height": {"type": "number"},
            "unit": {"type": "string"},
            "type": {"type": "object", "properties": {"type": {"type": "string"}}},
            "points": {"type": "array", "items": {"type": "number"}},
        },
        "required": ["base", "height"],
    }


def test_calls_are_acknowledged_and_counted(play, made):
    trajectory = played(play, made(), one(3, 4), one(10, 5))
    assert trajectory.success
    assert [step.observation for step in trajectory.calls()] == [ACKNOWLEDGED] * 2
    half = played(play, made(), one(3, 4)).score
    assert (half.value, half.success) == (0.0, False)
    assert half.reason == "calls made: 1, expected: 2"
    assert half.expected.startswith(
        '{"name": "math_area", "arguments": {"base": 10, "height": 5}};'
    )
    twice = played(play, made(), one(3, 4), one(3, 4))
    assert twice.score.parts == {"right_calls": 0.5}


def test_a_wrong_call_is_not_mended_by_a_right_one(play, made):
    assert not played(play, made(answers=[FIRST]), one(10, 6), one(10, 5)).success
    trajectory = played(play, made(answers=[FIRST]), {"name": "area", "arguments": {}}, one(10, 5))
    assert trajectory.steps[0].error is ErrorKind.UNKNOWN_TOOL
    assert not trajectory.success


def test_calls_of_the_trial_do_not_count(made):
    tasks = made(answers=[FIRST])
    turn = '<tool_call>{"name": "math_area", "arguments": {"base": 10, "height": 5}}</tool_call>'
    experience = "<experience>it shows no result</experience>"
    answer = "<answer>done</answer>"

    def run(*turns):
        policy = ScriptedPolicy(turns)
        work = collect(tasks, policy, Protocol.TRIAL, tasks.limits, None, concurrency=1)
        return asyncio.run(work)[0]

    tried = run(turn, experience, turn, answer)
    assert tried.steps[0].observation == ACKNOWLEDGED
    assert tried.success
    assert not run(turn, experience, answer).success


@pytest.mark.parametrize(
    ("category", "none", "some"),
    [
        ("irrelevance", True, False),
        ("live_irrelevance", True, False),
        ("live_relevance", False, True),
    ],
)
def test_whether_there_is_a_call_at_all(play, made, category, none, some):
    tasks = made(category)
    assert played(play, tasks).success is none
    assert played(play, tasks, one(1, 2)).success is some
    assert played(play, tasks, {"name": "unknown", "arguments": {}}).success is some
    assert tasks[0].calls == ([[]] if none else None)


def test_what_was_said_before(made):
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The area of 10 x 5?"},
    ]
    [task] = made(question=[said])
    assert task.query == "system: Be brief.\n\nuser: The area of 10 x 5?"


@pytest.mark.parametrize(
    ("answer", "arguments"),
    [
        ({"base": [1, 2], "height": [2.5]}, {"base": 1, "height": 2.5}),
        ({"base": [1], "unit": ["", "cm"]}, {"base": 1}),
        ({"base": [1], "unit": ["cm", ""]}, {"base": 1, "unit": "cm"}),
        ({"base": ["", 1]}, {"base": 1}),  # required, so never left out
        ({"base": [""]}, {"base": ""}),
        ({"base": [1], "elsewhere": ["x", ""]}, {"base": 1}),
        ({"base": [1], "unit": []}, {"base": 1}),
        ({"type": [{"a": [1, 2], "b": ["", 3], "c": ["x", ""]}]}, {"type": {"a": 1, "c": "x"}}),
        ({"points": [[{"a": [1]}, 2]]}, {"points": [{"a": 1}, 2]}),
    ],
)
def test_known_good_calls(answer, arguments):
    assert known_good(Function.model_validate(FUNCTION), answer).arguments == arguments


def test_rows_that_cannot_be_used_are_named(made):
    for changes, said in (
        ({"answers": []}, "id: there are no right calls of this id"),
        ({"answers": [{"other": {}}]}, "ground_truth: no function 'other' in the row"),
        ({"question": []}, "question"),
        ({"function": [UNKNOWN_TYPE]}, "math.area.base: unknown type 'matrix'"),
    ):
        with pytest.raises(InputError, match=said):
            made(**changes)


def test_all_known_good_calls_are_right(play):
    tasks = taskset("bfcl:single_turn")
    counts = Counter(task.labels["family"] for task in tasks)
    assert counts == {
        "simple_python": 400,
        "multiple": 200,
        "parallel": 200,
        "parallel_multiple": 200,
        "irrelevance": 240,
    }
    replays = replays_of(tasks, None)
    assert missing(tasks, replays) == []
    assert all(trajectory.success for trajectory in play(tasks, replays))
    for replay in replays.values():
        replay.calls[0] = replay.calls[0][1:] or [ToolCall(name="other", arguments={})]
    assert not any(trajectory.success for trajectory in play(tasks, replays))


def test_live_questions(play):
    tasks = taskset("bfcl:live")
    assert len(tasks) == 2251
    replays = replays_of(tasks, None)
    without = missing(tasks, replays)
    assert len(without) == 16 + 4  # relevance, and four rows whose calls break the rule
    some = dict(list(replays.items())[::10])
    assert all(trajectory.success for trajectory in play(tasks, some))
