"""What counts as a right call in API-Bank, by rules of our own over the calls alone.

Upstream runs each call on its own classes, and each class compares input and output in its own way.
Here nothing runs. A call is right if it names the same API with the same arguments, where numbers
and lists may be written as text. Texts in `FREE_TEXT` are right if they share more than half of
their words, as in upstream's classes for agendas, meetings and reminders. A search is right if it
finds the same API; upstream searches with a sentence encoder, and here shared words decide.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from toolmaster.tasksets.apibank_files import SEARCHER, ApiDocument
from toolmaster.types import ToolCall

T = TypeVar("T")
FREE_TEXT = frozenset({"content", "meeting_topic"})
"""Parameters in which the same may be said in other words."""


def same_call(call: ToolCall, gold: ToolCall, documents: Sequence[ApiDocument]) -> bool:
    """Return whether a call is right.

    Args:
        call: what was called.
        gold: the known-good call.
        documents: the APIs that a search can find.
    """
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
    return call.name == gold.name and _canonical(call.arguments) == _canonical(gold.arguments)


def _same_value(key: str, given: Any, gold: Any) -> bool:
    if key in FREE_TEXT and isinstance(given, str) and isinstance(gold, str):
        mine, theirs = set(_words(given)), set(_words(gold))
        return len(mine & theirs) > len(mine | theirs) / 2 or mine == theirs
    return _canonical(_read(given)) == _canonical(_read(gold))


def _canonical(value: Any) -> str:
    return json.dumps(_numbers(value), ensure_ascii=False, sort_keys=True)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read(value: Any) -> Any:
    """A value in one form: text that holds a number or a list is read as that."""
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        read = ast.literal_eval(value)
        _canonical(read)  # what JSON cannot hold stays text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value
    return _read(read) if isinstance(read, list | dict | int | float) else value


def find_document(keywords: str, documents: Sequence[ApiDocument]) -> ApiDocument | None:
    """Return the API that shares most words with the keywords; None if none shares any."""
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


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L F1 over words: twice the longest common subsequence by the sum of the lengths.

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
