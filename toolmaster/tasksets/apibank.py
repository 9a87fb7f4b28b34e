"""API-Bank: dialogues and plans over 73 APIs, scored by the calls.

Source: Li et al., "API-Bank", arXiv 2304.08244. `value` and the part `call_correct` are the share
of known-good calls that were made, by rules of our own; upstream's figure comes from running the
calls on its classes. `call_correct_strict` requires equal arguments. `rouge_l` compares the answer
with the reply, if the file has one.

No API runs. A call is right if it names the same API with the same arguments; numbers and lists may
be written as text. Texts in `FREE_TEXT` are right if they share more than half of their words, as
in upstream's classes for agendas, meetings and reminders. A search is right if it finds the same
API, by shared words; upstream uses a sentence encoder.

A turn of a dialogue is one task: the conversation so far is given, and the first call of the
execution phase counts. A plan is one task with several calls, in order. Calls get the results in
the file; any other call is refused. The files of upstream are:

* a folder of dialogues (`lv1-lv2-samples/level-1-given-desc`): one `.jsonl` each, with one
  turn per line; Python classes in `apis/` above it describe the APIs, and are read but never run;
* instruction files (`level-1-api.json`, `level-2-api.json`, `level-3-batch-inf.json`): one
  sample per row, with its descriptions and the expected request as text;
* plans (`level-3.json`): a requirement and the calls that meet it, with their results.
"""

from __future__ import annotations

import ast
import copy
import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, Field, model_validator

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.runs import read_written
from toolmaster.tasksets.benchmark import RowError, Rows, canonical, literal_call, read_rows
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
"""Parameters whose values are compared by shared words."""
T = TypeVar("T")
_REQUEST = re.compile(r"\[(\w+\(.*\))\]", re.DOTALL)
_ASKED = re.compile(r"\s*Generate API Request:\s*$")


class ApiDocument(BaseModel):
    """The documentation of an API; its fields have two names each."""

    name: str = Field(validation_alias=AliasChoices("name", "apiCode"), min_length=1)
    description: str = ""
    input_parameters: dict[str, dict[str, Any]] = Field(
        validation_alias=AliasChoices("input_parameters", "parameters"), default_factory=dict
    )


class Instruction(BaseModel):
    """A row of an instruction file."""

    instruction: str
    input: str
    expected: str = Field(validation_alias=AliasChoices("expected_output", "output"))
    file: str = ""
    id: int | None = None
    sample_id: int | None = None
    api_id: int | None = None


class Outcome(BaseModel):
    """The response of an API."""

    output: Any = None
    exception: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, data: Any) -> Any:
        """Plans keep the whole response of the API as its output."""
        inner = data.get("output") if isinstance(data, dict) else None
        whole = isinstance(inner, dict) and {"api_name", "output", "exception"} <= inner.keys()
        return inner if whole else data


class Recorded(BaseModel):
    """A call that a file records, and its outcome (None if the file has none)."""

    name: str = Field("", validation_alias="api_name")
    arguments: dict[str, Any] = Field(
        default_factory=dict, validation_alias=AliasChoices("input", "param_dict")
    )
    outcome: Outcome | None = Field(None, validation_alias=AliasChoices("output", "result"))

    @property
    def call(self) -> ToolCall:
        """The call itself."""
        return ToolCall(name=self.name, arguments=self.arguments)


class Turn(Recorded):
    """A line of a dialogue: a text, or a call where the role is "API"."""

    role: str
    text: str = ""


class Plan(BaseModel):
    """A row of a file of plans."""

    requirement: str = Field(min_length=1)
    response: str = ""
    apis: list[Recorded] = Field(min_length=1)


def apibank(place: Path) -> Taskset:
    """Return the task set of an API-Bank file or folder: dialogues and plans, scored by calls.

    Args:
        place: a folder of dialogues (`lv1-lv2-samples/level-1-given-desc`), a file of instructions
            (`level-1-api.json`) or a file of plans (`level-3.json`), all as upstream has them.

    Raises:
        InputError: the file or folder cannot be used.
    """
    family = place.stem
    if place.is_dir():
        rows = _read_dialogues(place)
    elif _holds_plans(place):
        rows = read_rows(place, Plan, partial(_of_plan, family))
    else:
        rows = read_rows(place, Instruction, partial(_of_instruction, family))
    return rows.taskset(f"apibank:{family}", limits=LIMITS, facts=FACTS)


