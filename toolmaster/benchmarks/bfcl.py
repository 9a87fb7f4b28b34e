"""BFCL multi-turn: 800 conversations over eight stateful Python classes, judged by their state.

Source: Patil et al., the Berkeley Function Calling Leaderboard; classes, cases and gold calls come
from its package: `pip install --no-deps bfcl-eval mpmath`. Official metric, by the rule of its
`multi_turn_checker`: after each message of the user every attribute equals that of instances on
which the gold calls ran, everything the gold calls of that message return was returned by some call
so far, and there was a call wherever gold has one. Strict: also no call to a message that gold
answers without one (a parameter or function is missing: the right thing is to ask).

In `miss_func` some tools come with a later message: it lists them, and they work from then on. A
tool that gold calls before it came (`tail` in miss_func_49) is there from the start. A tool that
has not come yet is unknown here, while the original would run it.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.benchmarks.base import Benchmark, Calls, Case, Source, Suite, Values
from toolmaster.benchmarks.bfcl_world import Run, World, backend, package_data
from toolmaster.benchmarks.rows import RowError, read_cases
from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.tasksets import FollowUp, Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import ActionKind, Phase, ToolCall, Trajectory

LIMITS = Limits(max_turns=42, result_chars=20000)
"""Gold takes up to 34 calls to one message; a trial of 6 calls and its experience come on top."""
CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
MORE_TOOLS = "There are more tools now:\n<tools>\n{tools}\n</tools>\nCan you do it with these?"


class Message(BaseModel):
    """What the user says."""

    content: str = Field(min_length=1)


class Row(BaseModel):
    """A row of the file, as far as it is used."""

    id: str
    question: list[list[Message]] = Field(min_length=1)
    """The messages of the user, at most one a turn; none where tools are added."""
    initial_config: dict[str, Any]
    """Class name to the state it begins with."""
    involved_classes: list[str]
    missed_function: dict[int, list[str]] = Field(default_factory=dict)
    """Index of a message to the tools that come with it."""

    def world(self) -> World:
        """Its instances in their first state."""
        long_context = "long_context" in self.id
        return World(self.involved_classes, self.initial_config, long_context=long_context)


@asynccontextmanager
async def open_suite(source: Source) -> AsyncIterator[Suite]:
    """Open one file of the package's `data` folder, or all of its multi-turn files."""
    folder = package_data()
    paths = [folder / f"BFCL_v4_multi_turn_{name}.json" for name in CATEGORIES]
    suites = [_read(path) for path in ([source.path] if source.path else paths)]
    yield Suite(
        [case for suite in suites for case in suite.cases],
        [item for suite in suites for item in suite.left_out],
        {"bfcl-eval": version("bfcl-eval")},
    )


def _read(path: Path) -> Suite:
    """The cases of a file; its gold calls lie beside it in `possible_answer/`."""
    answers = path.parent / "possible_answer" / path.name
    try:
        lines = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
        gold = {line["id"]: line["ground_truth"] for line in lines}
    except OSError as error:
        raise InputError(f"cannot read the gold calls {answers}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{answers}: not the gold calls of BFCL: {error!r}") from None
    return read_cases(path, Row, lambda _, row: make_case(row, gold.get(row.id)))


def make_case(row: Row, ground_truth: list[list[str]] | None) -> Case:
    """A row as a case.

    Args:
        row: the row.
        ground_truth: its gold calls as Python text, one list for each message.

    Raises:
        RowError: an unknown class, gold calls that are missing or cannot be read, a message that is
            empty without tools, a first state that its class does not take.
    """
    for name in row.involved_classes:
        if name not in backend().CLASS_FILE_PATH_MAPPING:
            raise RowError("involved_classes", f"no class {name!r} in the package")
    if ground_truth is None or len(ground_truth) != len(row.question):
        raise RowError("ground_truth", "expected a list of gold calls for each message")
    try:
        world = row.world()
    except Exception as error:  # noqa: BLE001 - the package raises what it likes
        raise RowError("initial_config", f"{type(error).__name__}: {error}") from None
    gold = [[_parse(text, world) for text in calls] for calls in ground_truth]
    tools = {tool.name: tool for name in row.involved_classes for tool in _tools(name)}
    for name in {name for names in row.missed_function.values() for name in names} - tools.keys():
        raise RowError("missed_function", f"no tool {name!r} in the classes")
    added = {
        number: [tools.pop(name) for name in names if not _called(name, gold[:number])]
        for number, names in row.missed_function.items()
    }
    first, *later = _messages(row, added)

    def make_tools() -> ToolSet:
        state = Run(row.world(), row.world(), gold)
        return ToolSet(tuple(tools.values()), state, copy.deepcopy)

    task = Task(
        id=f"bfcl/{row.id}",
        query=first,
        tools=make_tools,
        check=lambda _, tool_set: tool_set.state.score(),
        labels={"split": "unseen", "family": row.id.removeprefix("multi_turn_").rpartition("_")[0]},
        follow_ups=tuple(
            FollowUp(message, _arrival(added.get(number, [])))
            for number, message in enumerate(later, 1)
        ),
    )
    needed = dict.fromkeys(call.name for calls in gold for call in calls)
    return Case(task, lambda t: measure(t, gold), tuple(needed), gold, "done")


