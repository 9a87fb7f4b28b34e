"""Files of rows: what cannot be used is named and counted, the rest goes on."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import BaseModel

from toolmaster.errors import InputError
from toolmaster.tasksets import LeftOut, Task
from toolmaster.tasksets.benchmark import RowError, canonical, parse_python, read_rows


class Row(BaseModel):
    id: int
    sizes: list[int] = []


def make(index, row):
    if row.id == 13:
        raise RowError("id", "unlucky")
    if row.id == 14:
        raise InputError("a tool is broken")
    return Task(f"t/{row.id}", f"row {index}", tools=[])


ROWS = [{"id": 1}, {"id": 13}, {"id": 2, "sizes": [1, "x"]}, {}, {"id": 1}, {"id": 14}, {"id": 3}]
LEFT_OUT = [
    (1, "id", "unlucky"),
    (2, "sizes.1", "Input should be a valid integer, unable to parse string as an integer"),
    (3, "id", "Field required"),
    (4, "id", "an earlier row has the same (t/1)"),
    (5, "", "a tool is broken"),
]


def check(rows, name):
    assert [(task.id, task.query) for task in rows.tasks.values()] == [
        ("t/1", "row 0"),
        ("t/3", "row 6"),
    ]
    assert list(rows.left_out) == [LeftOut(name, *item) for item in LEFT_OUT]


def test_json(write):
    check(read_rows(write("rows.json", ROWS), Row, make), "rows.json")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_lines(write, name):
    lines = "\n".join(json.dumps(row) for row in ROWS)
    check(read_rows(write(name, lines + "\n\n"), Row, make), name)


def test_a_damaged_line_is_one_row(write):
    rows = read_rows(write("rows.jsonl", '{"id": 1}\n{"id": \n{"id": 3}'), Row, make)
    assert list(rows.tasks) == ["t/1", "t/3"]
    [left_out] = rows.left_out
    assert (left_out.row, left_out.field) == (1, "")
    assert left_out.reason.startswith("not valid JSON: ")


@pytest.mark.parametrize("levels", [250, 900, 100_000])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "list.json"])
def test_a_row_nested_too_deeply_is_left_out_alone(write, levels, name):
    deep = '{"a":' * levels + "[" * levels + '"]}, {"' + "]" * levels + "}" * levels
    texts = ['{"id": 1}', f'{{"id": {deep}}}', '{"id": "3", "note": "],[}{\\""}']
    text = f"[{', '.join(texts)}]" if name == "list.json" else "\n".join(texts)
    rows = read_rows(write(name, text), Row, make)
    assert list(rows.tasks) == ["t/1", "t/3"]
    [left_out] = rows.left_out
    assert (left_out.row, "nested deeper than 200 levels" in left_out.reason) == (1, True)


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "-" * 100_000 + "1",
        "x" + ".a" * 15_000,
        "import a" + ".a" * 1_000_000,
        "x = " + "(" * 10_000,
        "lambda: " * 4_000 + "1",
        "\0",
    ],
)
def test_hostile_python_is_refused_in_bounded_memory(source):
    with pytest.raises(ValueError, match=r"\w"):
        parse_python(source)


def test_a_row_that_exhausts_the_stack_later_is_left_out_alone(write):
    def recurses(index, row):
        return recurses(index, row) if row.id == 2 else make(index, row)

    rows = read_rows(write("rows.json", [{"id": 1}, {"id": 2}, {"id": 3}]), Row, recurses)
    assert list(rows.tasks) == ["t/1", "t/3"]
    assert rows.left_out[0].reason == "it is nested too deeply"


def test_a_line_separator_in_a_text_ends_no_row(write):
    text = "\u2028 \x85"
    line = json.dumps({"id": 1, "more": text}, ensure_ascii=False)
    rows = read_rows(write("rows.jsonl", f"{line}\r\n{line}"), Row, make)
    assert (len(rows.tasks), [item.field for item in rows.left_out]) == (1, ["id"])


def test_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    table = [{"id": 1, "sizes": [1]}, {"id": 13, "sizes": []}, {"id": 3, "sizes": None}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path)
    rows = read_rows(path, Row, make)
    assert list(rows.tasks) == ["t/1"]
    assert [(item.row, item.field) for item in rows.left_out] == [(1, "id"), (2, "sizes")]


def test_the_version_is_of_the_content(write):
    versions = [
        read_rows(write(name, content), Row, make).version
        for name, content in (("a.json", ROWS), ("b.json", ROWS), ("c.json", ROWS[:1]))
    ]
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", "id\n1", "expected a .json, .jsonl or .parquet file"),
        ("rows.json", "{oops", "not valid JSON"),
        ("rows.json", "5", "expected a list of rows, got int"),
        ("rows.json", "[]", "it has no rows"),
        ("rows.json", '[{"id": 13}, 5]', "none of its 2 rows .* the first: row 0, id: unlucky"),
        ("rows.parquet", "PAR", "not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used(write, name, content, message):
    with pytest.raises(InputError, match=message):
        read_rows(write(name, content), Row, make).taskset("t")


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_rows(tmp_path / "none.json", Row, make)


def test_not_text(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_rows(path, Row, make)


def test_one_spelling_of_arguments():
    assert (
        canonical({"b": [1.0, {"z": 2, "a": "é"}], "a": None})
        == '{"a":null,"b":[1,{"a":"é","z":2}]}'
    )
    assert canonical({"a": 1.5}) != canonical({"a": 1})
    assert canonical({"a": True}) != canonical({"a": 1})
