"""FTRL: its format, Solve-P/R/F1 by hand, and known calls through our own sessions."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from made_rows import HOME, HOME_SCHEMA, ftrl_row

from toolmaster.errors import ConfigError
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.replay import Replay

ADA = ("home_town", {"person": "Ada Lane"})
ASHBY = ("founding_year", {"town": "Ashby"})
NOBODY = ("home_town", {"person": "nobody"})
PARTS = ("solve_p", "solve_r", "solve_f1", "answer_contains", "strict")


@pytest.fixture
def scored(play, replay, write):
    """A function: the score of these calls replayed on one row."""

    def run(*calls, answer="1640", **changes):
        tasks = taskset(f"ftrl:{write('ftrl.jsonl', ftrl_row(**changes))}")
        [trajectory] = play(tasks, {"ftrl/0": replay(*calls, answer=answer)})
        return trajectory.score

    return run


@pytest.fixture
def values(scored):
    """A function: the parts of that score, in the order of `PARTS`."""

    def run(*calls, **changes):
        parts = scored(*calls, **changes).parts
        assert tuple(parts) == PARTS
        return tuple(round(part, 3) for part in parts.values())

    return run


@pytest.mark.parametrize(
    ("calls", "answer", "expected"),
    [
        # Solve-P, Solve-R, Solve-F1, answer contained, strict
        ([ADA, ASHBY], "1640", (1, 1, 1, 1, 1)),
        ([ADA], "1640", (1, 0.5, 0.667, 1, 0)),
        ([ADA, ADA, ASHBY], "1640", (0.667, 1, 0.8, 1, 1)),  # a repeated call solves nothing more
        ([], "1640", (1, 0, 0, 1, 0)),  # the original's rule: precision is 1 without calls
        ([ADA, ASHBY], "about 1640", (1, 1, 1, 1, 0)),
        ([ADA, ASHBY], "1702", (1, 1, 1, 0, 0)),
        ([NOBODY, ASHBY], "1640", (0.5, 0.5, 0.5, 1, 0)),
        ([("home", ADA[1]), ASHBY], "1640", (0.5, 0.5, 0.5, 1, 0)),
    ],
)
def test_solve(values, calls, answer, expected):
    assert values(*calls, answer=answer) == expected


def test_the_value_is_solve_f1_and_success_that_the_answer_contains_the_gold_one(scored):
    score = scored(ADA, answer="in 1640")
    assert (round(score.value, 3), score.success) == (0.667, True)
    assert score.expected == "an answer that contains '1640'"
    score = scored(ADA, ASHBY, answer="1702")
    assert (score.value, score.success) == (1.0, False)


def test_an_error_text_solves_only_officially(values):
    golds = json.dumps({"home_town": ["nobody has no home"]})
    assert values(NOBODY, unsolved_set=golds) == (1, 1, 1, 1, 0)


def test_two_sub_answers_of_one_tool_need_two_calls(values):
    golds = json.dumps({"home_town": ["Ashby", "Ashby"]})
    assert values(ADA, unsolved_set=golds)[:2] == (1, 0.5)
    assert values(ADA, ADA, unsolved_set=golds)[:2] == (1, 1)


def test_json_and_parquet_are_the_same(write, tmp_path):
    rows = [ftrl_row(), ftrl_row(answer="1702")]
    parsed = [
        {k: json.loads(v) if k in ("tools", "codes", "unsolved_set") else v for k, v in row.items()}
        for row in rows
    ]
    parquet = tmp_path / "ftrl.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), parquet)
    files = [write("a.json", rows), write("b.json", parsed), parquet]
    for tasks in [taskset(f"ftrl:{file}") for file in files]:
        assert tasks.ids == ("ftrl/0", "ftrl/1")
        assert [task.answer for task in tasks] == ["1640", "1702"]
        assert tasks[0].labels == {"family": "multi_hop"}
        assert tasks[0].needed == ("home_town", "founding_year")
        assert tasks[0].isolation() is Isolation.READ_ONLY
        assert not tasks.left_out
        assert tasks.limits.max_turns == 27


def test_rows_that_cannot_be_used_are_named(write):
    twice = json.dumps([{"function": HOME_SCHEMA}, {"function": HOME_SCHEMA}])
    user = {"role": "user", "content": "q"}
    rows = [
        ftrl_row(),
        ftrl_row(tools="[{"),
        ftrl_row(codes=json.dumps({"home_town": HOME})),
        ftrl_row(unsolved_set=json.dumps({"flag": ["x"]})),
        ftrl_row(unsolved_set=json.dumps({"home_town": []})),
        ftrl_row(messages=[user, user]),
        ftrl_row(tools=twice, unsolved_set=json.dumps({"home_town": ["Ashby"]})),
    ]
    tasks = taskset(f"ftrl:{write('ftrl.json', rows)}")
    assert len(tasks) == 1
    found = [(item.row, item.field, item.reason) for item in tasks.left_out]
    assert found[0][0] == 1
    assert found[0][1].startswith("tools")
    assert found[1:] == [
        (2, "codes.founding_year", "no source for this tool"),
        (3, "unsolved_set.flag", "no such tool in tools"),
        (4, "unsolved_set", "no sub-answers to find"),
        (5, "messages", "expected one message of the user"),
        (6, "", "two tools are called 'home_town'; rename one of them"),
    ]


def test_isolation_is_one_of_three(write):
    file = write("ftrl.json", [ftrl_row()])
    assert taskset(f"ftrl:{file} isolation=process").facts["least isolation"] == "process"
    with pytest.raises(ConfigError, match="isolation: Input should be 'process', 'confined' or"):
        taskset(f"ftrl:{file} isolation=none")


def test_derived_calls(play, shared):
    """Calls that a search found to work, on rows of the original file."""
    path = shared("ftrl/ftrl_test.parquet")
    derived = json.loads(shared("ftrl/derived_calls.json").read_text())
    rows = pyarrow.parquet.read_table(path).to_pylist()
    replays = {}
    for item in derived:
        row = rows[item["row"]]
        golds = json.loads(row["unsolved_set"])
        calls = [
            {"name": name, "arguments": item["trace"][name][answer]}
            for name, answers in golds.items()
            for answer in answers
            if item["all"]
        ]
        if item["all"]:
            replays[f"ftrl/{item['row']}"] = Replay(calls=calls, answer=row["answer"])
    assert len(replays) == 141
    tasks = taskset(f"ftrl:{path}")
    right = [trajectory.score for trajectory in play(tasks, replays)]
    assert all(score.value == score.parts["strict"] == 1.0 for score in right)
    for known in replays.values():
        known.calls.pop()
    dropped = [trajectory.score for trajectory in play(tasks, replays)]
    assert all(score.value < 1.0 and score.parts["strict"] == 0.0 for score in dropped)
