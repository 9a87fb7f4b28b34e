"""Files of rows: what cannot be used is named and counted, the rest goes on."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import BaseModel

from toolmaster.benchmarks.base import Case, LeftOut
from toolmaster.benchmarks.rows import RowError, read_cases
from toolmaster.errors import ConfigError, InputError
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet


class Row(BaseModel):
    id: int
    sizes: list[int] = []


def make(index, row):
    if row.id == 13:
        raise RowError("id", "unlucky")
    if row.id == 14:
        raise InputError("a tool is broken")
    return Case(Task(f"t/{row.id}", f"row {index}", lambda: ToolSet(())), lambda t: {})


ROWS = [{"id": 1}, {"id": 13}, {"id": 2, "sizes": [1, "x"]}, {}, {"id": 1}, {"id": 14}, {"id": 3}]
LEFT_OUT = [
    (1, "id", "unlucky"),
    (2, "sizes.1", "Input should be a valid integer, unable to parse string as an integer"),
    (3, "id", "Field required"),
    (4, "id", "an earlier row has the same (t/1)"),
    (5, "", "a tool is broken"),
]


def check(suite, name):
    assert [(case.task.id, case.task.query) for case in suite.cases] == [
        ("t/1", "row 0"),
        ("t/3", "row 6"),
    ]
    assert list(suite.left_out) == [LeftOut(name, *item) for item in LEFT_OUT]


def test_json(write):
    check(read_cases(write("rows.json", ROWS), Row, make), "rows.json")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_lines(write, name):
    lines = "\n".join(json.dumps(row) for row in ROWS)
    check(read_cases(write(name, lines + "\n\n"), Row, make), name)


def test_a_damaged_line_is_one_row(write):
    suite = read_cases(write("rows.jsonl", '{"id": 1}\n{"id": \n{"id": 3}'), Row, make)
    assert [case.task.id for case in suite.cases] == ["t/1", "t/3"]
    [left_out] = suite.left_out
    assert (left_out.row, left_out.field) == (1, "")
    assert left_out.reason.startswith("not valid JSON: ")


def test_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    rows = [{"id": 1, "sizes": [1]}, {"id": 13, "sizes": []}, {"id": 3, "sizes": None}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    suite = read_cases(path, Row, make)
    assert [case.task.id for case in suite.cases] == ["t/1"]
    assert [(item.row, item.field) for item in suite.left_out] == [(1, "id"), (2, "sizes")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", "id\n1", "expected a .json, .jsonl or .parquet file"),
        ("rows.json", "{oops", "not valid JSON"),
        ("rows.json", "5", "expected a list of rows, got int"),
        ("rows.parquet", "PAR", "not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used(write, name, content, message):
    with pytest.raises(InputError, match=message):
        read_cases(write(name, content), Row, make)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_cases(tmp_path / "none.json", Row, make)
    with pytest.raises(ConfigError, match="give --data FILE"):
        read_cases(None, Row, make)


def test_not_text(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_cases(path, Row, make)
