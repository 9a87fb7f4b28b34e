"""Tasks for a teacher over given tools; a task need not have a known answer."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.runs import read_lines
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect, Record, ToolCall, TrialMode


class Wanted(Record):
    """What is to be done, as a line of a task file says it."""

    query: str = Field(min_length=1)
    """What the user asks."""
    answer: str | None = None
    """The right answer; None where none is known, and then nothing scores the outcome."""
    id: str = ""
    """Unique; "" for one made of the line's number."""


def read_tasks(file: Path) -> list[Wanted]:
    """The tasks of a JSON-lines file: `{"query": ..., "answer": ..., "id": ...}` on each line.

    Raises:
        InputError: no such file, an empty one, a line that is no task, or an id used twice.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    tasks: dict[str, Wanted] = {}
    for number, line in enumerate(read_lines(file), 1):
        try:
            task = Wanted.model_validate(line)
        except ValidationError as error:
            where, problem = first_problem(error)
            raise InputError(
                f'{file}, line {number}: {where}: {problem}; a task is {{"query": text, "answer":'
                ' text or null, "id": text}, and only the query is needed'
            ) from None
        task = task.model_copy(update={"id": task.id or f"{file.stem}/{number}"})
        if task.id in tasks:
            raise InputError(f"{file}, line {number}: the id {task.id!r} is used twice")
        tasks[task.id] = task
    if not tasks:
        raise InputError(f"{file} holds no tasks")
    return list(tasks.values())


def task_of(wanted: Wanted, tools: ToolSet) -> Task:
    """A task over these tools; each session has a state of its own where it can be copied."""
    return Task(wanted.id, wanted.query, tools, wanted.answer)


class ReadsOnly:
    """A guard for many sessions that nobody watches: what may change something real is refused.

    Args:
        tools: those of the sessions; what is done to a session's own copy of a state is free.
    """

    def __init__(self, tools: ToolSet) -> None:
        self._tools = tools

    async def permit(self, tool: Tool, call: ToolCall) -> str | None:  # noqa: ARG002 - a guard's form
        """None for a call that reads, or that acts on a copy; otherwise why it was not run."""
        return self.outlook(tool) or None

    def denies(self, tool: Tool) -> None:
        """Deny nothing on a copy."""

    def outlook(self, tool: Tool) -> str:
        """Why a call of this tool is not run; "" where it is."""
        copied = self._tools.trial_mode(tool.name) is TrialMode.FORK
        if tool.effect is Effect.READ or copied:
            return ""
        return f"not permitted: {tool.name} may change something real, and only reading is allowed"
