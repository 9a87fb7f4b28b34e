"""`own_tasks`: tasks for a user's own tools, from a JSON-lines file.

    tasks.jsonl tools=shop.py:Shop tools=mcp.json

Each line is a JSON object, of which only `query` is needed:

    {"id": "stock", "query": "How many Wool Rugs are left?", "answer": "4",
     "calls": [{"name": "count", "arguments": {"item": "Wool Rug"}}], "labels": {"kind": "read"}}
    {"id": "order", "query": "Order two Oak Stools.", "state": {"orders": [["Oak Stool", 2]]}}
    {"id": "cheap", "query": "Order the cheapest lamp.", "check": "checks.py:cheapest_lamp"}

`answer` is compared by `answers.same_answer` and `state` by `end_state.differences`. `reads` are
calls that are made at the end, each with what it must return then, as text. `check` is a Python
function, called as `check(trajectory, object)` like `Task.check`; the path of its file is relative
to the file of tasks. If a line has several of them, all must hold.

Python sources run in a host, see `tools.host`, and so do `state` and `check`, where the object is:
that of the source, its module if the tools are functions, or a tuple if there are several sources.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from toolmaster.errors import InputError
from toolmaster.runs import read_written
from toolmaster.tasksets.answers import as_answer, same_answer
from toolmaster.tasksets.end_state import differences
from toolmaster.tasksets.task import Check, Isolation, Task, as_score, isolation_of
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools import ToolRefusal, ToolSet
from toolmaster.tools.host import HostState, Subject
from toolmaster.tools.merging import merge
from toolmaster.tools.python import find_object
from toolmaster.tools.running import as_text, describe_error, run_tool
from toolmaster.tools.sources import open_source, parse_sources, python_tools
from toolmaster.types import Record, Score, ToolCall, Trajectory

SHOWN_CHARS = 200
"""The most characters of a result in the reason of a score."""


def _as_label(value: object) -> object:
    plain = isinstance(value, str | bool | int | float)
    return as_answer(value) if plain else value


class Read(ToolCall):
    """A call made at the end of a task."""

    returned: str
    """The text that it must return."""


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
    reads: list[Read] = Field(default_factory=list)
    """Calls that show the end state, for tools whose object no path leads into."""
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
        tools: one line per source, see `tools.sources`. Each rollout gets a fork of the host of
            the Python sources; a class or a function without parameters is called anew in it.

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
        if row.check:
            row.check = _found(row.check, file.parent, make.host, where)
        tasks[task_id] = task_of(row, task_id, make)
    if not tasks:
        raise InputError(
            f"{file} holds no tasks; a line is a JSON object with"
            f" {', '.join(Row.model_fields)}, of which only query is needed"
        )
    version = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    return Taskset(file.stem, tasks.values(), version=version, resources=make.open)


def task_of(row: Row, task_id: str, make: OwnTools) -> Task:
    """Return the task of a row."""
    return Task(
        id=task_id,
        query=row.query,
        tools=make,
        answer=row.answer,
        check=_check(row, make) if row.state or row.reads or row.check else None,
        calls=[row.calls] if row.calls else None,
        labels=row.labels,
    )


def _found(check: str, folder: Path, host: HostState | None, where: str) -> str:
    """Return the place of a check, `path/file.py:NAME` or `package.module:NAME`.

    Raises:
        InputError: there is no such function.
    """
    place = str(folder / check) if check.partition(":")[0].endswith(".py") else check
    try:
        found = host.tell({"find": place}) if host else callable(find_object(place))
    except InputError as error:
        raise InputError(f"{where}: check: {error}") from None
    if not found:
        raise InputError(f"{where}: check: {check} is not a function")
    return place


def _check(row: Row, make: OwnTools) -> Check:
    """Return the check of a row, which runs where the object of the tools is."""

    async def check(trajectory: Trajectory, made: Any) -> Score:
        misread = None
        subjects: Sequence[Subject] = made if isinstance(made, tuple) else (made,)
        if row.reads:  # they run here, where the tools of every source are
            tools = made if isinstance(made, ToolSet) else make.over(subjects[0].state)
            misread = [why for read in row.reads if (why := await _differs(read, tools))]
        given = row.model_dump(mode="json"), trajectory.model_dump(mode="json"), misread
        if isinstance(made, ToolSet):  # no source in Python
            return Score.model_validate(await score(made, *given))
        indexes = [subject.index for subject in subjects]
        try:
            found = await subjects[0].state.apply(f"{__name__}:score", indexes, *given)
        except ToolRefusal as error:  # the error of a check, with its own name
            kind, _, text = str(error).partition(": ")
            raise type(kind, (Exception,), {})(text) from None
        return Score.model_validate(found)

    return check


async def _differs(read: Read, tools: ToolSet) -> str:
    """Return what a call returns where it is not what it must return; "" where it is."""
    try:
        returned = as_text(await run_tool(tools[read.name], tools.state, read.arguments))
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is not what was expected
        returned = describe_error(error)
    return "" if returned == read.returned else f"{read.name} returns {returned[:SHOWN_CHARS]}"


async def score(
    made: Any, row: dict[str, Any], trajectory: dict[str, Any], misread: list[str] | None = None
) -> dict[str, Any]:
    """Return the score of a trajectory by all that a row asks, as JSON values.

    It is right if all are; its value is the lowest of theirs.

    Args:
        made: the object of the tools.
        row: a `Row` as JSON values.
        trajectory: a `Trajectory` as JSON values.
        misread: what the reads of the row returned that they must not; None if it has none.
    """
    asked, played = Row.model_validate(row), Trajectory.model_validate(trajectory)
    scores: dict[str, Score] = {}
    if asked.answer is not None:
        right = same_answer(played.answer, asked.answer)
        scores["answer"] = Score.of(right, f"the answer {as_answer(asked.answer)!r}")
    if asked.state:
        wrong = differences(made, asked.state)
        ends = ", ".join(f"{path} = {as_answer(value)}" for path, value in asked.state.items())
        ended = Score.of(not wrong, f"at the end {ends}")
        scores["state"] = ended.model_copy(update={"reason": "; ".join(wrong)})
    if misread is not None:
        read = Score.of(
            not misread,
            "; ".join(f"{r.name} returns {r.returned[:SHOWN_CHARS]}" for r in asked.reads),
        )
        scores["reads"] = read.model_copy(update={"reason": "; ".join(misread)})
    if asked.check:
        checked = find_object(asked.check)(played, made)
        scores["check"] = as_score(await checked if inspect.isawaitable(checked) else checked)
    parts = {name: one.value for name, one in scores.items()}
    for one in scores.values():
        parts |= one.parts
    return Score(
        value=min(one.value for one in scores.values()),
        success=all(one.success for one in scores.values()),
        parts=parts,
        expected="; ".join(one.expected for one in scores.values() if one.expected),
        reason="; ".join(one.reason for one in scores.values() if one.reason),
    ).model_dump(mode="json")


class OwnTools:
    """Makes the tools of each rollout from tool sources, for `Task.tools`.

    Python sources are loaded once, in one host, and each rollout gets a fork of it, in which a
    class or factory is called anew. MCP servers and HTTP services are opened once by `open`, and
    shared.

    Args:
        specs: one line per source, see `tools.sources`.

    Attributes:
        isolation: how the rollouts are kept apart, see `Task.isolation`.
        host: the state of the Python sources; None if there are none.

    Raises:
        ConfigError: there is no source, or a source cannot be recognised.
        InputError: a Python source is missing, fails on import or has no tools.
    """

    def __init__(self, specs: Sequence[str]) -> None:
        self._sources = parse_sources(specs)
        python = python_tools(self._sources)
        self.host: HostState | None = python[0].state if python else None
        made_anew = []
        if self.host is not None:
            made_anew = [loaded["fresh"] for loaded in self.host.loaded]
            self.host.tell({"find": f"{__name__}:score"})  # imported before any fork
        loaded = iter(python)
        self._tools: list[ToolSet | None] = [
            next(loaded) if source.kind == "python" else None for source in self._sources
        ]
        """The tools of each source; None if it is not open."""
        self._made_anew = any(made_anew)
        self._forkable = all(tools.copy_state is not None for tools in python)
        kinds = {
            Isolation.FRESH if anew else isolation_of(tools)
            for tools, anew in zip(python, made_anew, strict=True)
        }
        if None in self._tools:
            kinds.add(Isolation.SHARED)
        weakest_first = Isolation.SHARED, Isolation.FORKED, Isolation.READ_ONLY, Isolation.FRESH
        self.isolation = next(kind for kind in weakest_first if kind in kinds)

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
            InputError: a server or service is not open, or an object cannot be made.
        """
        state = None  # that of all rollouts
        if self.host is not None and self._forkable:
            state = self.host.fresh()
        elif self.host is not None and self._made_anew:
            state = self.host.reloaded()
        return self.over(state)

    def over(self, state: HostState | None) -> ToolSet:
        """Return the tools over a state of the host; None for the one that all rollouts share.

        Raises:
            InputError: a server or service is not open.
        """
        parts = []
        for source, tools in zip(self._sources, self._tools, strict=True):
            if tools is None:
                raise InputError(
                    f"{source.place} is not open; run these tasks inside `tasks.open()`"
                )
            mine = source.kind == "python" and state is not None
            parts.append((source.label, replace(tools, state=state) if mine else tools))
        return merge(parts)
