"""BFCL's multi-turn tasks: conversations over stateful Python classes, scored by their state.

The rule is that of the package's `multi_turn_checker`. After each message of the user, every
attribute must equal that of instances on which the known-good calls ran, every result of these
calls must have been returned by some call so far, and there must be a call if the known-good calls
have one. `states_equal` and `responses_given` are the two parts of that rule; `strict` also
requires that no call is made if the known-good calls have none (a parameter or function is missing,
and the model should ask).

In `miss_func` a later message lists some tools, which work from then on. A tool that the known-good
calls use earlier (`tail` in miss_func_49) works from the start. A tool that was not listed yet is
unknown here, while upstream would run it.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.limits import Limits
from toolmaster.runs import read_written
from toolmaster.tasksets.benchmark import RowError
from toolmaster.tasksets.bfcl_package import Function, backend, data_folder, package
from toolmaster.tasksets.task import Calls, FollowUp, Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import ActionKind, Message, Phase, Score, ToolCall, Trajectory

LIMITS = Limits(max_turns=42, result_chars=20000)
"""Turns for up to 34 calls to one message, a trial of 6 calls and its experience."""
CATEGORIES = (
    "multi_turn_base",
    "multi_turn_miss_func",
    "multi_turn_miss_param",
    "multi_turn_long_context",
)
MORE_TOOLS = "There are more tools now:\n<tools>\n{tools}\n</tools>\nCan you do it with these?"
LARGEST = {"power": "exponent", "logarithm": "precision", "square_root": "precision"}
"""Arguments that are refused above 10,000, because a call could run for ever."""
_NO_CALL = (AttributeError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError)


class Row(BaseModel):
    """The fields of a row that are used."""

    id: str
    question: list[list[Message]] = Field(min_length=1)
    """The messages of the user, at most one per turn; none if the turn adds tools."""
    initial_config: dict[str, Any]
    """Maps class names to initial states."""
    involved_classes: list[str]
    missed_function: dict[int, list[str]] = Field(default_factory=dict)
    """Maps indexes of messages to the tools that they add."""


class World:
    """Instances of the classes of one case, in their initial state."""

    def __init__(self, row: Row) -> None:
        self.instances = {name: _class(name)() for name in row.involved_classes}
        for name, instance in self.instances.items():
            if hasattr(instance, "_load_scenario"):
                state = copy.deepcopy(row.initial_config.get(name, {}))
                instance._load_scenario(state, long_context="long_context" in row.id)

    def method(self, name: str) -> Any:
        """Return the method of this name; raises AttributeError if no class has it."""
        return getattr(next((i for i in self.instances.values() if hasattr(i, name)), None), name)

    def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, Exception | None]:
        """Return the result of a call, as the text that upstream compares, and its error."""
        try:
            limited = arguments.get(LARGEST.get(name, ""), 0)
            if isinstance(limited, int | float) and abs(limited) > 10_000:
                raise ToolRefusal(f"{LARGEST[name]} must be at most 10000")
            result = self.method(name)(**copy.deepcopy(dict(arguments)))
        except Exception as error:  # noqa: BLE001 - an exception of a tool is a result
            return f"Error during execution: {error}", error
        if isinstance(result, dict):
            with suppress(TypeError):
                return json.dumps(result), None
        return str(result), None


@cache
def _class(name: str) -> Any:
    return getattr(importlib.import_module(backend().CLASS_FILE_PATH_MAPPING[name]), name)


@dataclass(slots=True)
class Run:
    """The state of a session: its world, and the gold world, advanced message by message."""

    world: World
    gold: World
    gold_calls: Calls
    results: list[str] = field(default_factory=list)
    """Results of all calls so far, including errors."""
    message: int = 0
    """Number of messages that were answered."""
    calls: int = 0
    """Calls since the last message."""
    states_right: bool = True
    responses_right: bool = True

    def execute(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Make a call in the world and record its result."""
        self.calls += 1
        text, error = self.world.call(name, arguments)
        self.results.append(text)
        if error is not None:
            raise error
        return text

    def close_message(self) -> None:
        """Advance the gold world by one message and compare with it."""
        calls, turn = self.gold_calls[self.message], self.message
        returned = [self.gold.call(call.name, call.arguments)[0] for call in calls]
        if calls:
            rule = package("eval_checker.multi_turn_eval.multi_turn_checker")
            states = rule.state_checker(self.world.instances, self.gold.instances)
            responses = rule.response_checker(self.results, returned, turn)
            self.states_right &= states["valid"]
            self.responses_right &= self.calls > 0 and responses["valid"]
        self.message += 1
        self.calls = 0


