"""`own_tasks`: tasks for a user's own tools, from a JSON-lines file.

    tasks.jsonl tools=shop.py:Shop tools=mcp.json

Each line is a JSON object, of which only `query` is needed:

    {"id": "stock", "query": "How many Wool Rugs are left?", "answer": "4",
     "calls": [{"name": "count", "arguments": {"item": "Wool Rug"}}], "labels": {"kind": "read"}}
    {"id": "order", "query": "Order two Oak Stools.", "state": {"orders": [["Oak Stool", 2]]}}
    {"id": "cheap", "query": "Order the cheapest lamp.", "check": "checks.py:cheapest_lamp"}

`answer` is compared by `answers.same_answer` and `state` by `end_state.differences`. `check` is a
Python function, called as `check(trajectory, object)` like `Task.check`; the path of its file is
relative to the file of tasks. If a line has several of them, all must hold.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from toolmaster.errors import InputError
from toolmaster.runs import read_written
from toolmaster.tasksets.answers import as_answer, same_answer
from toolmaster.tasksets.end_state import differences
from toolmaster.tasksets.task import Check, Isolation, Task, as_score, isolation_of
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools import ToolSet
from toolmaster.tools.merging import merge
from toolmaster.tools.python import find_object, makes_tools
from toolmaster.tools.sources import Source, open_source, parse_sources, python_tools
from toolmaster.types import Record, Score, ToolCall, Trajectory


def _as_label(value: object) -> object:
    plain = isinstance(value, str | bool | int | float)
    return as_answer(value) if plain else value


class Row(Record):
    """A line of the file."""

    query: str = Field(min_length=1)
    """The request of the user."""
    id: str = ""
    """Unique in the file; "" takes the number of the line."""
    answer: Any = None
    """The right answer, text or any JSON value."""
    state: dict[str, Any] = Field(default_factory=dict)
    """Maps paths in the tools' object to the values expected at the end."""
    check: str = ""
    """`checks.py:function` or `package.module:function`."""
    calls: list[ToolCall] = Field(default_factory=list)
    """Known-good calls in order."""
    labels: dict[str, Annotated[str, BeforeValidator(_as_label)]] = Field(default_factory=dict)
    """Names and values by which results are broken down."""


def own_tasks(file: Path, *, tools: list[str]) -> Taskset:
    """Read a file of tasks for a user's own tools.

    Args:
        file: JSON lines, see the module's docstring.
        tools: one line per source, see `tools.sources`. A class or a function without parameters
            makes fresh tools for each rollout; other Python objects are copied.

    Returns:
        A task set named after the file, whose version is a hash of its content.

    Raises:
        ConfigError: a source cannot be recognised.
        InputError: the file or a source cannot be used; the message names line and field.

    Example:
        >>> own_tasks(Path("tasks.jsonl"), tools=["shop.py:Shop"])  # doctest: +SKIP
    """
    make = OwnTools(tools)
    tasks: dict[str, Task] = {}
    for number, row in read_written(file, Row):
        task_id, where = row.id or f"{file.stem}/{number}", f"{file}, line {number}"
        if task_id in tasks:
            raise InputError(f"{where}: id: {task_id!r} is used twice")
        tasks[task_id] = Task(
            id=task_id,
            query=row.query,
            tools=make,
            answer=row.answer,
            check=_check(row, _written_check(row, file.parent, where)),
            calls=[row.calls] if row.calls else None,
            labels=row.labels,
        )
    if not tasks:
        raise InputError(
            f"{file} holds no tasks; a line is a JSON object with"
            f" {', '.join(Row.model_fields)}, of which only query is needed"
        )
    version = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    return Taskset(file.stem, tasks.values(), version=version, resources=make.open)


def _written_check(row: Row, folder: Path, where: str) -> Check | None:
    """Return the function that a row names as its check."""
    if not row.check:
        return None
    in_file = row.check.partition(":")[0].endswith(".py")
    try:
        found: Check = find_object(str(folder / row.check) if in_file else row.check)
    except InputError as error:
        raise InputError(f"{where}: check: {error}") from None
    if not callable(found):
        raise InputError(f"{where}: check: {row.check} is not a function")
    return found


