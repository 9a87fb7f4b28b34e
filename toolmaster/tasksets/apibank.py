"""API-Bank: dialogues over 73 APIs, judged by the calls.

Source: Li et al., "API-Bank", arXiv 2304.08244, levels 1 and 2. `success` and the part
`call_correct` say whether the known-good call was made, by rules of our own. They are not
upstream's figure, which runs the calls on its own classes; `call_correct_strict` asks for equal
arguments.

No API runs. A call is right if it names the same API with the same arguments; numbers and lists may
be written as text. Texts in `FREE_TEXT` are right if they share more than half of their words, as
in upstream's classes for agendas, meetings and reminders. A search is right if it finds the same
API, by shared words; upstream uses a sentence encoder.

A call of a dialogue is one task: the conversation so far is given, and the first call of the
execution phase counts. Calls get the results that the file records; nothing is invented for others.
Dialogues are a folder (`lv1-lv2-samples/level-1-given-desc`) of `.jsonl` files, a turn a line. The
Python classes in `apis/` above it describe the APIs; they are read and never run.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.runs import read_written
from toolmaster.tasksets.benchmark import RowError, Rows, canonical, parse_python
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Phase, Score, ToolCall, Trajectory

LIMITS = Limits(max_turns=16, result_chars=4000)
NO_RESULT = "no result of this call is recorded"
"""The observation of a call that the file does not have."""
TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
FORM = (
    "Here is a conversation so far. Make the tool call that it asks for now, then answer with what"
    " the user should be told. The year is 2023.\n\n"
)
FACTS = {
    "observations": "recorded",
    "call_correct": "compares calls by our own rule; upstream runs them on its classes",
}
SEARCHER = "ToolSearcher"
"""The API that finds others."""
FREE_TEXT = frozenset({"content", "meeting_topic"})
"""Parameters in which the same may be said in other words."""


class Outcome(BaseModel):
    """The response of an API."""

    output: Any = None
    exception: str | None = None


class Turn(BaseModel):
    """A line of a dialogue: a text, or a call and its outcome if the role is "API"."""

    role: str
    text: str = ""
    name: str = Field("", validation_alias="api_name")
    arguments: dict[str, Any] = Field(default_factory=dict, validation_alias="param_dict")
    outcome: Outcome = Field(Outcome(), validation_alias="result")

    @property
    def call(self) -> ToolCall:
        """The call itself."""
        return ToolCall(name=self.name, arguments=self.arguments)


def apibank(folder: Path) -> Taskset:
    """API-Bank: dialogues of levels 1 and 2, judged by the calls.

    Args:
        folder: dialogues as upstream has them, such as `lv1-lv2-samples/level-1-given-desc`.

    Raises:
        InputError: the folder cannot be used.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError(f"{folder} holds no .jsonl files; give a folder of dialogues")
    places = [parent / "apis" for parent in folder.resolve().parents]
    classes = next((place for place in places if place.is_dir()), None)
    if classes is None:
        raise InputError(f"no folder `apis` above {folder}: it describes the APIs")
    catalogue = read_classes(classes)
    rows = Rows(folder, b"".join(file.read_bytes() for file in files))
    for file in files:
        rows.add(file.name, 0, partial(_of_dialogue, folder.name, file, catalogue))
    return rows.taskset(f"apibank:{folder.stem}", limits=LIMITS, facts=FACTS)


def read_classes(folder: Path) -> dict[str, Tool]:
    """Return the APIs that the Python classes of a folder describe, by name; no code runs.

    Raises:
        InputError: a file is not Python, or no class describes an API.
    """
    documents = {}
    for file in sorted(folder.glob("*.py")):
        try:
            body = parse_python(file.read_text("utf-8"))
        except ValueError as error:
            raise InputError(f"{file}: not Python: {error}") from None
        for node in (node for node in body if isinstance(node, ast.ClassDef)):
            assigned = [statement for statement in node.body if isinstance(statement, ast.Assign)]
            values = {getattr(one.targets[0], "id", ""): one.value for one in assigned}
            with suppress(KeyError, ValueError):  # it describes no API
                description = ast.literal_eval(values["description"])
                about = ast.literal_eval(values["input_parameters"])
                properties = {name: _property(one) for name, one in about.items()}
                schema = {"type": "object", "properties": properties, "required": [*properties]}
                documents[node.name] = Tool(node.name, description, schema, print, validated=False)
    if not documents:
        raise InputError(f"no class in {folder} describes an API; it is API-Bank's folder `apis`")
    return documents


