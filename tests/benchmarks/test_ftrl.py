"""FTRL: its format, Solve-P/R/F1 by hand, and known calls through our own sessions."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from made_rows import HOME, HOME_SCHEMA, ftrl_row

from toolmaster.benchmarks.replay import Replay

ADA = {"name": "home_town", "arguments": {"person": "Ada Lane"}}
ASHBY = {"name": "founding_year", "arguments": {"town": "Ashby"}}
NOBODY = {"name": "home_town", "arguments": {"person": "nobody"}}


@pytest.fixture
def values(play, write):
    """A function: what is measured when these calls are replayed on one row."""

    def run(*calls, answer="1640", **changes):
        path = write("ftrl.jsonl", ftrl_row(**changes))
        replays = {"ftrl/0": Replay(calls=calls, answer=answer)}
        [(_, _, measured)] = play("ftrl", path, replays)
        return tuple(round(measured[key], 3) for key in measured)

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
        ([ADA | {"name": "home"}, ASHBY], "1640", (0.5, 0.5, 0.5, 1, 0)),
    ],
)
def test_solve(values, calls, answer, expected):
    assert values(*calls, answer=answer) == expected


def test_an_error_text_solves_only_officially(values):
    golds = json.dumps({"home_town": ["nobody has no home"]})
    assert values(NOBODY, unsolved_set=golds) == (1, 1, 1, 1, 0)


def test_two_sub_answers_of_one_tool_need_two_calls(values):
    golds = json.dumps({"home_town": ["Ashby", "Ashby"]})
    assert values(ADA, unsolved_set=golds)[:2] == (1, 0.5)
    assert values(ADA, ADA, unsolved_set=golds)[:2] == (1, 1)


def test_json_and_parquet_are_the_same(load, write, tmp_path):
    rows = [ftrl_row(), ftrl_row(answer="1702")]
    parsed = [
        {k: json.loads(v) if k in ("tools", "codes", "unsolved_set") else v for k, v in row.items()}
        for row in rows
    ]
    parquet = tmp_path / "ftrl.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), parquet)
    suites = [load("ftrl", write("a.json", rows)), load("ftrl", write("b.json", parsed))]
    for suite in [*suites, load("ftrl", parquet)]:
        assert [case.task.id for case in suite.cases] == ["ftrl/0", "ftrl/1"]
        assert [case.answer for case in suite.cases] == ["1640", "1702"]
        assert suite.cases[0].task.labels["family"] == "multi_hop"
        assert not suite.left_out


def test_rows_that_cannot_be_loaded_are_named(load, write):
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
    suite = load("ftrl", write("ftrl.json", rows))
    assert len(suite.cases) == 1
    found = [(item.row, item.field, item.reason) for item in suite.left_out]
    assert found[0][0] == 1
    assert found[0][1].startswith("tools")
    assert found[1:] == [
        (2, "codes.founding_year", "no source for this tool"),
        (3, "unsolved_set.flag", "no such tool in tools"),
        (4, "unsolved_set", "no sub-answers to find"),
        (5, "messages", "expected one message of the user"),
        (6, "", "two tools are called 'home_town'; rename one of them"),
    ]


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
    right = play("ftrl", path, replays)
    assert all(m["solve_p"] == m["solve_r"] == m["solve_f1"] == 1.0 for _, _, m in right)
    assert sum(m["strict"] for _, _, m in right) == 141
    for known in replays.values():
        known.calls.pop()
    dropped = play("ftrl", path, replays)
    assert all(m["solve_r"] < 1.0 and m["strict"] == 0.0 for _, _, m in dropped)
