"""`facts_of`: the single values in the result of a call, each with words that say which it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 4
MAX_CHARS = 60
"""The longest text that is an answer."""
MAX_RECORDS = 12
"""Records of a list that are looked at."""
_NAMES = ("name", "title", "id", "key", "code", "label")
"""Fields that tell the records of a list apart, the best first."""
_PAIR = re.compile(r"\s*[-*]?\s*([A-Za-z][\w -]{0,30}?)\s*[:=]\s+(\S.*?)\s*")
_MARKED = re.compile(r"\s*(?:\[\w+\]|[-*])\s+")
Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Fact:
    """A value in a result.

    Args:
        value: The value.
        path: Names of the fields that lead to it; () for the whole result.
        of: The name of the record that it belongs to, where the result has several.
        alone: Whether path and record lead to no other value.
    """

    value: Scalar
    path: tuple[str, ...] = ()
    of: Scalar | None = None
    alone: bool = True


def facts_of(text: str) -> list[Fact]:
    """Return the values of a result, which is JSON, lines, or one value.

    Example:
        >>> facts_of('[{"name": "Rug", "price": 90}, {"name": "Mat", "price": 5}]')[1]
        Fact(value=90, path=('price',), of='Rug', alone=True)
    """
    try:
        found = list(_inside(json.loads(text), (), None, True))
    except (ValueError, RecursionError):
        found = list(_lines(text))
    seen: dict[tuple[Any, ...], int] = {}
    for fact in found:
        seen[fact.path, fact.of] = seen.get((fact.path, fact.of), 0) + 1
    return [
        fact if seen[fact.path, fact.of] == 1 else Fact(fact.value, fact.path, fact.of, alone=False)
        for fact in found
        if fact.value != "" and len(str(fact.value)) <= MAX_CHARS and "\n" not in str(fact.value)
    ]


def _inside(value: Any, path: tuple[str, ...], of: Scalar | None, alone: bool) -> Iterator[Fact]:
    if isinstance(value, Mapping):
        for name, one in value.items() if len(path) < MAX_DEPTH else ():
            yield from _inside(one, (*path, str(name)), of, alone)
    elif isinstance(value, list):
        key = _key(value) if of is None else None
        for one in value[:MAX_RECORDS]:
            named = one[key] if key is not None else of
            yield from _inside(one, path, named, alone and key is not None)
    elif value is not None:
        yield Fact(value, path, of, alone)


def _key(records: Sequence[Any]) -> str | None:
    """Return the field that tells records apart; None if there is none."""
    if not records or not all(isinstance(record, Mapping) for record in records):
        return None
    shared = [str(name) for name in records[0] if all(name in record for record in records)]
    best = [name for name in _NAMES if name in shared]
    ends = [n for n in shared if n.lower().endswith(_NAMES) and n not in best]
    for name in (*best, *ends):
        values = [record[name] for record in records]
        if all(isinstance(v, str | int) for v in values) and len(set(values)) == len(values):
            return name
    return None


def _lines(text: str) -> Iterator[Fact]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and not _MARKED.match(lines[0]):
        yield Fact(lines[0])
    for line in lines if len(lines) > 1 or _MARKED.match(text) else ():
        pair = _PAIR.fullmatch(line)
        if pair is None:
            yield Fact(_MARKED.sub("", line, count=1), ("line",), alone=False)
        else:
            yield Fact(pair[2], (pair[1],))
