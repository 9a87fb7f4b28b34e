"""API-Bank: dialogues and plans over 73 APIs, judged by the calls.

Source: Li et al., "API-Bank", arXiv 2304.08244. `value` and the part `call_correct` are the share
of known-good calls that were made, by the rules of `apibank_match`. They are not upstream's figure,
which runs the calls on its own classes; `call_correct_strict` asks for equal arguments. `rouge_l`
compares the answer with the reply, where the file has one.

A turn of a dialogue is one task: the conversation so far is given, and the first call of the
execution phase counts. A plan is one task with several calls, in order. Calls get the results that
the file records; nothing is invented for others.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.limits import Limits
from toolmaster.tasksets.apibank_files import (
    SEARCHER,
    ApiDocument,
    Instruction,
    PlanRow,
    Sample,
    Turn,
    from_dialogue,
    from_instruction,
    from_plan,
    read_classes,
)
from toolmaster.tasksets.apibank_match import (
    equal_call,
    find_document,
    longest_common,
    rouge_l,
    same_call,
)
from toolmaster.tasksets.rows import RowError, Rows, read_rows
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import LeftOut, Taskset
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Phase, Score, ToolCall, Trajectory

LIMITS = Limits(max_turns=16, result_chars=4000)
NO_RESULT = "no result of this call is recorded"
"""The observation of a call that the file knows nothing of."""
TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
FORM = (
    "Here is a conversation so far. Make the tool call that it asks for now, then answer with what"
    " the user should be told. The year is 2023.\n\n"
)
FACTS = {
    "observations": "recorded",
    "call_correct": "compares calls by our own rule; upstream runs them on its classes",
}


def apibank(place: Path) -> Taskset:
    """API-Bank: dialogues and plans, judged by the calls.

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
        rows = read_rows(place, PlanRow, lambda i, row: make_task(from_plan(i, row, family)))
    else:
        rows = read_rows(
            place, Instruction, lambda i, row: make_task(from_instruction(i, row, family))
        )
    return Taskset(
        f"apibank:{family}",
        rows.tasks,
        version=rows.version,
        limits=LIMITS,
        left_out=rows.left_out,
        facts=FACTS,
    )


def _holds_plans(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return '"requirement"' in file.read(4096)
    except OSError:
        return False  # `read_rows` says what is wrong with it


def _read_dialogues(folder: Path) -> Rows:
    """Read every dialogue of a folder; one that cannot be read is left out.

    Raises:
        InputError: no dialogues, or no descriptions of the APIs above the folder.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError(f"{folder} holds no .jsonl files; give a folder of dialogues")
    places = [parent / "apis" for parent in folder.resolve().parents]
    classes = next((place for place in places if place.is_dir()), None)
    if classes is None:
        raise InputError(f"no folder `apis` above {folder}: it describes the APIs")
    catalogue = read_classes(classes)
    tasks: list[Task] = []
    left_out: list[LeftOut] = []
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes())
        made = _dialogue(file, catalogue, folder.name)
        if isinstance(made, LeftOut):
            left_out.append(made)
        else:
            tasks += made
    return Rows(tuple(tasks), tuple(left_out), content.hexdigest()[:8])


def _dialogue(
    file: Path, catalogue: Mapping[str, ApiDocument], family: str
) -> list[Task] | LeftOut:
    """The calls of one dialogue as tasks, or why there are none."""
    turns: list[Turn] = []
    try:
        for line in file.read_text("utf-8").splitlines():
            turns.append(Turn.model_validate_json(line))  # noqa: PERF401 - the count names the line
        return [make_task(sample) for sample in from_dialogue(file.stem, turns, catalogue, family)]
    except RowError as error:
        return LeftOut(file.name, 0, error.field, error.reason)
    except ValidationError as error:
        field, problem = first_problem(error)
        return LeftOut(file.name, len(turns), field, problem)
    except UnicodeDecodeError as error:
        return LeftOut(file.name, 0, "", f"not UTF-8 text: {error}")


def make_task(sample: Sample) -> Task:
    """Make a task of a sample."""
    player = _player(sample)
    tools = tuple(_tool(document, player) for document in sample.documents)
    gold = [made.call for made in sample.gold]
    single = len(gold) == 1

    def lenient(call: ToolCall, other: ToolCall) -> bool:
        return same_call(call, other, sample.documents)

    def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        calls = [step.call for step in trajectory.calls(Phase.EXECUTION) if step.call is not None]
        made = calls[:1] if single else calls
        share = longest_common(made, gold, lenient) / len(gold)
        parts = {
            "call_correct": share,
            "call_correct_strict": longest_common(made, gold, equal_call) / len(gold),
        }
        if sample.reply:
            parts["rouge_l"] = rouge_l(trajectory.answer or "", sample.reply)
        wanted = "; ".join(json.dumps(call.model_dump(), ensure_ascii=False) for call in gold)
        return Score.of(share == 1, wanted, share, **parts)

    return Task(
        id=f"apibank/{sample.family}/{sample.id}",
        query=(FORM if single else "") + sample.text,
        tools=lambda: ToolSet(tools, None, copy.copy),
        answer=sample.reply or None,
        check=check,
        calls=[gold],
        needed=tuple(dict.fromkeys(call.name for call in gold)),
        labels={"family": sample.family},
    )


Player = Callable[[str, dict[str, Any]], Any]
"""From an API's name and arguments to what the file records; refuses other calls."""


def _player(sample: Sample) -> Player:
    """Answer with what the file records."""

    def answer(name: str, arguments: dict[str, Any]) -> Any:
        call = ToolCall(name=name, arguments=arguments)
        for made in (*sample.gold, *sample.earlier):
            if same_call(call, made.call, sample.documents):
                if made.refusal is not None:
                    raise ToolRefusal(made.refusal)
                return made.result if made.known else "done (its result is not recorded)"
        if name == SEARCHER:
            found = find_document(str(arguments.get("keywords", "")), sample.documents)
            if found is not None:
                return found.model_dump()
        raise ToolRefusal(NO_RESULT)

    return answer


def _tool(document: ApiDocument, player: Player) -> Tool:
    """An API as a tool that the file's records answer."""
    properties = {name: _property(about) for name, about in document.input_parameters.items()}
    return Tool(
        document.name,
        document.description,
        {"type": "object", "properties": properties, "required": list(properties)},
        lambda _state, arguments: player(document.name, arguments),
        validated=False,
    )


def _property(about: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(about.get("type", "str"))
    schema: dict[str, Any] = {
        "type": "array" if kind.startswith("list") else TYPES.get(kind, "string")
    }
    if about.get("description"):
        schema["description"] = str(about["description"])
    return schema