def _called(name: str, gold: Calls) -> bool:
    return any(call.name == name for calls in gold for call in calls)


def _messages(row: Row, added: Mapping[int, list[Tool]]) -> Iterator[str]:
    for number, messages in enumerate(row.question):
        text = "\n".join(message.content for message in messages)
        if number in added:
            lines = [json.dumps(tool.schema()["function"]) for tool in added[number]]
            text = (text + "\n" + MORE_TOOLS.format(tools="\n".join(lines))).strip()
        if not text:
            raise RowError(f"question.{number}", "no message and no tools")
        yield text


def _arrival(added: list[Tool]) -> Callable[[ToolSet], ToolSet]:
    """What a follow-up does: the message before it is judged, and its tools are added."""

    def arrive(tools: ToolSet) -> ToolSet:
        tools.state.close_message()
        return ToolSet((*tools.tools, *added), tools.state, tools.copy_state)

    return arrive


def measure(trajectory: Trajectory, gold: Calls) -> Values:
    """Official accuracy and its two parts, and the strict figure.

    Args:
        trajectory: finished.
        gold: the gold calls, one sequence for each message.
    """
    message, unasked = 0, 0
    for step in trajectory.steps:
        if step.action is ActionKind.CALL and step.phase is Phase.EXECUTION:
            unasked += not gold[message]
        message += step.action is ActionKind.ANSWER
    score = trajectory.score
    return {
        "accuracy": float(trajectory.success),
        "states_equal": float(score is not None and score.state_correct),
        "responses_given": float(score is not None and score.answer_correct),
        "strict": float(trajectory.success and not unasked),
    }


def _parse(text: str, world: World) -> ToolCall:
    """A gold call: Python text with literal arguments, some by position."""
    try:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)  # noqa: S101, PT018
        positional = [ast.literal_eval(argument) for argument in call.args]
        named = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
        bound = inspect.signature(world.method(call.func.id)).bind(*positional, **named)
    except (SyntaxError, ValueError, AssertionError, AttributeError, TypeError) as error:
        raise RowError("ground_truth", f"cannot read {text!r}: {error}") from None
    return ToolCall(name=call.func.id, arguments=dict(bound.arguments))


@cache
def _tools(class_name: str) -> tuple[Tool, ...]:
    """The tools of a class as the package documents them."""
    file = (
        package_data()
        / "multi_turn_func_doc"
        / backend().MULTI_TURN_FUNC_DOC_FILE_MAPPING[class_name]
    )
    documents = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    return tuple(_tool(document) for document in documents)


def _tool(document: dict[str, Any]) -> Tool:
    name = document["name"]

    def execute(state: Run, arguments: dict[str, Any]) -> str:
        return state.execute(name, arguments)

    parameters = _json_schema(document["parameters"])
    return Tool(name, document["description"], parameters, execute, validated=False)


def _json_schema(schema: Any) -> Any:
    """The documents' own type names in those of JSON Schema."""
    if isinstance(schema, list):
        return [_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    types = {"dict": "object", "float": "number"}
    return {
        key: types.get(value, value)
        if key == "type" and isinstance(value, str)
        else _json_schema(value)
        for key, value in schema.items()
    }


benchmark = Benchmark("bfcl", open_suite, LIMITS)