def _check(row: Row, written: Check | None) -> Check | None:
    """Return the check of a task that has more than an answer to check."""
    if not row.state and written is None:
        return None

    async def check(trajectory: Trajectory, made: Any) -> Score:
        scores: dict[str, Score] = {}
        if row.answer is not None:
            right = same_answer(trajectory.answer, row.answer)
            scores["answer"] = Score.of(right, f"the answer {as_answer(row.answer)!r}")
        if row.state:
            wrong = differences(made, row.state)
            ends = ", ".join(f"{path} = {as_answer(value)}" for path, value in row.state.items())
            score = Score.of(not wrong, f"at the end {ends}")
            scores["state"] = score.model_copy(update={"reason": "; ".join(wrong)})
        if written is not None:
            checked = written(trajectory, made)
            checked = await checked if inspect.isawaitable(checked) else checked
            scores["check"] = as_score(checked)
        return _together(scores)

    return check


def _together(scores: Mapping[str, Score]) -> Score:
    """Return one score that is right if all are; its value is the lowest of theirs."""
    parts = {name: score.value for name, score in scores.items()}
    for score in scores.values():
        parts |= score.parts
    return Score(
        value=min(score.value for score in scores.values()),
        success=all(score.success for score in scores.values()),
        parts=parts,
        expected="; ".join(score.expected for score in scores.values() if score.expected),
        reason="; ".join(score.reason for score in scores.values() if score.reason),
    )


class OwnTools:
    """Makes the tools of each rollout from tool sources, for `Task.tools`.

    A class or factory of a Python source is called for each rollout, and any other Python object is
    copied; MCP servers and HTTP services are opened once by `open`, and shared.

    Args:
        specs: one line per source, see `tools.sources`.

    Attributes:
        isolation: how the rollouts are kept apart, see `Task.isolation`.

    Raises:
        ConfigError: there is no source, or a source cannot be recognised.
        InputError: a Python source is missing, fails on import or has no tools.
    """

    def __init__(self, specs: Sequence[str]) -> None:
        self._sources = parse_sources(specs)
        self._tools: list[ToolSet | None] = []
        """The tools of each source; None if each rollout gets fresh ones, or if it is not open."""
        kinds: list[Isolation] = []
        for source in self._sources:
            tools = python_tools(source) if source.kind == "python" else None
            fresh = _is_fresh(source)
            self._tools.append(None if fresh else tools)
            if fresh:
                kinds.append(Isolation.FRESH)
            else:
                kinds.append(Isolation.SHARED if tools is None else isolation_of(tools))
        self.isolation = next(kind for kind in _WEAKEST_FIRST if kind in kinds)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep the servers and services open for as long as the context lasts.

        Raises:
            ConfigError: a source cannot have one of its options.
            InputError: a source is missing, is broken or has no tools.
        """
        before = list(self._tools)
        async with AsyncExitStack() as stack:
            for index, source in enumerate(self._sources):
                if source.kind != "python":
                    self._tools[index] = await stack.enter_async_context(open_source(source))
            try:
                yield
            finally:
                self._tools = before

    def __call__(self) -> ToolSet:
        """Make the tools of one rollout.

        Raises:
            InputError: a server or service is not open.
        """
        parts = zip(self._sources, self._tools, strict=True)
        return merge([(source.label, _made(source, tools)) for source, tools in parts])


_WEAKEST_FIRST = (Isolation.SHARED, Isolation.FORKED, Isolation.READ_ONLY, Isolation.FRESH)


def _made(source: Source, tools: ToolSet | None) -> ToolSet:
    if tools is not None:
        return tools if tools.copy_state is None else tools.fork()
    if source.kind == "python":
        return python_tools(source)
    raise InputError(f"{source.place} is not open; run these tasks inside `tasks.open()`")


def _is_fresh(source: Source) -> bool:
    named = source.kind == "python" and source.name is not None
    return named and makes_tools(find_object(f"{source.place}:{source.name}"))
