"""Reading original files row by row: one bad row is named and counted, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from toolmaster.benchmarks.base import Case, LeftOut, Suite
from toolmaster.errors import ConfigError, InputError, first_problem

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


def read_cases(path: Path | None, model: type[R], make: Callable[[int, R], Case]) -> Suite:
    """The rows of a `.json`, a `.jsonl` or a `.parquet` file, as cases.

    Args:
        path: the file; a user's original.
        model: what a row must look like.
        make: a case from the index of a row, from 0, and the row. A RowError or InputError leaves
            the row out, as do a row that does not fit the model and an id that was used before.

    Raises:
        ConfigError: no path was given.
        InputError: the file is missing, of another kind or unreadable.
    """
    if path is None:
        raise ConfigError("this benchmark needs its original file; give --data FILE")
    cases: dict[str, Case] = {}
    left_out = []
    for index, record in enumerate(_records(path)):
        try:
            if isinstance(record, RowError):
                raise record
            case = make(index, model.model_validate(record))
            if case.task.id in cases:
                raise RowError("id", f"an earlier row has the same ({case.task.id})")
            cases[case.task.id] = case
        except RowError as error:
            left_out.append(LeftOut(path.name, index, error.field, error.reason))
        except InputError as error:
            left_out.append(LeftOut(path.name, index, "", str(error)))
        except ValidationError as error:
            field, problem = first_problem(error)
            left_out.append(LeftOut(path.name, index, field, problem))
    return Suite(tuple(cases.values()), tuple(left_out))


def _records(path: Path) -> list[Any]:
    try:
        if path.suffix == ".parquet":
            return _parquet(path)
        if path.suffix == ".jsonl":
            return [_line(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        if path.suffix == ".json":
            return _json(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from None
    raise InputError(f"{path}: expected a .json, .jsonl or .parquet file")


def _json(path: Path) -> list[Any]:
    """A list, or lines of objects (one a row) under this suffix, which several benchmarks have."""
    text = path.read_text("utf-8")
    try:
        records = json.loads(text)
    except ValueError as error:
        lines = [_line(line) for line in text.splitlines() if line.strip()]
        if not any(isinstance(line, dict) for line in lines):
            raise InputError(f"{path}: not valid JSON: {error}") from None
        return lines
    if isinstance(records, dict):
        return [records]
    if not isinstance(records, list):
        raise InputError(f"{path}: expected a list of rows, got {type(records).__name__}")
    return records


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        return RowError("", f"not valid JSON: {error}")


def _parquet(path: Path) -> list[Any]:
    import pyarrow  # noqa: PLC0415 - heavy
    import pyarrow.parquet  # noqa: PLC0415

    try:
        rows: list[Any] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from None
    return rows
