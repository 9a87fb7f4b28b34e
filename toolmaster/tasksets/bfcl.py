"""BFCL, the Berkeley Function Calling Leaderboard: multi-turn and single-turn tasks.

    bfcl, bfcl:multi_turn       800 conversations over eight stateful Python classes
    bfcl:multi_turn_base, ...   one of their categories
    bfcl:single_turn            1,240 questions: the right calls of functions that are not run
    bfcl:live                   2,251 more of them, sent in by users
    bfcl:simple_python, ...     one category of these

Source: Patil et al., the Berkeley Function Calling Leaderboard. Cases, classes, right calls and
checkers come from its package: `pip install --no-deps bfcl-eval mpmath`. `value` and `success` are
its accuracy. Java, JavaScript, memory, web search and format sensitivity are left out.

The functions of single-turn tasks do not exist. Upstream's models write all calls in one reply;
here each call of the execution phase is acknowledged, and the answer ends the task. All calls of
that phase count, and calls of the trial do not. A trial only shows the acknowledgement, so there is
nothing to learn from it: the trajectory format `direct` fits these tasks best. Names of functions
have underscores for dots, as upstream gives them to most endpoints. In four rows of the package the
expected calls break its own rule, so that no calls are right, as upstream.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.errors import ConfigError, InputError, did_you_mean
from toolmaster.limits import Limits
from toolmaster.runs import read_written
from toolmaster.tasksets import bfcl_multi_turn
from toolmaster.tasksets.benchmark import RowError, Rows, read_rows
from toolmaster.tasksets.bfcl_match import Answer, checker, wrong_calls
from toolmaster.tasksets.bfcl_package import Function, data_folder, tool_name
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools import ToolSet
from toolmaster.types import Message, Phase, Score, ToolCall, Trajectory

GROUPS = {
    "multi_turn": bfcl_multi_turn.CATEGORIES,
    "single_turn": ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    "live": (
        "live_simple",
        "live_multiple",
        "live_parallel",
        "live_parallel_multiple",
        "live_irrelevance",
        "live_relevance",
    ),
}
CATEGORIES = [name for names in GROUPS.values() for name in names]
WITHOUT_ANSWERS = ("irrelevance", "live_irrelevance", "live_relevance")
"""Categories in which making no call, or any call, is right."""
LIMITS = Limits(max_turns=20)
"""Turns for up to 8 calls of a task, a trial of 6 calls and its experience."""
ACKNOWLEDGED = "The call was taken. This function is not run, so there is no result."


class Row(BaseModel):
    """The fields of a row that are used."""

    id: str
    question: list[list[Message]] = Field(min_length=1, max_length=1)
    function: list[Function]


class RightCalls(BaseModel):
    """The right calls of one case."""

    id: str
    ground_truth: list[Any]


def bfcl(category: str = "multi_turn") -> Taskset:
    """BFCL: conversations, or one category such as `simple_python`, judged by the calls.

    Args:
        category: a category of the module's docstring; or a file in the package's form, named after
            its category, with the right calls under the same name in a folder `possible_answer`.

    Raises:
        ConfigError: there is no such category.
        InputError: the package is not installed, or a file cannot be used.
    """
    folder, package_version = data_folder(), version("bfcl-eval")
    facts = {"bfcl-eval": package_version}
    if category.endswith(".json"):
        rows = _read(Path(category))
    else:
        known = [*GROUPS, *CATEGORIES]
        if category not in known:
            hint = did_you_mean(category, known)
            raise ConfigError(
                f"bfcl has no category {category!r}{hint}; it has: {', '.join(known)}"
            )
        first, *more = GROUPS.get(category, (category,))
        rows = _read(folder / f"BFCL_v4_{first}.json")
        for name in more:
            rows.extend(_read(folder / f"BFCL_v4_{name}.json"))
        rows.version = package_version
    limits = bfcl_multi_turn.LIMITS
    if _category(rows.place) not in bfcl_multi_turn.CATEGORIES:
        limits = LIMITS
        facts["functions"] = "acknowledged, not run; a trial of them tells nothing"
    return rows.taskset(f"bfcl:{Path(category).stem}", limits=limits, facts=facts)


def _category(file: Path) -> str:
    name = file.stem.removeprefix("BFCL_v4_")
    if name not in CATEGORIES:
        allowed = ", ".join(CATEGORIES)
        raise InputError(f"{file}: its name must be BFCL_v4_CATEGORY.json, with one of {allowed}")
    return name


def _read(file: Path) -> Rows:
    """Read the tasks of a file."""
    category = _category(file)
    answers: dict[str, list[Any]] = {}
    if category not in WITHOUT_ANSWERS:
        right = read_written(file.parent / "possible_answer" / file.name, RightCalls)
        answers = {line.id: line.ground_truth for _, line in right}
    if category in bfcl_multi_turn.CATEGORIES:
        make = bfcl_multi_turn.make_task
        return read_rows(
            file, bfcl_multi_turn.Row, lambda _, row: make(row, category, answers.get(row.id, []))
        )
    return read_rows(file, Row, lambda _, row: make_task(row, category, answers.get(row.id, [])))


def make_task(row: Row, category: str, right: Sequence[Mapping[str, Answer]]) -> Task:
    """Return the single-turn task of a row.

    The right calls map function names to the right values of each parameter.

    Raises:
        RowError: the row or the right calls cannot be used.
    """
    functions = {function.name: function for function in row.function}
    for function in row.function:
        _check_types(function)
    if not right and category not in WITHOUT_ANSWERS:
        raise RowError("id", "there are no right calls of this id")
    expected = [call for calls in right for call in calls.items()]
    for name, _ in expected:
        if name not in functions:
            raise RowError("ground_truth", f"no function {name!r} in the row")
    calls = [known_good(functions[name], answer) for name, answer in expected]
    wanted = "; ".join(json.dumps(call.model_dump(), ensure_ascii=False) for call in calls)
    if category in WITHOUT_ANSWERS:
        wanted = "any call" if category == "live_relevance" else "no call"

    def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        made = [step.call for step in trajectory.calls(Phase.EXECUTION) if step.call is not None]
        if category in WITHOUT_ANSWERS:
            fits = bool(made) == (category == "live_relevance")
            score = Score.of(fits, wanted)
            reason = "" if fits else f"calls made: {len(made)}"
        else:
            reason, found = wrong_calls(made, functions, expected)
            score = Score.of(not reason, wanted, right_calls=found / len(expected))
        return score.model_copy(update={"reason": reason})

    solvable = category != "live_relevance" and not wrong_calls(calls, functions, expected)[0]
    tools = tuple(function.tool(lambda *_: ACKNOWLEDGED) for function in row.function)
    messages = row.question[0]
    several = "\n\n".join(f"{message.role}: {message.content}" for message in messages)
    return Task(
        id=f"bfcl/{row.id}",
        query=messages[0].content if len(messages) == 1 else several,
        tools=lambda: ToolSet(tools, None, copy.copy),
        check=check,
        calls=[calls] if solvable else None,
        needed=tuple(dict.fromkeys(call.name for call in calls)),
        labels={"family": category},
    )


def _check_types(function: Function) -> None:
    for parameter, schema in function.parameters.properties.items():
        for kind in (schema.get("type"), schema.get("items", {}).get("type", "any")):
            if kind not in checker().PYTHON_TYPE_MAPPING:
                place = f"function.{function.name}.{parameter}"
                raise RowError(place, f"unknown type {kind!r}")


def known_good(function: Function, answer: Answer) -> ToolCall:
    """Return the call with the first right value of each parameter that may not be left out."""
    arguments = {}
    for parameter, values in answer.items():
        may_miss = parameter not in function.parameters.required
        first = next((value for value in values if may_miss or value != ""), "")
        if not may_miss or (first != "" and parameter in function.parameters.properties):
            arguments[parameter] = _first_right(first)
    return ToolCall(name=tool_name(function.name), arguments=arguments)


def _first_right(value: Any) -> Any:
    """Return a right value as an argument: a dictionary gets the first right value of each key."""
    if isinstance(value, list):
        return [_first_right(item) if isinstance(item, dict) else item for item in value]
    if not isinstance(value, dict):
        return value
    return {key: values[0] for key, values in value.items() if values[0] != ""}
