"""API-Bank: dialogues and plans over 53 APIs, judged by the calls.

Source: Li et al., "API-Bank", arXiv 2304.08244. Official metric: API-call correctness, the share of
calls that are right. There, the call runs on API-Bank's own classes and each decides what counts;
here, the call is compared with the gold one by the rules most of them share: the same API and the
same arguments, whatever the spelling of numbers, lists and white space; free text by more than half
of its words; a search by what it finds. Strict: the arguments are equal. Beside it ROUGE-L of the
answer, where the file has the reply.

A turn of a dialogue is one task: the conversation so far is given, and the first call of the
execution phase counts. A plan is one task with several calls, in order. Calls get the results that
the file records; nothing is invented for others.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from toolmaster.benchmarks.apibank_files import (
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
from toolmaster.benchmarks.base import Benchmark, Case, LeftOut, Source, Suite, Values
from toolmaster.benchmarks.responses import Answerer, History, canonical, connect, unanswered
from toolmaster.benchmarks.rows import RowError, read_cases
from toolmaster.errors import ConfigError, InputError, first_problem
from toolmaster.limits import Limits
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Effect, Phase, Score, ToolCall, Trajectory

T = TypeVar("T")
LIMITS = Limits(max_turns=16, result_chars=4000)
NO_RESULT = "no result of this call is recorded"
"""The observation of a call that the file knows nothing of."""
FREE_TEXT = frozenset({"content", "subject", "note", "keywords"})
"""Parameters in which the same may be said in other words."""
TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
FORM = (
    "Here is a conversation so far. Make the tool call that it asks for now, then answer with what"
    " the user should be told. The year is 2023.\n\n"
)


@asynccontextmanager
async def open_suite(source: Source) -> AsyncIterator[Suite]:
    """Open a file or a folder of dialogues; results come from there, so nothing has to be kept."""
    if source.path is None:
        raise ConfigError("this benchmark needs its original file or folder; give --data PATH")
    if source.path.is_dir():
        yield _read_dialogues(source.path)
        return
    family = source.path.stem
    if _holds_plans(source.path):
        yield read_cases(source.path, PlanRow, lambda i, row: make_case(from_plan(i, row, family)))
    else:
        yield read_cases(
            source.path, Instruction, lambda i, row: make_case(from_instruction(i, row, family))
        )


def _holds_plans(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return '"requirement"' in file.read(4096)
    except OSError:
        return False  # `read_cases` says what is wrong with it


def _read_dialogues(folder: Path) -> Suite:
    """Every dialogue of a folder; one that cannot be read is left out.

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
    cases: list[Case] = []
    left_out: list[LeftOut] = []
    for file in files:
        made = _dialogue(file, catalogue, folder.name)
        if isinstance(made, LeftOut):
            left_out.append(made)
        else:
            cases += made
    return Suite(tuple(cases), tuple(left_out))


def _dialogue(
    file: Path, catalogue: Mapping[str, ApiDocument], family: str
) -> list[Case] | LeftOut:
    """The calls of one dialogue as cases, or why there are none."""
    turns: list[Turn] = []
    try:
        for line in file.read_text("utf-8").splitlines():
            turns.append(Turn.model_validate_json(line))  # noqa: PERF401 - the count names the line
        return [make_case(sample) for sample in from_dialogue(file.stem, turns, catalogue, family)]
    except RowError as error:
        return LeftOut(file.name, 0, error.field, error.reason)
    except ValidationError as error:
        field, problem = first_problem(error)
        return LeftOut(file.name, len(turns), field, problem)
    except UnicodeDecodeError as error:
        return LeftOut(file.name, 0, "", f"not UTF-8 text: {error}")


def make_case(sample: Sample) -> Case:
    """A sample as a case."""
    tools = [_tool(document) for document in sample.documents]
    single = len(sample.gold) == 1

    def matched(calls: Sequence[ToolCall], same: Same) -> int:
        """How many gold calls were made, in order; of a turn only the first call counts."""
        made = calls[:1] if single else calls
        return longest_common(made, [gold.call for gold in sample.gold], same)

    def lenient(call: ToolCall, gold: ToolCall) -> bool:
        return same_call(call, gold, sample.documents)

    def check(answer: str | None, session_tools: ToolSet) -> Score:
        history = session_tools.state
        assert isinstance(history, History)  # noqa: S101 - made by `connect`
        calls = [ToolCall(name=v.tool, arguments=v.arguments) for v in history.visits]
        right = matched(calls, lenient) == len(sample.gold)
        return Score(success=right, answer_correct=bool(answer), state_correct=right)

    def measure(trajectory: Trajectory) -> Values:
        calls = [step.call for step in trajectory.calls(Phase.EXECUTION) if step.call]
        values = {
            "call_correct": matched(calls, lenient) / len(sample.gold),
            "call_correct_strict": matched(calls, equal_call) / len(sample.gold),
        }
        if sample.reply:
            values["rouge_l"] = rouge_l(trajectory.answer or "", sample.reply)
        return values

    task = Task(
        id=f"apibank/{sample.family}/{sample.id}",
        query=(FORM if single else "") + sample.text,
        tools=connect(tools, _player(sample), harmless=True),
        check=check,
        labels={"split": "unseen", "family": sample.family, "observations": "recorded"},
    )
    gold = [made.call for made in sample.gold]
    return Case(task, measure, tuple(call.name for call in gold), [gold], sample.reply or "done")


