"""FTRL: questions over local tools, with the sub-answer that each needed tool has to give.

Source: Ye et al., "Feedback-Driven Tool-Use Improvements", arXiv 2508.08791; its test file (200
rows) as `.parquet`, `.json` or `.jsonl`. Official metric, from `Code/evaluation/evaluation_self.py`
of github.com/bytedance/FTRL: a call solves at most one open sub-answer of its tool, by containing
it in the observation; Solve-P is solved per call (1 without calls), Solve-R solved per sub-answer,
Solve-F1 their harmonic form. Calls of the trial count too, as that harness knows no phases. Strict:
everything is solved by calls without error and the answer is the gold answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import BaseModel, Field, Json

from toolmaster.benchmarks.answers import contains, exact
from toolmaster.benchmarks.base import Benchmark, Case, Source, Suite, Values
from toolmaster.benchmarks.rows import RowError, read_cases
from toolmaster.benchmarks.sources import (
    Schema,
    SourceOptions,
    facts,
    open_sandbox,
    source_tool,
)
from toolmaster.limits import Limits
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.sandbox import Sandbox
from toolmaster.types import Score, Step, Trajectory

LIMITS = Limits(max_turns=27, result_chars=8000)
"""The 20 turns of the original, and on top a trial of 6 calls and its experience."""


class Message(BaseModel):
    """A message before the first turn."""

    role: str
    content: str


class Function(BaseModel):
    """A tool in OpenAI's form."""

    function: Schema


class Row(BaseModel):
    """A row of the file, as far as it is used; the nested fields are JSON text in the original."""

    messages: list[Message]
    tools: Json[list[Function]] | list[Function]
    codes: Json[dict[str, str]] | dict[str, str]
    """Tool name to its Python source."""
    unsolved_set: Json[dict[str, list[str]]] | dict[str, list[str]]
    """Tool name to the sub-answers it has to give."""
    answer: str = Field(min_length=1)
    data_source: str = "other"


@asynccontextmanager
async def open_suite(source: Source) -> AsyncIterator[Suite]:
    """Open the file; its functions run in the sandbox."""
    async with open_sandbox(source) as sandbox:
        suite = read_cases(source.path, Row, lambda index, row: make_case(index, row, sandbox))
        yield replace(suite, facts=facts(sandbox))


def make_case(index: int, row: Row, sandbox: Sandbox) -> Case:
    """A row as a case.

    Args:
        index: of the row in its file; it is the row's only name.
        row: the row.
        sandbox: runs its functions.

    Raises:
        RowError: not one user message, no sub-answers, a needed tool without schema or source.
    """
    if [message.role for message in row.messages] != ["user"]:
        raise RowError("messages", "expected one message of the user")
    golds = {name: answers for name, answers in row.unsolved_set.items() if answers}
    if not golds:
        raise RowError("unsolved_set", "no sub-answers to find")
    tools = ToolSet(tuple(_tool(item.function, row, sandbox) for item in row.tools))
    for name in golds.keys() - set(tools.names()):
        raise RowError(f"unsolved_set.{name}", "no such tool in tools")

    def check(answer: str | None, _: ToolSet) -> Score:
        right = contains(answer, row.answer)
        return Score(success=right, answer_correct=right, state_correct=True)

    def measure(trajectory: Trajectory) -> Values:
        right = exact(trajectory.answer, row.answer)
        return {
            **solve(trajectory, golds),
            "answer_contains": float(contains(trajectory.answer, row.answer)),
            "strict": float(right and _open(_succeeded(trajectory), golds) == 0),
        }

    task = Task(
        id=f"ftrl/{index}",
        query=row.messages[0].content,
        tools=lambda: tools,
        check=check,
        labels={"split": "unseen", "family": row.data_source.removeprefix("self/")},
    )
    return Case(task, measure, needed=tuple(golds), answer=row.answer)


def solve(trajectory: Trajectory, golds: Mapping[str, list[str]]) -> dict[str, float]:
    """Solve-P, Solve-R and Solve-F1 of one trajectory, as the original computes them.

    Args:
        trajectory: any; every well-formed call counts, failed ones with their error text.
        golds: tool name to the sub-answers it has to give.
    """
    calls = trajectory.calls()
    total = sum(len(answers) for answers in golds.values())
    solved = total - _open(calls, golds)
    return {
        "solve_p": solved / len(calls) if calls else 1.0,
        "solve_r": solved / total,
        "solve_f1": 2 * solved / (len(calls) + total),
    }


def _open(calls: Iterable[Step], golds: Mapping[str, Sequence[str]]) -> int:
    """How many sub-answers the calls leave unsolved."""
    remaining = {name: list(answers) for name, answers in golds.items()}
    for step in calls:
        answers = remaining.get(step.call.name, []) if step.call else []
        found = next((gold for gold in answers if contains(step.observation, gold)), None)
        if found is not None:
            answers.remove(found)
    return sum(len(answers) for answers in remaining.values())


def _succeeded(trajectory: Trajectory) -> list[Step]:
    return [step for step in trajectory.calls() if step.error is None]


def _tool(schema: Schema, row: Row, sandbox: Sandbox) -> Tool:
    if schema.name not in row.codes:
        raise RowError(f"codes.{schema.name}", "no source for this tool")
    return source_tool(sandbox, schema, row.codes[schema.name])


benchmark = Benchmark("ftrl", open_suite, LIMITS, SourceOptions)