def make_task(row: Row, category: str, ground_truth: list[list[str]]) -> Task:
    """Return the task of a row and its known-good calls: Python text, one list per message.

    Raises:
        RowError: the row or the calls cannot be used.
    """
    for name in row.involved_classes:
        if name not in backend().CLASS_FILE_PATH_MAPPING:
            raise RowError("involved_classes", f"no class {name!r} in the package")
    if len(ground_truth) != len(row.question):
        raise RowError("ground_truth", "expected a list of calls for each message")
    try:
        world = World(row)
    except Exception as error:  # noqa: BLE001 - the package may raise anything
        raise RowError("initial_config", f"{type(error).__name__}: {error}") from None
    gold = [[_parse(text, world) for text in calls] for calls in ground_truth]
    tools = {tool.name: tool for name in row.involved_classes for tool in _tools(name)}
    for name in {name for names in row.missed_function.values() for name in names} - tools.keys():
        raise RowError("missed_function", f"no tool {name!r} in the classes")
    added = {}
    for number, names in row.missed_function.items():
        before = {call.name for calls in gold[:number] for call in calls}
        added[number] = [tools.pop(name) for name in names if name not in before]
    first, *later = _messages(row, added)

    def make_tools() -> ToolSet:
        state = Run(World(row), World(row), gold)
        return ToolSet(tuple(tools.values()), state, copy.deepcopy)

    def check(trajectory: Trajectory, session_tools: ToolSet) -> Score:
        run: Run = session_tools.state
        complete = run.message >= len(gold) - 1
        if complete:
            run.close_message()
        right = complete and run.states_right and run.responses_right
        return Score.of(
            right,
            "the state and results of the known-good calls after each message",
            states_equal=complete and run.states_right,
            responses_given=complete and run.responses_right,
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
            FollowUp(message, partial(_arrive, added.get(number, [])))
            for number, message in enumerate(later, 1)
        ),
    )


def _messages(row: Row, added: Mapping[int, list[Tool]]) -> Iterator[str]:
    for number, messages in enumerate(row.question):
        text = "\n".join(message.content for message in messages)
        if number in added:
            lines = [json.dumps(tool.schema()["function"]) for tool in added[number]]
            text = (text + "\n" + MORE_TOOLS.format(tools="\n".join(lines))).strip()
        if not text:
            raise RowError(f"question.{number}", "no message and no tools")
        yield text


def _arrive(added: list[Tool], tools: ToolSet) -> ToolSet:
    """Score the message before, and return the tools with those that a message adds."""
    tools.state.close_message()
    return replace(tools, tools=(*tools.tools, *added))


def _unasked(trajectory: Trajectory, gold: Calls) -> bool:
    """Return whether a call was made for a message to which the known-good calls make none."""
    message = 0
    for step in trajectory.steps:
        if step.action is ActionKind.CALL and step.phase is Phase.EXECUTION and not gold[message]:
            return True
        message += step.action is ActionKind.ANSWER
    return False


def _parse(text: str, world: World) -> ToolCall:
    """Return a gold call, written as Python text with literal arguments, some positional."""
    try:
        call: Any = ast.parse(text, mode="eval").body
        positional = [ast.literal_eval(value) for value in call.args]
        named = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
        bound = inspect.signature(world.method(call.func.id)).bind(*positional, **named)
    except _NO_CALL as error:
        raise RowError("ground_truth", f"cannot read {text!r}: {error}") from None
    return ToolCall(name=call.func.id, arguments=dict(bound.arguments))


@cache
def _tools(class_name: str) -> tuple[Tool, ...]:
    """Return the tools of a class as the package documents them."""
    name = backend().MULTI_TURN_FUNC_DOC_FILE_MAPPING[class_name]
    documented = read_written(data_folder() / "multi_turn_func_doc" / name, Function)
    return tuple(function.tool(partial(_execute, function.name)) for _, function in documented)


def _execute(name: str, run: Run, arguments: dict[str, Any]) -> str:
    return run.execute(name, arguments)