Same = Callable[[ToolCall, ToolCall], bool]


def _player(sample: Sample) -> Answerer:
    """Answers with what the file records."""

    async def answer(tool: Tool, arguments: dict[str, Any], _history: History) -> Any:
        call = ToolCall(name=tool.name, arguments=arguments)
        for made in (*sample.gold, *sample.earlier):
            if same_call(call, made.call, sample.documents):
                if made.refusal is not None:
                    raise ToolRefusal(made.refusal)
                return made.result if made.known else "done (its result is not recorded)"
        if tool.name == SEARCHER:
            found = find_document(str(arguments.get("keywords", "")), sample.documents)
            if found is not None:
                return found.model_dump()
        raise ToolRefusal(NO_RESULT)

    return answer


def same_call(call: ToolCall, gold: ToolCall, documents: Sequence[ApiDocument]) -> bool:
    """Whether a call is right by the official rules, see the module's text."""
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
    """Whether a call is the gold one."""
    return call.name == gold.name and canonical(call.arguments) == canonical(gold.arguments)


def _same_value(key: str, given: Any, gold: Any) -> bool:
    if key in FREE_TEXT and isinstance(given, str) and isinstance(gold, str):
        mine, theirs = set(_words(given)), set(_words(gold))
        return len(mine & theirs) > len(mine | theirs) / 2 or mine == theirs
    return canonical(_plain(given)) == canonical(_plain(gold))


def _plain(value: Any) -> Any:
    """A value in one spelling: text that holds a number or a list is read as that."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    try:
        read = ast.literal_eval(text)
        canonical(read)  # what JSON cannot hold stays text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
    return _plain(read) if isinstance(read, list | dict | int | float) else text


def find_document(keywords: str, documents: Sequence[ApiDocument]) -> ApiDocument | None:
    """The API that shares most words with the keywords; None if none shares any."""
    wanted = set(_words(keywords))
    scores = {
        document.name: len(wanted & {*_words(document.name), *_words(document.description)})
        for document in documents
        if document.name != SEARCHER
    }
    best = max(scores, key=lambda name: scores[name], default=None)
    if best is None or not scores[best]:
        return None
    return next(document for document in documents if document.name == best)


def _words(text: str) -> list[str]:
    """Words in lower case; `QueryMeeting` is two."""
    return re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())


def _tool(document: ApiDocument) -> Tool:
    """An API as a tool; what answers it comes with `connect`."""
    properties = {name: _property(about) for name, about in document.input_parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    unknown = Effect.UNKNOWN
    return Tool(document.name, document.description, schema, unanswered, unknown, validated=False)


def _property(about: dict[str, Any]) -> dict[str, Any]:
    kind = str(about.get("type", "str"))
    schema: dict[str, Any] = {
        "type": "array" if kind.startswith("list") else TYPES.get(kind, "string")
    }
    if about.get("description"):
        schema["description"] = str(about["description"])
    return schema


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L F1 over words: twice the longest common subsequence by the sum of the lengths.

    Source: Lin, "ROUGE" (2004), with equal weight of precision and recall.
    """
    mine, theirs = text.split(), reference.split()
    if not mine or not theirs:
        return 0.0
    return 2 * longest_common(mine, theirs, operator.eq) / (len(mine) + len(theirs))


def longest_common(made: Sequence[T], gold: Sequence[T], same: Callable[[T, T], bool]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(gold) + 1)
    for item in made:
        previous = 0
        for place, wanted in enumerate(gold, 1):
            longer = previous + 1 if same(item, wanted) else max(row[place], row[place - 1])
            previous, row[place] = row[place], longer
    return row[-1]


benchmark = Benchmark("apibank", open_suite, LIMITS)
