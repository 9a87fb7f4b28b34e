"""ToolHop: multi-hop questions, each with its own tools as Python source that nobody trusts.

Source: Ye et al., "ToolHop", arXiv 2501.02506; the file `ToolHop.json` (995 rows). Official
metric: the answer contains the gold answer. Strict: it is the gold answer, and every sub-question
was answered by an observation of its tool. A row's schemas and functions are matched by name; where
a row has two tools of one name, the second is called NAME_2.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import BaseModel, Field

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
from toolmaster.types import Score, Trajectory

_FORM = (
    "Use the tools; do not answer from memory. Answer in as few words as possible: a date as"
    " YYYY-MM-DD, a name as first name and last name, a number in digits."
)

Signatures = Mapping[str, set[str]]
"""Function name to the names of its parameters."""


LIMITS = Limits(max_turns=16, result_chars=8000)
"""The 9 turns of the original, and on top a trial of 6 calls and its experience."""


class Row(BaseModel):
    """A row of the file, as far as it is used."""

    id: int | str
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    sub_task: dict[str, str]
    """Sub-question to its answer."""
    tools: dict[str, Schema] = Field(min_length=1)
    """Sub-question, the same as in `sub_task`, to the tool that answers it."""
    functions: list[str] | dict[str, str]
    """Python sources; by tool name in some copies of the file."""


@asynccontextmanager
async def open_suite(source: Source) -> AsyncIterator[Suite]:
    """Open the file; its functions run in the sandbox."""
    async with open_sandbox(source) as sandbox:
        suite = read_cases(source.path, Row, lambda _, row: make_case(row, sandbox))
        yield replace(suite, facts=facts(sandbox))


def make_case(row: Row, sandbox: Sandbox) -> Case:
    """A row as a case.

    Raises:
        RowError: a tool without a sub-question or a function, or a function that is not Python.
    """
    for question in row.tools.keys() - row.sub_task.keys():
        raise RowError(f"tools.{question}", "no such question in sub_task")
    tools = make_tools(row, sandbox)
    golds = {
        tool.name: row.sub_task[question] for tool, question in zip(tools, row.tools, strict=True)
    }
    tool_set = ToolSet(tools)
    task = Task(
        id=f"toolhop/{row.id}",
        query=f"{row.question}\n{_FORM}",
        tools=lambda: tool_set,
        check=lambda answer, _: _score(answer, row.answer),
        labels={"split": "unseen", "family": f"{len(tools)} tools"},
    )

    def measure(trajectory: Trajectory) -> Values:
        right = exact(trajectory.answer, row.answer)
        solved = _solved(trajectory, golds)
        return {
            "answer_contains": float(contains(trajectory.answer, row.answer)),
            "answer_exact": float(right),
            "steps_solved": solved,
            "strict": float(right and solved == 1.0),
        }

    return Case(task, measure, needed=tuple(golds), answer=row.answer)


def make_tools(row: Row, sandbox: Sandbox) -> tuple[Tool, ...]:
    """The row's tools in the order of its sub-questions.

    Raises:
        RowError: see `make_case`.
    """
    texts = row.functions if isinstance(row.functions, list) else list(row.functions.values())
    sources = [(source, _signatures(source, i)) for i, source in enumerate(texts)]
    used: Counter[str] = Counter()
    tools = []
    for question, schema in row.tools.items():
        source = _source(schema, sources, f"tools.{question}")
        used[schema.name] += 1
        name = schema.name if used[schema.name] == 1 else f"{schema.name}_{used[schema.name]}"
        tools.append(source_tool(sandbox, schema, source, name))
    return tuple(tools)


def _source(schema: Schema, sources: Sequence[tuple[str, Signatures]], field: str) -> str:
    """The function of that name; of several, the one with parameters most like the schema's."""
    known = set(schema.parameters.get("properties", {}))
    named = [
        (text, known ^ defined[schema.name]) for text, defined in sources if schema.name in defined
    ]
    if not named:
        raise RowError(field, f"no function is called {schema.name!r}")
    return min(named, key=lambda item: len(item[1]))[0]


def _signatures(source: str, index: int) -> Signatures:
    """What a source defines."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise RowError(f"functions.{index}", f"not Python: {error}") from None
    return {
        node.name: {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
        for node in body
        if isinstance(node, ast.FunctionDef)
    }


def _solved(trajectory: Trajectory, golds: Mapping[str, str]) -> float:
    """The share of sub-questions whose answer an observation of its tool contains."""
    solved = {
        step.call.name
        for step in trajectory.calls()
        if step.call is not None
        and step.error is None
        and step.call.name in golds
        and contains(step.observation, golds[step.call.name])
    }
    return len(solved) / len(golds)


def _score(answer: str | None, gold: str) -> Score:
    right = contains(answer, gold)
    return Score(success=right, answer_correct=right, state_correct=True)


benchmark = Benchmark("toolhop", open_suite, LIMITS, SourceOptions)
