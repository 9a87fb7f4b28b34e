"""Reading original files row by row: one bad row is named and counted, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from toolmaster.benchmarks.base import LeftOut
from toolmaster.errors import ConfigError, InputError

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")


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


def read_rows(path: Path | None, model: type[R]) -> tuple[list[tuple[int, R]], list[LeftOut]]:
    """The rows of a `.json` list, a `.jsonl` or a `.parquet` file.

    Args:
        path: the file; a user's original.
        model: what a row must look like.

    Returns:
        Index and row of those that fit, and what was left out.

    Raises:
        ConfigError: no path was given.
        InputError: the file is missing, of another kind or unreadable.
    """
    if path is None:
        raise ConfigError("this benchmark needs its original file; give --data FILE")

    def parse(record: Any) -> R:
        if isinstance(record, RowError):
            raise record
        return model.model_validate(record)

    parsed, left_out = sift(path, enumerate(_records(path)), parse)
    return parsed, left_out


def sift(
    path: Path, items: Iterable[tuple[int, Any]], make: Callable[[Any], T]
) -> tuple[list[tuple[int, T]], list[LeftOut]]:
    """Make something of each numbered row; those that fail are left out with field and reason.

    Args:
        path: the file they come from, for the record.
        items: row index and row.
        make: raises RowError or pydantic's ValidationError for a row that cannot be used.
    """
    made, left_out = [], []
    for index, item in items:
        try:
            made.append((index, make(item)))
        except RowError as error:
            left_out.append(LeftOut(path.name, index, error.field, error.reason))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            left_out.append(LeftOut(path.name, index, field, first["msg"]))
    return made, left_out


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
    """A list, or lines of objects under the wrong suffix, which several benchmarks have."""
    text = path.read_text("utf-8")
    try:
        records = json.loads(text)
    except ValueError as error:
        lines = [_line(line) for line in text.splitlines() if line.strip()]
        if not any(isinstance(line, dict) for line in lines):
            raise InputError(f"{path}: not valid JSON: {error}") from None
        return lines
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
