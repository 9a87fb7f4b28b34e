"""ToolHop: its format, its metric, and known calls through our own sessions."""

import json
from collections import Counter

import pytest
from made_rows import HOME, HOME_SCHEMA, YEAR_SCHEMA, toolhop_row

from toolmaster.benchmarks.replay import Replay
from toolmaster.types import ErrorKind

ADA = {"name": "home_town", "arguments": {"person": "Ada Lane"}}
ASHBY = {"name": "founding_year", "arguments": {"town": "Ashby"}}


def replay(*calls, answer="1640"):
    return {"toolhop/1": Replay(calls=calls, answer=answer)}


@pytest.fixture
def values(play, write):
    """A function: what is measured when these calls are replayed on one row."""

    def run(*calls, answer="1640", **changes):
        path = write("toolhop.json", [toolhop_row(**changes)])
        [(_, trajectory, measured)] = play("toolhop", path, replay(*calls, answer=answer))
        return trajectory, measured

    return run


def test_known_calls_succeed(values):
    trajectory, measured = values(ADA, ASHBY)
    assert [step.observation for step in trajectory.calls()] == [
        "Ashby",
        '{"town": "Ashby", "year": 1640}',
    ]
    assert trajectory.success
    assert trajectory.labels == {"split": "unseen", "family": "2 tools"}
    assert measured == {
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
        ([ADA, ASHBY | {"arguments": {"town": "Brill"}}], "1640", (1, 1, 0.5, 0)),
        ([ADA, ASHBY | {"name": "founding"}], "1640", (1, 1, 0.5, 0)),
        ([ADA | {"arguments": {"person": "nobody"}}, ASHBY], "1640", (1, 1, 0.5, 0)),
    ],
)
def test_corrupted_calls_fail(values, calls, answer, expected):
    _, measured = values(*calls, answer=answer)
    assert tuple(measured.values()) == expected


def test_what_the_source_raises_is_an_observation(values):
    trajectory, _ = values(ADA | {"arguments": {"person": "nobody"}})
    [step] = trajectory.calls()
    assert step.error is ErrorKind.TOOL_ERROR
    assert "nobody has no home" in step.observation


def test_the_function_judges_its_arguments_not_the_schema(values):
    trajectory, _ = values(ADA, ASHBY | {"arguments": {"town": "Ashby", "unit": "AD"}})
    assert trajectory.calls()[1].observation == '{"town": "Ashby", "AD": 1640}'


def test_two_tools_of_one_name(play, write):
    other = {"type": "object", "properties": {"village": {"type": "string"}}}
    twin = "def home_town(village):\n    return f'{village} is a village'\n"
    row = toolhop_row(
        sub_task={"a": "Ashby", "b": "Brill"},
        tools={"a": HOME_SCHEMA, "b": HOME_SCHEMA | {"parameters": other}},
        functions=[twin, HOME],
    )
    second = {"name": "home_town_2", "arguments": {"village": "Brill"}}
    path = write("toolhop.json", [row])
    [(case, trajectory, measured)] = play("toolhop", path, replay(ADA, second))
    assert case.needed == ("home_town", "home_town_2")
    assert [step.observation for step in trajectory.calls()] == ["Ashby", "Brill is a village"]
    assert measured["strict"] == 1.0


def test_rows_that_cannot_be_loaded_are_named(load, write):
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
    suite = load("toolhop", write("toolhop.json", rows))
    assert [case.task.id for case in suite.cases] == ["toolhop/1"]
    found = [(item.row, item.field, item.reason) for item in suite.left_out]
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


def test_functions_by_name(play, write):
    row = toolhop_row(functions={"home_town": HOME, "founding_year": YEAR_SOURCE})
    path = write("toolhop.json", [row])
    [(_, trajectory, _)] = play("toolhop", path, replay(ADA, ASHBY))
    assert all(step.error is None for step in trajectory.calls())


YEAR_SOURCE = "def founding_year(town):\n    return 1640\n"


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
    right = play("toolhop", path, replays)
    assert [measured["strict"] for _, _, measured in right] == [1.0] * 14
    for known in replays.values():
        known.calls.pop()
    dropped = play("toolhop", path, replays)
    assert [measured["strict"] for _, _, measured in dropped] == [0.0] * 14


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


def test_the_query_has_the_question_and_the_tools_are_documented(load, write):
    suite = load("toolhop", write("toolhop.json", [toolhop_row()]))
    [case] = suite.cases
    assert case.task.query.startswith("When was the home town of Ada Lane founded?\n")
    shown = [tool["function"] for tool in case.task.make_tools().schemas()]
    assert shown == [YEAR_SCHEMA, HOME_SCHEMA]
    assert suite.facts["isolation"] in {"process", "confined", "namespaced"}
