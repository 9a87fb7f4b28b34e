"""FTRL: questions over local tools, with the sub-answers that each needed tool must give.

Source: Ye et al., "Feedback-Driven Tool-Use Improvements", arXiv 2508.08791; its test file (200
rows) as `.parquet`, `.json` or `.jsonl`. Official metric, from `Code/evaluation/evaluation_self.py`
of github.com/bytedance/FTRL: a call solves at most one open sub-answer of its tool, if its
observation contains it. Solve-P is the number of solved sub-answers per call (1 without calls),
Solve-R the number per sub-answer, Solve-F1 their harmonic mean. Calls of the trial count too,
because upstream has no phases.

`value` is Solve-F1; `success` says whether the answer contains the gold answer. Parts: `solve_p`,
`solve_r`, `solve_f1`, `answer_contains`, and `strict` (calls without error solve all sub-answers,
and the answer equals the gold answer).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field, Json

from toolmaster.limits import Limits
from toolmaster.tasksets.answers import same_answer
from toolmaster.tasksets.benchmark import RowError, read_rows
from toolmaster.tasksets.source_tools import LevelName, Schema, SourceTools, contains
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools import ToolSet
from toolmaster.types import Message, Score, Step, Trajectory

LIMITS = Limits(max_turns=27, result_chars=8000)
"""The 20 turns of upstream, and a trial of 6 calls with its experience."""


class Function(BaseModel):
    """A tool in OpenAI's form."""

    function: Schema


class Row(BaseModel):
    """The fields of a row that are used; nested ones are JSON text in the original file."""

    messages: list[Message]
    tools: Json[list[Function]] | list[Function]
    codes: Json[dict[str, str]] | dict[str, str]
    """Maps tool names to Python sources."""
    unsolved_set: Json[dict[str, list[str]]] | dict[str, list[str]]
    """Maps tool names to the sub-answers that the tools must give."""
    answer: str = Field(min_length=1)
    data_source: str = "other"


def ftrl(file: Path, *, isolation: LevelName = "confined") -> Taskset:
    """Return the task set of FTRL: questions over local tools, scored by sub-answers.

    Args:
        file: the original test file, such as `ftrl_test.parquet`.
        isolation: the least isolation in which the tools' source may run.

    Raises:
        InputError: the file cannot be used.
    """
    tools = SourceTools(isolation)
    rows = read_rows(file, Row, lambda index, row: _task(index, row, tools))
    return rows.taskset("ftrl", limits=LIMITS, **tools.options)


def _task(index: int, row: Row, source_tools: SourceTools) -> Task:
    if [message.role for message in row.messages] != ["user"]:
        raise RowError("messages", "expected one message of the user")
    golds = {name: answers for name, answers in row.unsolved_set.items() if answers}
    if not golds:
        raise RowError("unsolved_set", "no sub-answers to find")
    schemas = [item.function for item in row.tools]
    for schema in schemas:
        if schema.name not in row.codes:
            raise RowError(f"codes.{schema.name}", "no source for this tool")
    tools = ToolSet(tuple(source_tools.tool(s, row.codes[s.name]) for s in schemas))
    for name in golds.keys() - set(tools.names()):
        raise RowError(f"unsolved_set.{name}", "no such tool in tools")

    def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        solved = solve(trajectory, golds)
        right = contains(trajectory.answer, row.answer)
        exact = same_answer(trajectory.answer, row.answer)
        succeeded = [step for step in trajectory.calls() if step.error is None]
        return Score.of(
            right,
            f"an answer that contains {row.answer!r}",
            solved["solve_f1"],
            **solved,
            answer_contains=right,
            strict=exact and _unsolved(succeeded, golds) == 0,
        )

    return Task(
        id=f"ftrl/{index}",
        query=row.messages[0].content,
        tools=tools,
        answer=row.answer,
        check=check,
        needed=tuple(golds),
        labels={"family": row.data_source.removeprefix("self/")},
    )


def solve(trajectory: Trajectory, golds: Mapping[str, list[str]]) -> dict[str, float]:
    """Return Solve-P, Solve-R and Solve-F1 of one trajectory, as upstream computes them.

    Every well-formed call counts; the observation of a failed one is its error text. `golds` maps
    tool names to the sub-answers that the tools must give.
    """
    calls = trajectory.calls()
    total = sum(len(answers) for answers in golds.values())
    solved = total - _unsolved(calls, golds)
    return {
        "solve_p": solved / len(calls) if calls else 1.0,
        "solve_r": solved / total,
        "solve_f1": 2 * solved / (len(calls) + total),
    }


def _unsolved(calls: Iterable[Step], golds: Mapping[str, Sequence[str]]) -> int:
    """Return the number of sub-answers that the calls do not solve."""
    remaining = {name: list(answers) for name, answers in golds.items()}
    for step in calls:
        answers = remaining.get(step.call.name, []) if step.call else []
        solved = next((gold for gold in answers if contains(step.observation, gold)), None)
        if solved is not None:
            answers.remove(solved)
    return sum(len(answers) for answers in remaining.values())