def _holds_plans(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return '"requirement"' in file.read(4096)
    except OSError:
        return False  # `read_rows` raises the error


def _read_dialogues(folder: Path) -> Rows:
    """Read every dialogue of a folder."""
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
    return rows


def read_classes(folder: Path) -> dict[str, ApiDocument]:
    """Return the APIs that the Python classes of a folder describe, by name; no code runs.

    Raises:
        InputError: a file is not Python, or no class describes an API.
    """
    documents = {}
    for file in sorted(folder.glob("*.py")):
        try:
            body = ast.parse(file.read_text("utf-8")).body
        except (SyntaxError, ValueError) as error:
            raise InputError(f"{file}: not Python: {error}") from None
        for node in (node for node in body if isinstance(node, ast.ClassDef)):
            values = dict(_constants(node.body))
            if "description" in values and "input_parameters" in values:
                documents[node.name] = ApiDocument.model_validate({"name": node.name, **values})
    if not documents:
        raise InputError(f"no class in {folder} describes an API; it is API-Bank's folder `apis`")
    return documents


def _constants(body: Iterable[ast.stmt]) -> Iterator[tuple[str, Any]]:
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                yield statement.targets[0].id, ast.literal_eval(statement.value)
            except ValueError:
                continue


def _of_dialogue(family: str, file: Path, catalogue: Mapping[str, ApiDocument]) -> Iterator[Task]:
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
        yield _task(task_id, "\n".join(lines), documents, [turn], earlier, "".join(following))
        arguments = ", ".join(f"{key}={value!r}" for key, value in turn.arguments.items())
        result = json.dumps(turn.outcome.output if turn.outcome else None, ensure_ascii=False)
        lines.append(f"[{turn.name}({arguments})] -> {result}")


def _of_instruction(family: str, index: int, row: Instruction) -> Task:
    """Return the task of a row of an instruction file."""
    conversation = row.input.splitlines()
    described = {line: _document(line) for line in [*row.instruction.splitlines(), *conversation]}
    documents = [document for document in described.values() if document is not None]
    if not documents:
        raise RowError("instruction", "it describes no API")
    said = (line for line in conversation if described[line] is None)
    text = _ASKED.sub("", "\n".join(said)).strip()
    call = read_request(row.expected)
    if call.name not in {document.name for document in documents}:
        # A search in the conversation found it: its description is in the result of that search.
        documents += _found_in(text)
    if call.name not in {document.name for document in documents}:
        raise RowError("expected_output", f"{call.name!r} is described nowhere")
    parts = (row.file, row.id, row.sample_id, row.api_id)
    name = "/".join(str(part) for part in parts if part not in ("", None)) or str(index)
    gold = Recorded.model_validate({"api_name": call.name, "input": call.arguments})
    return _task(f"{family}/{name}", text, documents, [gold])


def read_request(text: str) -> ToolCall:
    """Return the call in a text such as `API-Request: [Name(key='value')]`.

    Raises:
        RowError: the text holds no such call.
    """
    match = _REQUEST.search(text)
    try:
        name, positional, arguments = literal_call(match[1] if match else "")
    except ValueError:
        positional = [text]
    if positional:
        raise RowError("expected_output", f"not a request: {text[:100]!r}")
    return ToolCall(name=name, arguments=arguments)


def _document(line: str) -> ApiDocument | None:
    try:
        return ApiDocument.model_validate_json(line)
    except ValueError:
        return None


def _found_in(text: str) -> list[ApiDocument]:
    """Return the descriptions in the results of searches that a conversation quotes."""
    documents = []
    for line in text.splitlines():
        request, _, result = line.partition("->")
        try:
            found = ast.literal_eval(result.strip()) if SEARCHER in request else None
            documents += _documents(
                found.get("output", found) if isinstance(found, dict) else found
            )
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
    return documents


def _of_plan(family: str, index: int, row: Plan) -> Task:
    """Return the task of a row of a file of plans; the results of its searches are its APIs."""
    keyword = {"type": "str", "description": "What the API is wanted for."}
    searcher = ApiDocument(
        name=SEARCHER,
        description="Finds the API that fits keywords best.",
        input_parameters={"keywords": keyword},
    )
    documents = {SEARCHER: searcher}
    for made in row.apis:
        if made.name == SEARCHER and made.outcome is not None:
            documents |= {document.name: document for document in _documents(made.outcome.output)}
    for made in row.apis:
        if made.name not in documents:
            raise RowError("apis", f"no search finds {made.name!r}")
    text, apis = row.requirement.strip(), list(documents.values())
    return _task(f"{family}/{index}", text, apis, row.apis, reply=row.response)


def _task(
    name: str,
    text: str,
    documents: Sequence[ApiDocument],
    gold: Sequence[Recorded],
    earlier: Sequence[Recorded] = (),
    reply: str = "",
) -> Task:
    """Return a task that asks for the gold calls; the text already has the `earlier` ones."""
    calls = [made.call for made in gold]
    answer = partial(_answer, [*gold, *earlier], documents)
    tools = tuple(_tool(document, partial(answer, document.name)) for document in documents)

    def lenient(call: ToolCall, other: ToolCall) -> bool:
        return same_call(call, other, documents)

    def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        made = [step.call for step in trajectory.calls(Phase.EXECUTION) if step.call is not None]
        made = made[:1] if len(calls) == 1 else made
        share = longest_common(made, calls, lenient) / len(calls)
        parts = {
            "call_correct": share,
            "call_correct_strict": longest_common(made, calls, equal_call) / len(calls),
        }
        if reply:
            parts["rouge_l"] = rouge_l(trajectory.answer or "", reply)
        expected = "; ".join(json.dumps(call.model_dump(), ensure_ascii=False) for call in calls)
        return Score.of(share == 1, expected, share, **parts)

    return Task(
        id=f"apibank/{name}",
        query=(FORM if len(calls) == 1 else "") + text,
        tools=lambda: ToolSet(tools, None, copy.copy),
        answer=reply or None,
        check=check,
        calls=[calls],
        needed=tuple(dict.fromkeys(call.name for call in calls)),
        labels={"family": name.partition("/")[0]},
    )


def _answer(
    known: Sequence[Recorded],
    documents: Sequence[ApiDocument],
    name: str,
    arguments: dict[str, Any],
) -> Any:
    """Return the recorded result of a call; refuse a call that the file does not have."""
    call = ToolCall(name=name, arguments=arguments)
    for made in known:
        if same_call(call, made.call, documents):
            if made.outcome is None:
                return "done (its result is not recorded)"
            if made.outcome.exception is not None:
                raise ToolRefusal(made.outcome.exception)
            return made.outcome.output
    if name == SEARCHER:
        found = find_document(str(arguments.get("keywords", "")), documents)
        if found is not None:
            return found.model_dump()
    raise ToolRefusal(NO_RESULT)


def _tool(document: ApiDocument, answer: Callable[[dict[str, Any]], Any]) -> Tool:
    """Return an API as a tool, whose calls get recorded results."""
    properties = {name: _property(about) for name, about in document.input_parameters.items()}
    return Tool(
        document.name,
        document.description,
        {"type": "object", "properties": properties, "required": list(properties)},
        lambda _state, arguments: answer(arguments),
        validated=False,
    )


def _property(about: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(about.get("type", "str"))
    schema = {"type": "array" if kind.startswith("list") else TYPES.get(kind, "string")}
    return schema | ({"description": str(d)} if (d := about.get("description")) else {})


def _documents(result: Any) -> list[ApiDocument]:
    items = result if isinstance(result, list) else [result]
    return [ApiDocument.model_validate(one) for one in items if isinstance(one, dict)]


def same_call(call: ToolCall, gold: ToolCall, documents: Sequence[ApiDocument]) -> bool:
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


def find_document(keywords: str, documents: Sequence[ApiDocument]) -> ApiDocument | None:
    """Return the API that shares most words with the keywords; None if none shares any."""
    words = set(_words(keywords))

    def shared(document: ApiDocument) -> int:
        return len(words & {*_words(document.name), *_words(document.description)})

    candidates = [document for document in documents if document.name != SEARCHER]
    best = max(candidates, key=shared, default=None)
    return best if best is not None and shared(best) else None


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case; `QueryMeeting` is two words."""
    return re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())


def rouge_l(text: str, reference: str) -> float:
    """Return ROUGE-L F1 over words: twice the longest common subsequence over the sum of lengths.

    Source: Lin, "ROUGE" (2004), with equal weight of precision and recall.
    """
    mine, theirs = text.split(), reference.split()
    if not mine or not theirs:
        return 0.0
    return 2 * longest_common(mine, theirs, operator.eq) / (len(mine) + len(theirs))


def longest_common(made: Sequence[T], gold: Sequence[T], same: Callable[[T, T], bool]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(gold) + 1)
    for item in made:
        previous = 0
        for place, wanted in enumerate(gold, 1):
            longer = previous + 1 if same(item, wanted) else max(row[place], row[place - 1])
            previous, row[place] = row[place], longer
    return row[-1]