def _of_dialogue(family: str, file: Path, catalogue: Mapping[str, Tool]) -> Iterator[Task]:
    """Yield one task for each call of a dialogue."""
    turns = [turn for _, turn in read_written(file, Turn)]
    names = dict.fromkeys(turn.name for turn in turns if turn.role == "API")
    for name in names:
        if name not in catalogue:
            raise RowError("api_name", f"{name!r} is described nowhere")
    documents = [catalogue[name] for name in names]
    lines: list[str] = []
    for index, turn in enumerate(turns):
        if turn.role != "API":
            lines.append(f"{turn.role}: {turn.text}")
            continue
        earlier = [one for one in turns[:index] if one.role == "API"]
        following = [one.text for one in turns[index + 1 : index + 2] if one.role == "AI"]
        task_id = f"{family}/{file.stem}/{index}"
        yield _task(task_id, "\n".join(lines), documents, turn, earlier, "".join(following))
        arguments = ", ".join(f"{key}={value!r}" for key, value in turn.arguments.items())
        result = json.dumps(turn.outcome.output, ensure_ascii=False)
        lines.append(f"[{turn.name}({arguments})] -> {result}")


def _task(
    name: str, text: str, documents: Sequence[Tool], gold: Turn, earlier: Sequence[Turn], reply: str
) -> Task:
    """Return the task that asks for the gold call; `earlier` ones were made in the text."""
    tools = tuple(_recorded(document, [gold, *earlier], documents) for document in documents)

    def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        made = [step.call for step in trajectory.calls(Phase.EXECUTION) if step.call][:1]
        right = any(same_call(call, gold.call, documents) for call in made)
        strict = any(equal_call(call, gold.call) for call in made)
        wanted = json.dumps(gold.call.model_dump(), ensure_ascii=False)
        return Score.of(right, wanted, call_correct=right, call_correct_strict=strict)

    return Task(
        id=f"apibank/{name}",
        query=FORM + text,
        tools=lambda: ToolSet(tools, None, copy.copy),
        answer=reply or None,
        check=check,
        calls=[[gold.call]],
        needed=(gold.name,),
        labels={"family": name.partition("/")[0]},
    )


def _recorded(document: Tool, made: Sequence[Turn], documents: Sequence[Tool]) -> Tool:
    """Return a tool that gives the results of calls that the file records."""

    def execute(_state: Any, arguments: dict[str, Any]) -> Any:
        call = ToolCall(name=document.name, arguments=arguments)
        turn = next((turn for turn in made if same_call(call, turn.call, documents)), None)
        outcome = Outcome(exception=NO_RESULT) if turn is None else turn.outcome
        if outcome.exception is not None:
            raise ToolRefusal(outcome.exception)
        return outcome.output

    return replace(document, execute=execute)


def _property(about: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(about.get("type", "str"))
    schema = {"type": "array" if kind.startswith("list") else TYPES.get(kind, "string")}
    return schema | ({"description": str(d)} if (d := about.get("description")) else {})


def same_call(call: ToolCall, gold: ToolCall, documents: Sequence[Tool]) -> bool:
    """Return whether a call equals the gold one; `documents` are the APIs of a search."""
    if call == gold:
        return True
    if call.name != gold.name:
        return False
    if call.name == SEARCHER:
        found, wanted = (
            find_document(str(one.arguments.get("keywords", "")), documents) for one in (call, gold)
        )
        return found is not None and found == wanted
    return call.arguments.keys() == gold.arguments.keys() and all(
        _same_value(key, call.arguments[key], value) for key, value in gold.arguments.items()
    )


def equal_call(call: ToolCall, gold: ToolCall) -> bool:
    """Return whether a call is the known-good one; 2.0 is 2."""
    return call.name == gold.name and canonical(call.arguments) == canonical(gold.arguments)


def _same_value(key: str, given: Any, gold: Any) -> bool:
    if key in FREE_TEXT and isinstance(given, str) and isinstance(gold, str):
        mine, theirs = set(_words(given)), set(_words(gold))
        return len(mine & theirs) > len(mine | theirs) / 2 or mine == theirs
    return canonical(_read(given)) == canonical(_read(gold))


def _read(value: Any) -> Any:
    """Return a value in which text that holds a number or a list is parsed."""
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        read = ast.literal_eval(value)
        canonical(read)  # raises for a value that JSON cannot hold
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value
    return _read(read) if isinstance(read, list | dict | int | float) else value


def find_document(keywords: str, documents: Sequence[Tool]) -> Tool | None:
    """Return the API that shares most words with the keywords; None if none shares any."""
    words = set(_words(keywords))

    def shared(document: Tool) -> int:
        return len(words & {*_words(document.name), *_words(document.description)})

    candidates = [document for document in documents if document.name != SEARCHER]
    best = max(candidates, key=shared, default=None)
    return best if best is not None and shared(best) else None


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case; `QueryMeeting` is two words."""
    return re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
