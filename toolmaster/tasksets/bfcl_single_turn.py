"""BFCL's single-turn tasks: the right calls for one message, or none.

The functions do not exist. Upstream's models write all calls in one reply; here each call of the
execution phase is acknowledged, and the answer ends the task. All calls of that phase count, those
of the trial do not: a trial of such a function shows the acknowledgement and nothing else, so that
there is nothing to learn from it, and the trajectory format `direct` fits these tasks best. The
names of the functions have underscores for dots, as upstream gives them to most endpoints. In four
rows of the package the expected calls break its own rule: nothing is right there, as upstream.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.limits import Limits
from toolmaster.tasksets.bfcl_match import OPTIONAL, TYPES, Answer, tool_name, wrong_calls
from toolmaster.tasksets.rows import RowError
from toolmaster.tasksets.task import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Phase, Score, ToolCall, Trajectory

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance")
LIVE = (
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
"""Categories of questions that users of the leaderboard sent in."""
LIMITS = Limits(max_turns=20)
"""A task needs up to 8 calls; a trial of 6 calls and its experience come on top."""
ACKNOWLEDGED = "The call was taken. This function is not run, so there is no result."


class Message(BaseModel):
    """A message before the first turn."""

    role: str
    content: str


class Parameters(BaseModel):
    """What a function takes, in BFCL's own schema."""

    properties: dict[str, dict[str, Any]]
    required: list[str] = Field(default_factory=list)


class Function(BaseModel):
    """A function as the package documents it."""

    name: str
    description: str = ""
    parameters: Parameters


class Row(BaseModel):
    """A row of a file, as far as it is used."""

    id: str
    question: list[list[Message]] = Field(min_length=1, max_length=1)
    function: list[Function]


def make_task(row: Row, category: str, ground_truth: list[dict[str, Answer]] | None) -> Task:
    """Make a task of a row.

    Args:
        row: the row.
        category: one of `CATEGORIES` or `LIVE`.
        ground_truth: the expected calls, each a function name with its right values; None for a
            category without: no call is right, or in `relevance` any call.

    Raises:
        RowError: a type or a function that is not known.
    """
    parameters = {function.name: function.parameters.model_dump() for function in row.function}
    for name, schema in parameters.items():
        _check_types(name, schema)
    expected = [call for calls in ground_truth or [] for call in calls.items()]
    for name, _ in expected:
        if name not in parameters:
            raise RowError("ground_truth", f"no function {name!r} in the row")
    calls = [known_good(name, parameters[name], answer) for name, answer in expected]
    solvable = not wrong_calls(calls, parameters, expected)[0] and category != "live_relevance"
    wanted = "any call" if category == "live_relevance" else "no call"
    if ground_truth is not None:
        wanted = "; ".join(json.dumps(call.model_dump(), ensure_ascii=False) for call in calls)

    def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        made = [step.call for step in trajectory.calls(Phase.EXECUTION) if step.call is not None]
        if ground_truth is None:
            right = bool(made) == (wanted == "any call")
            reason = "" if right else f"calls made: {len(made)}"
            return Score.of(right, wanted).model_copy(update={"reason": reason})
        reason, found = wrong_calls(made, parameters, expected)
        score = Score.of(not reason, wanted, right_calls=found / len(expected))
        return score.model_copy(update={"reason": reason})

    tools = tuple(_tool(function) for function in row.function)
    return Task(
        id=f"bfcl/{row.id}",
        query=_text(row.question[0]),
        tools=lambda: ToolSet(tools, None, copy.copy),
        check=check,
        calls=[calls] if solvable else None,
        needed=tuple(dict.fromkeys(call.name for call in calls)),
        labels={"family": category},
    )


def known_good(name: str, parameters: Mapping[str, Any], answer: Answer) -> ToolCall:
    """The call with the first right value of each parameter; one that may be left out then is."""
    arguments = {}
    for parameter, values in answer.items():
        first = next(iter(values), OPTIONAL)
        if first == OPTIONAL and parameter in parameters["required"]:
            first = next((value for value in values if value != OPTIONAL), OPTIONAL)
            arguments[parameter] = _plain(first)
        elif first != OPTIONAL and parameter in parameters["properties"]:
            arguments[parameter] = _plain(first)
    return ToolCall(name=tool_name(name), arguments=arguments)


def _plain(value: Any) -> Any:
    """A right value as an argument: a dictionary there has the right values of each key."""
    if isinstance(value, list):
        return [_plain(item) if isinstance(item, dict) else item for item in value]
    if not isinstance(value, dict):
        return value
    return {key: values[0] for key, values in value.items() if values[0] != OPTIONAL}


def _text(messages: Sequence[Message]) -> str:
    """The message of the user, with who said what where there are several."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)


def _check_types(name: str, parameters: Mapping[str, Any]) -> None:
    for parameter, schema in parameters["properties"].items():
        for kind in (schema.get("type"), schema.get("items", {}).get("type", "any")):
            if kind not in TYPES:
                raise RowError(f"function.{name}.{parameter}", f"unknown type {kind!r}")


def _tool(function: Function) -> Tool:
    return Tool(
        tool_name(function.name),
        function.description,
        json_schema({"type": "dict", **function.parameters.model_dump()}),
        lambda _state, _arguments: ACKNOWLEDGED,
        validated=False,
    )


def json_schema(schema: Any) -> Any:
    """A schema in BFCL's own type names as a JSON schema."""
    if not isinstance(schema, Mapping):
        return schema
    types = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
    made = dict(schema)
    if isinstance(made.get("type"), str):
        made["type"] = types.get(made["type"], made["type"])
    if isinstance(made.get("properties"), Mapping):
        made["properties"] = {key: json_schema(one) for key, one in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in made:
            made[key] = json_schema(made[key])
    return made
