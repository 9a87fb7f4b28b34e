"""`own_tasks`: tasks for one's own tools, from a JSON-lines file.

    tasks.jsonl tools=shop.py:Shop tools=mcp.json

Each line is a JSON object, of which only `query` is needed:

    {"id": "stock", "query": "How many Wool Rugs are left?", "answer": "4",
     "calls": [{"name": "count", "arguments": {"item": "Wool Rug"}}], "labels": {"kind": "read"}}
    {"id": "order", "query": "Order two Oak Stools.", "state": {"orders": [["Oak Stool", 2]]}}
    {"id": "cheap", "query": "Order the cheapest lamp.", "check": "checks.py:cheapest_lamp"}

`answer` is compared by the rule of `answers.same_answer`, `state` by `end_state.differences`, and
`check` is a Python function, called as `check(trajectory, object)` like `Task.check`; a file is
looked for beside the tasks. Where a line has several of them, all must hold.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from toolmaster.answers import as_answer, same_answer
from toolmaster.errors import InputError, first_problem
from toolmaster.tasksets.end_state import differences
from toolmaster.tasksets.own_tools import OwnTools
from toolmaster.tasksets.task import Check, Task, as_score
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools.python import find_object
from toolmaster.types import Record, Score, ToolCall, Trajectory

FORM = (
    'a line is a JSON object with "query" and, where wanted, "id", "answer", "state", "check",'
    ' "calls" and "labels"'
)


def _as_label(value: object) -> object:
    plain = isinstance(value, str | bool | int | float)
    return as_answer(value) if plain else value


class Row(Record):
    """A line of the file."""

    query: str = Field(min_length=1)
    """What the user asks."""
    id: str = ""
    """Unique in the file; "" for one made of the number of the line."""
    answer: Any = None
    """The right answer, text or any JSON value."""
    state: dict[str, Any] = Field(default_factory=dict)
    """Path in the tools' object to the value that is right there at the end."""
    check: str = ""
    """`checks.py:function` or `package.module:function`."""
    calls: list[ToolCall] = Field(default_factory=list)
    """Known-good calls in order."""
    labels: dict[str, Annotated[str, BeforeValidator(_as_label)]] = Field(default_factory=dict)
    """What results are broken down by."""


def own_tasks(file: Path, *, tools: list[str]) -> Taskset:
    """Read the tasks of a file for one's own tools.

    Args:
        file: JSON lines, see the module's text.
        tools: one line for each source, see `tools.sources`. A class or a function without
            parameters makes fresh tools for each rollout; other Python objects are copied.

    Returns:
        A task set named like the file, whose version is a hash of the file's content.

    Raises:
        ConfigError: a source that cannot be recognised.
        InputError: the file or a source cannot be used; names the line and the field.

    Example:
        >>> own_tasks(Path("tasks.jsonl"), tools=["shop.py:Shop"])  # doctest: +SKIP
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    make = OwnTools(tools)
    tasks: dict[str, Task] = {}
    for number, row in _rows(file, content):
        task = _task(file, number, row, make)
        if task.id in tasks:
            raise InputError(f"{file}, line {number}: id: {task.id!r} is used twice")
        tasks[task.id] = task
    if not tasks:
        raise InputError(f"{file} holds no tasks; {FORM}")
    version = hashlib.sha256(content).hexdigest()[:8]
    return Taskset(file.stem, tasks.values(), version=version, resources=make.open)


def _rows(file: Path, content: bytes) -> Iterator[tuple[int, Row]]:
    """Every line that is not empty, with its number from 1."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            yield number, Row.model_validate(json.loads(line.decode("utf-8-sig")))
        except ValidationError as error:
            field, problem = first_problem(error)
            problem = f"{field}: {problem}" if field else problem
            raise InputError(f"{where}: {problem}; {FORM}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not valid JSON: {error}; {FORM}") from None


def _task(file: Path, number: int, row: Row, make: OwnTools) -> Task:
    written: Check | None = None
    if row.check:
        place = row.check
        if place.partition(":")[0].endswith(".py"):
            place = str(file.parent / place)
        try:
            written = find_object(place)
        except InputError as error:
            raise InputError(f"{file}, line {number}: check: {error}") from None
        if not callable(written):
            raise InputError(f"{file}, line {number}: check: {row.check} is not a function")
    return Task(
        id=row.id or f"{file.stem}/{number}",
        query=row.query,
        tools=make,
        answer=row.answer,
        check=_check(row, written) if row.state or written is not None else None,
        calls=[row.calls] if row.calls else None,
        labels=row.labels,
    )


def _check(row: Row, written: Check | None) -> Check:
    """The check of a task that has more than an answer."""

    async def check(trajectory: Trajectory, made: Any) -> Score:
        found: dict[str, Score] = {}
        if row.answer is not None:
            right = same_answer(trajectory.answer, row.answer)
            found["answer"] = Score.of(right, f"the answer {as_answer(row.answer)!r}")
        if row.state:
            found["state"] = _state_score(row.state, made)
        if written is not None:
            checked = written(trajectory, made)
            checked = await checked if inspect.isawaitable(checked) else checked
            found["check"] = as_score(checked)
        return _together(found)

    return check


def _state_score(expected: Mapping[str, Any], made: Any) -> Score:
    wrong = differences(made, expected)
    text = ", ".join(f"{path} = {as_answer(value)}" for path, value in expected.items())
    score = Score.of(not wrong, f"at the end {text}")
    return score.model_copy(update={"reason": "; ".join(wrong)})


def _together(found: Mapping[str, Score]) -> Score:
    """One score that is right where all are; its value is the lowest of theirs."""
    parts = {name: score.value for name, score in found.items()}
    for score in found.values():
        parts |= score.parts
    return Score(
        value=min(score.value for score in found.values()),
        success=all(score.success for score in found.values()),
        parts=parts,
        expected="; ".join(score.expected for score in found.values() if score.expected),
        reason="; ".join(score.reason for score in found.values() if score.reason),
    )
