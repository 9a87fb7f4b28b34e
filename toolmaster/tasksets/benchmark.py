"""Reads the rows of a benchmark's files as tasks; rows that cannot be used are reported."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from toolmaster.errors import InputError, first_problem, near_file
from toolmaster.system.extras import require
from toolmaster.system.nesting import NestedError, read_json
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import LeftOut, Taskset

R = TypeVar("R", bound=BaseModel)
MAX_SOURCE_CHARS = 40_000
"""The longest Python source that is parsed: Python's parser takes memory by the square of a name
with dots."""


class RowError(InputError):
    """A row that cannot be used; it has the path of the field at fault and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field, self.reason = field, reason


class Rows:
    """The tasks of a file or folder, and its rows that could not become tasks.

    The hash of the content is the version of the task set.
    """

    def __init__(self, place: Path, content: bytes) -> None:
        self.place = place
        self.version = hashlib.sha256(content).hexdigest()[:8]
        self.tasks: dict[str, Task] = {}
        self.left_out: list[LeftOut] = []

    def add(self, file: str, row: int, make: Callable[[], Iterable[Task]]) -> None:
        """Add the tasks of a row, or record why it is left out, such as an id that was used."""
        try:
            made = {task.id: task for task in make()}
            for task_id in self.tasks.keys() & made.keys():
                raise RowError("id", f"an earlier row has the same ({task_id})")
        except ValidationError as error:
            self.left_out.append(LeftOut(file, row, *first_problem(error)))
        except RowError as error:
            self.left_out.append(LeftOut(file, row, error.field, error.reason))
        except InputError as error:
            self.left_out.append(LeftOut(file, row, "", str(error)))
        except (RecursionError, MemoryError):
            self.left_out.append(LeftOut(file, row, "", "it is nested too deeply"))
        else:
            self.tasks |= made

    def extend(self, others: Rows) -> None:
        """Add the tasks and the left-out rows of another file."""
        self.tasks |= others.tasks
        self.left_out += others.left_out

    def taskset(self, name: str, **options: Any) -> Taskset:
        """Return the tasks as a set, made with these options of `Taskset`.

        Raises:
            InputError: no row can be used; the message has the reason for the first.
        """
        if not self.left_out and not self.tasks:
            raise InputError(f"{self.place}: it has no rows")
        if not self.tasks:
            first = self.left_out[0]
            where = f"row {first.row}" + (f", {first.field}" if first.field else "")
            raise InputError(
                f"{self.place}: none of its {len(self.left_out)} rows can be used; the first:"
                f" {where}: {first.reason}"
            )
        options = {"version": self.version, "left_out": tuple(self.left_out), **options}
        return Taskset(name, self.tasks.values(), **options)


def read_rows(file: Path, model: type[R], make: Callable[[int, R], Task]) -> Rows:
    """Return the rows of a `.json`, a `.jsonl` or a `.parquet` file as tasks.

    Args:
        file: the original file of the benchmark.
        model: the pydantic model of a row.
        make: makes a task from the index of a row, from 0, and the row.

    Raises:
        InputError: the file is missing, has another suffix or cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}{near_file(file)}") from None
    rows = Rows(file, content)

    def made(index: int, record: Any) -> Iterable[Task]:
        if isinstance(record, RowError):
            raise record
        yield make(index, model.model_validate(record))

    for index, record in enumerate(_records(file, content)):
        rows.add(file.name, index, partial(made, index, record))
    return rows


def _records(file: Path, content: bytes) -> list[Any]:
    """Return the rows as JSON values, with a RowError in place of a line that is not JSON."""
    if file.suffix == ".parquet":
        return _parquet(file, content)
    if file.suffix not in (".json", ".jsonl"):
        raise InputError(f"{file}: expected a .json, .jsonl or .parquet file")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text: {error}") from None
    try:
        whole = None if file.suffix == ".jsonl" else read_json(text)
        problem = f"expected a list of rows, got {type(whole).__name__}"
    except ValueError as error:
        if isinstance(error, NestedError) and text.lstrip().startswith("["):  # perhaps in one row
            return [_json(item) for item in _items(text)]
        whole, problem = None, f"not valid JSON: {error}"
    if isinstance(whole, list | dict):
        return whole if isinstance(whole, list) else [whole]
    # several benchmarks have one object per line in a `.json` file
    lines = [_json(line) for line in text.split("\n") if line.strip()]
    if file.suffix == ".jsonl" or any(isinstance(line, dict) for line in lines):
        return lines
    raise InputError(f"{file}: {problem}")


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        return RowError("", f"not valid JSON: {error}")


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)


def _items(text: str) -> Iterator[str]:
    """Yield the texts of the items of a JSON list, without reading them."""
    level, start = 0, text.find("[") + 1
    for token in _TOKEN.finditer(text):
        level += (token[0] in ("[", "{")) - (token[0] in ("]", "}"))
        if (token[0] == "," and level == 1) or level == 0:
            yield text[start : token.start()]
            start = token.end()
        if level == 0:
            return


def _parquet(file: Path, content: bytes) -> list[Any]:
    require("benchmarks", "pyarrow")
    import pyarrow  # noqa: PLC0415 - heavy
    import pyarrow.parquet  # noqa: PLC0415

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{file}: not a Parquet file: {error}") from None
    rows: list[Any] = table.to_pylist()
    return rows


def parse_python(source: str) -> list[ast.stmt]:
    """Return the statements of a Python source, which is not run.

    Raises:
        ValueError: The text is not Python, or is too long or too deep.
    """
    if len(source) > MAX_SOURCE_CHARS:
        raise ValueError(f"{len(source)} characters; at most {MAX_SOURCE_CHARS} are parsed")
    try:
        return ast.parse(source).body
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from None


def canonical(value: Any) -> str:
    """Return the same JSON text for equal arguments: keys sorted, 2.0 written as 2."""
    return json.dumps(_whole(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _whole(value: Any) -> Any:
    """Return a value with whole numbers as integers."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
