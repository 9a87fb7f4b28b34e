"""ToolHop: its format, its metric, and known calls through our own sessions."""

import asyncio
import json
from collections import Counter

import pytest
from made_rows import HOME, HOME_SCHEMA, YEAR_SCHEMA, toolhop_row

from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import taskset
from toolmaster.tasksets.replay import Replay, replay_policy
from toolmaster.types import ErrorKind, StopReason

ADA = ("home_town", {"person": "Ada Lane"})
ASHBY = ("founding_year", {"town": "Ashby"})
NOBODY = ("home_town", {"person": "nobody"})


@pytest.fixture
def played(play, replay, write):
    """A function: the trajectory of these calls replayed on one row."""

    def run(*calls, answer="1640", **changes):
        tasks = taskset(f"toolhop:{write('toolhop.json', [toolhop_row(**changes)])}")
        [trajectory] = play(tasks, {"toolhop/1": replay(*calls, answer=answer)})
        return trajectory

    return run


def test_known_calls_succeed(played):
    trajectory = played(ADA, ASHBY)
    assert [step.observation for step in trajectory.calls()] == [
        "Ashby",
        '{"town": "Ashby", "year": 1640}',
    ]
    assert trajectory.labels == {"family": "2 tools"}
    assert (trajectory.score.success, trajectory.score.value) == (True, 1.0)
    assert trajectory.score.expected == "an answer that contains '1640'"
    assert trajectory.score.parts == {
        "answer_contains": 1.0,
        "answer_exact": 1.0,
        "steps_solved": 1.0,
        "strict": 1.0,
    }


@pytest.mark.parametrize(
    ("calls", "answer", "expected"),
    [
        ([ASHBY], "1640", (1, 1, 0.5, 0)),  # a call was left out
        ([ADA, ASHBY], "1641", (0, 0, 1, 0)),
        ([ADA, ASHBY], "the year 1640", (1, 0, 1, 0)),
        ([ADA, ASHBY], "1,640.0", (1, 1, 1, 1)),
        ([ADA, ASHBY], "1_640", (0, 0, 1, 0)),
        ([ADA, ASHBY], "16,40", (1, 0, 1, 0)),  # the original's rule forgets commas
        ([ADA, ("founding_year", {"town": "Brill"})], "1640", (1, 1, 0.5, 0)),
        ([ADA, ("founding", {"town": "Ashby"})], "1640", (1, 1, 0.5, 0)),
        ([NOBODY, ASHBY], "1640", (1, 1, 0.5, 0)),
    ],
)
def test_corrupted_calls_and_answers(played, calls, answer, expected):
    score = played(*calls, answer=answer).score
    assert tuple(score.parts.values()) == expected
    assert (score.success, score.value) == (bool(expected[0]), expected[0])


def test_what_the_source_raises_is_an_observation(played):
    [step] = played(NOBODY).calls()
    assert step.error is ErrorKind.TOOL_ERROR
    assert "nobody has no home" in step.observation


def test_the_function_judges_its_arguments_not_the_schema(played):
    trajectory = played(ADA, ("founding_year", {"town": "Ashby", "unit": "AD"}))
    assert trajectory.calls()[1].observation == '{"town": "Ashby", "AD": 1640}'


def test_two_tools_of_one_name(played):
    other = {"type": "object", "properties": {"village": {"type": "string"}}}
    twin = "def home_town(village):\n    return f'{village} is a village'\n"
    changes = {
        "sub_task": {"a": "Ashby", "b": "Brill"},
        "tools": {"a": HOME_SCHEMA, "b": HOME_SCHEMA | {"parameters": other}},
        "functions": [twin, HOME],
    }
    trajectory = played(ADA, ("home_town_2", {"village": "Brill"}), **changes)
    assert [step.observation for step in trajectory.calls()] == ["Ashby", "Brill is a village"]
    assert trajectory.score.parts["strict"] == 1.0


def test_functions_by_name(played):
    by_name = {"home_town": HOME, "founding_year": "def founding_year(town):\n    return 1640\n"}
    assert all(step.error is None for step in played(ADA, ASHBY, functions=by_name).calls())


def test_rows_that_cannot_be_used_are_named(write):
    rows = [
        toolhop_row(1),
        toolhop_row(2, functions=[HOME]),
        toolhop_row(3, functions=[HOME, "def founding_year(:"]),
        toolhop_row(4, sub_task={}),
        toolhop_row(5, answer=""),
        toolhop_row(6, tools={"q": {"description": "no name"}}),
        {"id": 7},
        toolhop_row(1),
    ]
    tasks = taskset(f"toolhop:{write('toolhop.json', rows)}")
    assert tasks.ids == ("toolhop/1",)
    found = [(item.row, item.field, item.reason) for item in tasks.left_out]
    when = "When was Ashby founded?"
    assert found[0] == (1, f"tools.{when}", "no function is called 'founding_year'")
    assert found[1][:2] == (2, "functions.1")
    assert "not Python" in found[1][2]
    assert found[2][0] == 3
    assert found[2][2] == "no such question in sub_task"
    assert [item[:2] for item in found[3:6]] == [
        (4, "answer"),
        (5, "tools.q.name"),
        (6, "question"),
    ]
    assert found[6] == (7, "id", "an earlier row has the same (toolhop/1)")


def test_the_query_has_the_question_and_the_tools_are_documented(write):
    [task] = taskset(f"toolhop:{write('toolhop.json', [toolhop_row()])}")
    assert task.query.startswith("When was the home town of Ada Lane founded?\n")
    shown = [tool["function"] for tool in task.make_tools().schemas()]
    assert shown == [YEAR_SCHEMA, HOME_SCHEMA]
    assert (task.answer, task.needed) == ("1640", ("founding_year", "home_town"))


def test_a_set_that_is_not_open_breaks_the_rollout_not_the_model(replay, write):
    [task] = taskset(f"toolhop:{write('toolhop.json', [toolhop_row()])}")
    request = RolloutRequest(task, policy=replay_policy(replay(ADA), Protocol.DIRECT))
    work = run_rollout(request, ScriptedPolicy(()), Protocol.DIRECT, Limits())
    trajectory = asyncio.run(work)
    assert trajectory.stop_reason is StopReason.POLICY_ERROR
    assert "run its tasks inside `tasks.open()`" in trajectory.error
    assert trajectory.score is None


def test_derived_calls(play, shared):
    """Calls that a search found to work, on rows of the original file."""
    path = shared("toolhop/ToolHop_sample.json")
    derived = json.loads(shared("toolhop/derived_calls.json").read_text())
    rows = {row["id"]: row for row in json.loads(path.read_text())}
    replays = {
        f"toolhop/{item['id']}": derived_replay(item, rows[item["id"]])
        for item in derived
        if item["all"]
    }
    assert len(replays) == 14
    tasks = taskset(f"toolhop:{path}")
    right = play(tasks, replays)
    assert [trajectory.score.parts["strict"] for trajectory in right] == [1.0] * 14
    for known in replays.values():
        known.calls.pop()
    dropped = play(tasks, replays)
    assert [trajectory.score.parts["strict"] for trajectory in dropped] == [0.0] * 14


def derived_replay(item, row):
    """The tools are called as the session names them: a second one of a name is NAME_2."""
    used = Counter()
    names = {}
    for question, tool in row["tools"].items():
        used[tool["name"]] += 1
        number = used[tool["name"]]
        names[question] = tool["name"] if number == 1 else f"{tool['name']}_{number}"
    calls = [{"name": names[q], "arguments": c["args"]} for q, c in item["trace"].items()]
    return Replay(calls=calls, answer=row["answer"])
