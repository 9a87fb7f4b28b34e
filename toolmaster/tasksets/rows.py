"""Reads original files row by row: a bad row is named and counted, the rest goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.extras import require
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import LeftOut

R = TypeVar("R", bound=BaseModel)


class RowError(Exception):
    """A row that cannot be used.

    Args:
        field: path of the field at fault.
        reason: what is wrong with it, in one line.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rows:
    """What a file holds.

    Attributes:
        tasks: in the order of the rows.
        left_out: the rows that could not become tasks.
        version: a hash of the file's content.
    """

    tasks: tuple[Task, ...]
    left_out: tuple[LeftOut, ...]
    version: str


def read_rows(file: Path, model: type[R], make: Callable[[int, R], Task]) -> Rows:
    """Read the rows of a `.json`, a `.jsonl` or a `.parquet` file as tasks.

    Args:
        file: a user's original file.
        model: what a row must look like.
        make: makes a task of the index of a row, from 0, and the row. A RowError or InputError
            leaves the row out, as do a row that does not fit the model and an id used before.

    Raises:
        InputError: the file is missing, of another kind or unreadable, or no row can be used.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from None
    tasks: dict[str, Task] = {}
    left_out = []
    for index, record in enumerate(_records(file, content)):
        try:
            if isinstance(record, RowError):
                raise record
            task = make(index, model.model_validate(record))
            if task.id in tasks:
                raise RowError("id", f"an earlier row has the same ({task.id})")
            tasks[task.id] = task
        except RowError as error:
            left_out.append(LeftOut(file.name, index, error.field, error.reason))
        except InputError as error:
            left_out.append(LeftOut(file.name, index, "", str(error)))
        except ValidationError as error:
            field, problem = first_problem(error)
            left_out.append(LeftOut(file.name, index, field, problem))
    if not tasks:
        raise InputError(f"{file}: {_why_none(left_out)}")
    return Rows(tuple(tasks.values()), tuple(left_out), hashlib.sha256(content).hexdigest()[:8])


def _why_none(left_out: list[LeftOut]) -> str:
    if not left_out:
        return "it holds no rows"
    first = left_out[0]
    where = f"row {first.row}" + (f", {first.field}" if first.field else "")
    return f"none of its {len(left_out)} rows can be used; the first: {where}: {first.reason}"


def _records(file: Path, content: bytes) -> list[Any]:
    if file.suffix == ".parquet":
        return _parquet(file, content)
    if file.suffix not in (".json", ".jsonl"):
        raise InputError(f"{file}: expected a .json, .jsonl or .parquet file")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text: {error}") from None
    return _lines(text) if file.suffix == ".jsonl" else _json(file, text)


def _json(file: Path, text: str) -> list[Any]:
    """A list, or lines of objects (one a row) under this suffix, which several benchmarks have."""
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = _lines(text)
        if not any(isinstance(line, dict) for line in lines):
            raise InputError(f"{file}: not valid JSON: {error}") from None
        return lines
    if isinstance(records, dict):
        return [records]
    if not isinstance(records, list):
        raise InputError(f"{file}: expected a list of rows, got {type(records).__name__}")
    return records


def _lines(text: str) -> list[Any]:
    return [_line(line) for line in text.split("\n") if line.strip()]


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return RowError("", f"not valid JSON: {error}")


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
