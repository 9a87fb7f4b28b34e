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
import importlib
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.benchmarks.base import Benchmark, Calls, Case, Source, Suite, Values
from toolmaster.benchmarks.rows import RowError, read_cases
from toolmaster.errors import InputError
from toolmaster.session import FollowUp, Limits, Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import ActionKind, Phase, Score, ToolCall, Trajectory

LIMITS = Limits(max_turns=42, result_chars=20000)
"""Gold takes up to 34 calls to one message; a trial of 6 calls and its experience come on top."""
CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
MORE_TOOLS = "There are more tools now:\n<tools>\n{tools}\n</tools>\nCan you do it with these?"
LARGEST = {"power": "exponent", "logarithm": "precision", "square_root": "precision"}
"""Arguments that could keep the processor busy for ever, and are refused above 10,000."""


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


class World:
    """Instances of the classes of one case.

    Args:
        row: names the classes and their first state.
    """

    def __init__(self, row: Row) -> None:
        self.instances = {name: _class(name)() for name in row.involved_classes}
        for name, instance in self.instances.items():
            if hasattr(instance, "_load_scenario"):
                state = copy.deepcopy(row.initial_config.get(name, {}))
                instance._load_scenario(state, long_context="long_context" in row.id)

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The text a call returns; whatever the method raises comes through."""
        limited = arguments.get(LARGEST.get(name, ""), 0)
        if isinstance(limited, int | float) and abs(limited) > 10_000:
            raise ToolRefusal(f"{LARGEST[name]} must be at most 10000")
        result = self.method(name)(**copy.deepcopy(dict(arguments)))
        if isinstance(result, dict):
            try:
                return json.dumps(result)
            except TypeError:
                return str(result)
        return str(result)

    def method(self, name: str) -> Callable[..., Any]:
        """The method of that name; no two classes of a case share one.

        Raises:
            AttributeError: no class has it.
        """
        instance = next((i for i in self.instances.values() if hasattr(i, name)), None)
        method: Callable[..., Any] = getattr(instance, name)
        return method

    def same_state(self, gold: World) -> bool:
        """Whether every public attribute of the gold instances has the same value here."""
        return all(
            getattr(self.instances[name], key) == value
            for name, instance in gold.instances.items()
            for key, value in vars(instance).items()
            if not key.startswith("_")
        )


@dataclass(slots=True)
class Run:
    """The state of a session: its world, and the gold world that follows message by message."""

    world: World
    gold: World
    gold_calls: Calls
    results: list[str] = field(default_factory=list)
    """What every call so far returned, errors included."""
    message: int = 0
    """How many messages were answered."""
    calls: int = 0
    """Calls since the last message."""
    states_right: bool = True
    responses_right: bool = True

    def execute(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Make a call in the world and remember what it gave."""
        self.calls += 1
        text, error = _attempt(self.world, name, arguments)
        self.results.append(text)
        if error is not None:
            raise error
        return text

    def close_message(self) -> None:
        """The message was answered: compare with what gold does."""
        calls = self.gold_calls[self.message]
        returned = [_attempt(self.gold, call.name, call.arguments)[0] for call in calls]
        if calls:
            self.states_right &= self.world.same_state(self.gold)
            self.responses_right &= self.calls > 0 and _holds(self.results, returned)
        self.message += 1
        self.calls = 0

    def score(self) -> Score:
        """The verdict, once: closes the last message if the session got that far."""
        complete = self.message >= len(self.gold_calls) - 1
        if complete:
            self.close_message()
        return Score(
            success=complete and self.states_right and self.responses_right,
            answer_correct=complete and self.responses_right,
            state_correct=complete and self.states_right,
        )


def _attempt(world: World, name: str, arguments: Mapping[str, Any]) -> tuple[str, Exception | None]:
    """What a call returns; an error as the text that the original compares, and as it was."""
    try:
        return world.call(name, arguments), None
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is a result
        return f"Error during execution: {error}", error


def _holds(results: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether all wanted results are there, each as often as it is wanted, in any order."""
    rest = list(results)
    for text in wanted:
        if text not in rest:
            return False
        rest.remove(text)
    return True


@asynccontextmanager
async def open_suite(source: Source) -> AsyncIterator[Suite]:
    """Open one file of the package's `data` folder, or all of its multi-turn files."""
    folder = package_data()
    paths = [folder / f"BFCL_v4_multi_turn_{name}.json" for name in CATEGORIES]
    suites = [_read(path) for path in ([source.path] if source.path else paths)]
    yield Suite(
        [case for suite in suites for case in suite.cases],
        [item for suite in suites for item in suite.left_out],
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
            empty without tools.
    """
    for name in row.involved_classes:
        if name not in _backend().CLASS_FILE_PATH_MAPPING:
            raise RowError("involved_classes", f"no class {name!r} in the package")
    if ground_truth is None or len(ground_truth) != len(row.question):
        raise RowError("ground_truth", "expected a list of gold calls for each message")
    world = World(row)
    gold = [[_parse(text, world) for text in calls] for calls in ground_truth]
    tools = {tool.name: tool for name in row.involved_classes for tool in _tools(name)}
    added = {
        number: [tools.pop(name) for name in names if not _called(name, gold[:number])]
        for number, names in row.missed_function.items()
    }
    first, *later = _messages(row, added)

    def make_tools() -> ToolSet:
        state = Run(World(row), World(row), gold)
        return ToolSet(tuple(tools.values()), state, copy.deepcopy)

    task = Task(
        id=f"bfcl/{row.id}",
        query=first,
        make_tools=make_tools,
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
        / _backend().MULTI_TURN_FUNC_DOC_FILE_MAPPING[class_name]
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


@cache
def _class(name: str) -> Any:
    return getattr(importlib.import_module(_backend().CLASS_FILE_PATH_MAPPING[name]), name)


def _backend() -> Any:
    """The package's table of classes.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return importlib.import_module("bfcl_eval.constants.executable_backend_config")
    except ImportError as error:
        raise InputError(
            f"BFCL's cases come from its package ({error}); install it with"
            " `pip install --no-deps bfcl-eval mpmath`"
        ) from None


def package_data() -> Path:
    """The package's folder of cases."""
    return Path(_backend().__file__).parents[1] / "data"


benchmark = Benchmark("bfcl", open_suite, LIMITS)
