"""ToolHop: multi-hop questions, each with its own tools as untrusted Python source.

Source: Ye et al., "ToolHop", arXiv 2501.02506; the file `ToolHop.json` (995 rows). Official
metric, and `success` here: the answer contains the gold answer. Parts: `answer_contains` (that
metric), `answer_exact` (it equals the gold answer), `steps_solved` (fraction of sub-questions whose
answer is in an observation of their tool), and `strict` (the exact answer with all steps solved).

Schemas and functions of a row are matched by name; a second tool of the same name is NAME_2.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, Field

from toolmaster.limits import Limits
from toolmaster.tasksets.answers import same_answer
from toolmaster.tasksets.benchmark import RowError, parse_python, read_rows
from toolmaster.tasksets.source_tools import LevelName, Schema, SourceTools, contains
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Score, Trajectory

_FORM = (
    "Use the tools; do not answer from memory. Answer in as few words as possible: a date as"
    " YYYY-MM-DD, a name as first name and last name, a number in digits."
)
LIMITS = Limits(max_turns=16, result_chars=8000)
"""The 9 turns of upstream, and a trial of 6 calls with its experience."""


class Row(BaseModel):
    """The fields of a row that are used."""

    id: int | str
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    sub_task: dict[str, str]
    """Maps sub-questions to answers."""
    tools: dict[str, Schema] = Field(min_length=1)
    """Maps the sub-questions of `sub_task` to the tools that answer them."""
    functions: list[str] | dict[str, str]
    """Python sources; by tool name in some copies of the file."""


def toolhop(file: Path, *, isolation: LevelName = "confined") -> Taskset:
    """Return the task set of ToolHop: multi-hop questions over tools given as Python source.

    Args:
        file: the original file, such as `ToolHop.json`.
        isolation: the least isolation in which the tools' source may run.

    Raises:
        InputError: the file cannot be used.
    """
    tools = SourceTools(isolation)
    rows = read_rows(file, Row, lambda _, row: _task(row, tools))
    return rows.taskset("toolhop", limits=LIMITS, **tools.options)


def _task(row: Row, source_tools: SourceTools) -> Task:
    for question in row.tools.keys() - row.sub_task.keys():
        raise RowError(f"tools.{question}", "no such question in sub_task")
    tools = _tools(row, source_tools)
    golds = {
        tool.name: row.sub_task[question] for tool, question in zip(tools, row.tools, strict=True)
    }

    def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        right = contains(trajectory.answer, row.answer)
        exact = same_answer(trajectory.answer, row.answer)
        found = {
            step.call.name
            for step in trajectory.calls()
            if step.call is not None and step.error is None and step.call.name in golds
            if contains(step.observation, golds[step.call.name])
        }
        solved = len(found) / len(golds)
        return Score.of(
            right,
            f"an answer that contains {row.answer!r}",
            answer_contains=right,
            answer_exact=exact,
            steps_solved=solved,
            strict=exact and solved == 1.0,
        )

    return Task(
        id=f"toolhop/{row.id}",
        query=f"{row.question}\n{_FORM}",
        tools=ToolSet(tools),
        answer=row.answer,
        check=check,
        needed=tuple(golds),
        labels={"family": f"{len(tools)} tools"},
    )


def _tools(row: Row, source_tools: SourceTools) -> tuple[Tool, ...]:
    """Return the tools of a row in the order of its sub-questions."""
    texts = row.functions if isinstance(row.functions, list) else list(row.functions.values())
    sources = [(source, _signatures(source, i)) for i, source in enumerate(texts)]
    used: Counter[str] = Counter()
    tools = []
    for question, schema in row.tools.items():
        known = set(schema.parameters.get("properties", {}))
        named = {text: s[schema.name] ^ known for text, s in sources if schema.name in s}
        if not named:
            raise RowError(f"tools.{question}", f"no function is called {schema.name!r}")
        source = min(named, key=lambda text: len(named[text]))  # most similar parameters
        used[schema.name] += 1
        name = schema.name if used[schema.name] == 1 else f"{schema.name}_{used[schema.name]}"
        tools.append(source_tools.tool(schema, source, name))
    return tuple(tools)


def _signatures(source: str, index: int) -> dict[str, set[str]]:
    """Return the functions of a source, with the names of their parameters."""
    try:
        body = parse_python(source)
    except ValueError as error:
        raise RowError(f"functions.{index}", f"not Python: {error}") from None
    return {
        node.name: {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
        for node in body
        if isinstance(node, ast.FunctionDef)
    }
