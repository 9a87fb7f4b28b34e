"""BFCL's multi-turn tasks: conversations over stateful Python classes, judged by their state.

The rule is that of the package's `multi_turn_checker`: after each message of the user every
attribute equals that of instances on which the known-good calls ran, everything that these calls
return was returned by some call so far, and there was a call wherever the known-good calls have
one. Parts of the score: `states_equal` and `responses_given` are the two halves of that rule;
`strict` also asks for no call where the known-good calls have none (a parameter or function is
missing, and the right thing is to ask).

In `miss_func` some tools come with a later message: it lists them, and they work from then on. A
tool that the known-good calls use before it came (`tail` in miss_func_49) is there from the start.
A tool that has not come yet is unknown here, while the original would run it.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.limits import Limits
from toolmaster.tasksets.bfcl_single_turn import json_schema
from toolmaster.tasksets.bfcl_world import Run, World, backend, package_data
from toolmaster.tasksets.rows import RowError
from toolmaster.tasksets.task import Calls, FollowUp, Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import ActionKind, Phase, Score, ToolCall, Trajectory

LIMITS = Limits(max_turns=42, result_chars=20000)
"""The known-good calls to one message are up to 34; a trial of 6 calls and its experience come on
top."""
CATEGORIES = (
    "multi_turn_base",
    "multi_turn_miss_func",
    "multi_turn_miss_param",
    "multi_turn_long_context",
)
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


def make_task(row: Row, category: str, ground_truth: list[list[str]] | None) -> Task:
    """Make a task of a row.

    Args:
        row: the row.
        category: one of `CATEGORIES`.
        ground_truth: the known-good calls as Python text, one list for each message.

    Raises:
        RowError: an unknown class, known-good calls that are missing or cannot be read, a message
            that is empty without tools, a first state that its class does not take.
    """
    for name in row.involved_classes:
        if name not in backend().CLASS_FILE_PATH_MAPPING:
            raise RowError("involved_classes", f"no class {name!r} in the package")
    if ground_truth is None or len(ground_truth) != len(row.question):
        raise RowError("ground_truth", "expected a list of calls for each message")
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

    def check(trajectory: Trajectory, session_tools: ToolSet) -> Score:
        run: Run = session_tools.state
        complete, states, responses = run.verdict()
        right = complete and states and responses
        return Score.of(
            right,
            "the state and results of the known-good calls after each message",
            states_equal=complete and states,
            responses_given=complete and responses,
            strict=right and not _unasked(trajectory, gold),
        )

    return Task(
        id=f"bfcl/{row.id}",
        query=first,
        tools=make_tools,
        check=check,
        calls=gold,
        needed=tuple(dict.fromkeys(call.name for calls in gold for call in calls)),
        labels={"family": category},
        follow_ups=tuple(
            FollowUp(message, _arrival(added.get(number, [])))
            for number, message in enumerate(later, 1)
        ),
    )


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


def _unasked(trajectory: Trajectory, gold: Calls) -> bool:
    """Whether there was a call to a message that the known-good calls answer without one."""
    message = 0
    for step in trajectory.steps:
        if step.action is ActionKind.CALL and step.phase is Phase.EXECUTION and not gold[message]:
            return True
        message += step.action is ActionKind.ANSWER
    return False


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

    parameters = json_schema(document["parameters"])
    return Tool(name, document["description"], parameters, execute, validated=False)
