"""API-Bank's files, in the forms they are handed round in, as samples of calls to make.

* a folder of dialogues (`lv1-lv2-samples/level-1-given-desc`): one `.jsonl` each, a turn a line;
  the APIs are described by the Python classes in `apis/` above it, which are read and never run;
* instruction files (`level-1-api.json`, `level-2-api.json`, `level-3-batch-inf.json`): a sample a
  row, with its descriptions and the expected request as text;
* plans (`level-3.json`): a requirement and the calls that meet it, with their results.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field

from toolmaster.errors import InputError
from toolmaster.tasksets.rows import RowError
from toolmaster.types import ToolCall

SEARCHER = "ToolSearcher"
"""The API that finds others."""
_REQUEST = re.compile(r"\[(\w+\(.*\))\]", re.DOTALL)
_ASKED = re.compile(r"\s*Generate API Request:\s*$")


class ApiDocument(BaseModel):
    """What is known of an API; two forms have other names for the same."""

    name: str = Field(validation_alias=AliasChoices("name", "apiCode"), min_length=1)
    description: str = ""
    input_parameters: dict[str, dict[str, Any]] = Field(
        validation_alias=AliasChoices("input_parameters", "parameters"), default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class Made:
    """A call and what it gave; `known` is False where the file does not tell."""

    call: ToolCall
    result: Any = None
    refusal: str | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """Something to be done with calls.

    Args:
        id: unique in its file.
        family: the level, as far as the file's name tells.
        text: the conversation or the requirement.
        documents: the APIs that may be called.
        gold: the calls to make: one for a turn of a dialogue, several for a plan.
        earlier: calls of the conversation so far.
        reply: what the assistant then says; None where the file does not tell.
    """

    id: str
    family: str
    text: str
    documents: tuple[ApiDocument, ...]
    gold: tuple[Made, ...]
    earlier: tuple[Made, ...] = ()
    reply: str | None = None


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
    """What an API gave."""

    output: Any = None
    exception: str | None = None


class PlannedCall(BaseModel):
    """One call of a plan."""

    api_name: str
    input: dict[str, Any]
    output: Outcome


class PlanRow(BaseModel):
    """A row of a file of plans."""

    requirement: str = Field(min_length=1)
    response: str = ""
    apis: list[PlannedCall] = Field(min_length=1)


class Turn(BaseModel):
    """A line of a dialogue."""

    role: str
    text: str = ""
    api_name: str = ""
    param_dict: dict[str, Any] = Field(default_factory=dict)
    result: Outcome = Outcome()


def from_instruction(index: int, row: Instruction, family: str) -> Sample:
    """A row of an instruction file as a sample.

    Raises:
        RowError: no descriptions, or a request that cannot be read.
    """
    said = row.input.splitlines()
    described = (_document(line) for line in [*row.instruction.splitlines(), *said])
    documents = [document for document in described if document is not None]
    lines = [line for line in said if _document(line) is None]
    if not documents:
        raise RowError("instruction", "it describes no API")
    text = _ASKED.sub("", "\n".join(lines)).strip()
    call = read_request(row.expected)
    if call.name not in {document.name for document in documents}:
        # A search of the conversation found it: its description stands in the search's result.
        documents += _found_in(text)
    if call.name not in {document.name for document in documents}:
        raise RowError("expected_output", f"{call.name!r} is described nowhere")
    names = [
        str(part)
        for part in (row.file, row.id, row.sample_id, row.api_id)
        if part not in ("", None)
    ]
    return Sample(
        "/".join(names) or str(index), family, text, tuple(documents), (Made(call, known=False),)
    )


def from_plan(index: int, row: PlanRow, family: str) -> Sample:
    """A row of a file of plans as a sample; its searches say which APIs there are."""
    made = tuple(_made(call.api_name, call.input, call.output) for call in row.apis)
    documents = [searcher_document()]
    for one in made:
        if one.call.name == SEARCHER:
            documents += _documents(one.result)
    unique = {document.name: document for document in documents}
    for one in made:
        if one.call.name not in unique:
            raise RowError("apis", f"no search finds {one.call.name!r}")
    return Sample(
        str(index), family, row.requirement.strip(), tuple(unique.values()), made, (), row.response
    )


def from_dialogue(
    name: str, turns: list[Turn], catalogue: Mapping[str, ApiDocument], family: str
) -> Iterator[Sample]:
    """A dialogue as samples, one for each call of it.

    Raises:
        RowError: an API that is described nowhere.
    """
    names = dict.fromkeys(turn.api_name for turn in turns if turn.role == "API")
    unknown = [api for api in names if api not in catalogue]
    if unknown:
        raise RowError("api_name", f"{unknown[0]!r} is described nowhere")
    said: list[str] = []
    earlier: list[Made] = []
    for index, turn in enumerate(turns):
        if turn.role != "API":
            said.append(f"{turn.role}: {turn.text}")
            continue
        made = _made(turn.api_name, turn.param_dict, turn.result)
        following = turns[index + 1] if index + 1 < len(turns) else None
        reply = following.text if following and following.role == "AI" else None
        documents = tuple(catalogue[api] for api in names)
        yield Sample(
            f"{name}/{index}", family, "\n".join(said), documents, (made,), tuple(earlier), reply
        )
        earlier.append(made)
        said.append(f"{written(made.call)} -> {json.dumps(made.result, ensure_ascii=False)}")


def written(call: ToolCall) -> str:
    """A call as API-Bank writes it."""
    arguments = ", ".join(f"{key}={value!r}" for key, value in call.arguments.items())
    return f"[{call.name}({arguments})]"


def read_request(text: str) -> ToolCall:
    """The call in a text such as `API-Request: [Name(key='value')]`.

    Raises:
        RowError: there is none that can be read.
    """
    found = _REQUEST.search(text)
    try:
        node = ast.parse(found[1] if found else "", mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            raise ValueError
        arguments = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise RowError("expected_output", f"not a request: {text[:100]!r}") from None
    return ToolCall(name=node.func.id, arguments=arguments)


def read_classes(folder: Path) -> dict[str, ApiDocument]:
    """The APIs that Python classes describe, without running them.

    Args:
        folder: API-Bank's `apis`.

    Raises:
        InputError: no folder, or no class in it describes an API.
    """
    documents = {}
    for file in sorted(folder.glob("*.py")):
        try:
            body = ast.parse(file.read_text("utf-8")).body
        except (SyntaxError, ValueError) as error:
            raise InputError(f"{file}: not Python: {error}") from None
        for node in body:
            if not isinstance(node, ast.ClassDef):
                continue
            values = dict(_constants(node.body))
            if "description" in values and "input_parameters" in values:
                document = ApiDocument.model_validate({"name": node.name, **values})
                documents[document.name] = document
    if not documents:
        raise InputError(f"no class in {folder} describes an API; it is API-Bank's folder `apis`")
    return documents


def searcher_document() -> ApiDocument:
    """What the search for APIs takes."""
    keyword = {"type": "str", "description": "What the API is wanted for."}
    return ApiDocument(
        name=SEARCHER,
        description="Finds the API that fits keywords best.",
        input_parameters={"keywords": keyword},
    )


def _constants(body: Iterable[ast.stmt]) -> Iterator[tuple[str, Any]]:
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                yield statement.targets[0].id, ast.literal_eval(statement.value)
            except ValueError:
                continue


def _made(name: str, arguments: dict[str, Any], outcome: Outcome) -> Made:
    result = outcome.output
    if isinstance(result, dict) and {"api_name", "output", "exception"} <= result.keys():
        outcome = Outcome.model_validate(result)  # plans keep the whole response
        result = outcome.output
    return Made(ToolCall(name=name, arguments=arguments), result, outcome.exception)


def _document(line: str) -> ApiDocument | None:
    if not line.startswith("{"):
        return None
    try:
        return ApiDocument.model_validate_json(line)
    except ValueError:
        return None


def _documents(result: Any) -> list[ApiDocument]:
    found = result if isinstance(result, list) else [result]
    return [ApiDocument.model_validate(one) for one in found if isinstance(one, dict)]


def _found_in(text: str) -> list[ApiDocument]:
    """Descriptions in the results of searches that a conversation quotes."""
    documents = []
    for line in text.splitlines():
        if SEARCHER not in line or "->" not in line:
            continue
        try:
            result = ast.literal_eval(line.partition("->")[2].strip())
            documents += _documents(
                result.get("output", result) if isinstance(result, dict) else result
            )
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
    return documents
