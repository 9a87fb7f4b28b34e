"""The file of tasks: one a line, whatever else a line holds."""

import pytest

from toolmaster.commands.solve_settings import read_tasks
from toolmaster.errors import InputError


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u0085", "\f", "\v", "\x1c"])
def test_only_line_ends_part_tasks(tmp_path, sign):
    tasks = tmp_path / "tasks.txt"
    tasks.write_bytes(f"delete{sign}nothing\r\n\nsecond\n".encode())
    assert read_tasks(tasks) == [f"delete{sign}nothing", "second"]


def test_a_task_nested_without_end(tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("first\n" + '{"query": ' * 100_000 + "\n")
    with pytest.raises(InputError, match=r"tasks\.jsonl, line 2: not valid JSON: "):
        read_tasks(tasks)
