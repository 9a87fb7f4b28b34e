"""Text of a document, JSON or YAML, as plain JSON values within fixed bounds.

YAML is read from the parser's events: that is iterative, so neither deep nesting nor aliases of
aliases can hurt, and scalars mean what JSON means (`no` is text, a date is text), as OpenAPI
recommends: https://spec.openapis.org/oas/v3.1.0#format
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from toolmaster.errors import InputError

MAX_BYTES = 64 * 2**20
"""A document's size; the largest in public collections has 47 MB."""
MAX_NODES = 5_000_000
"""Values of a YAML document, aliases counted as often as they are used."""
MAX_DEPTH = 500


def parse_text(text: str, source: str) -> dict[str, Any]:
    """Read a document.

    Args:
        text: JSON or YAML.
        source: the file or address, for messages.

    Raises:
        InputError: not valid JSON or YAML, nested too deeply, or not an object; names the place.
    """
    text = text.removeprefix("\ufeff")
    content = _json(text, source) if text.lstrip().startswith("{") else _yaml(text, source)
    if not isinstance(content, dict):
        raise InputError(
            f"{source}: an OpenAPI document is an object, got {type(content).__name__}"
        )
    return content


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{source}: not valid JSON at {where}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not valid JSON: {error}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _yaml(text: str, source: str) -> Any:
    import yaml  # noqa: PLC0415 - only YAML documents need it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _build(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark)
        raise InputError(f"{source}: not valid YAML{place}: {error.problem}") from None
    except (yaml.YAMLError, _UnusableError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{source}: not usable as YAML: {reason}") from None


def _place(mark: Any) -> str:
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


class _UnusableError(ValueError):
    """Valid YAML that JSON cannot say or that is out of bounds."""


class _Open:
    """A collection that is being read; a mapping remembers the key it waits for a value with."""

    __slots__ = ("anchor", "key", "nodes", "value")

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.nodes = 1


def _build(events: Iterable[Any]) -> Any:
    """The first document's value."""
    root = _Open([], None)
    stack = [root]
    anchors: dict[str, tuple[Any, int]] = {}
    for event in events:
        kind = type(event).__name__
        if kind == "ScalarEvent":
            value = _scalar(event, is_key=_wants_key(stack[-1]))
            if event.anchor:
                anchors[event.anchor] = (value, 1)
            _add(stack[-1], value, 1, event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(stack) > MAX_DEPTH:
                raise _UnusableError(f"nested more than {MAX_DEPTH} deep{_place(event.start_mark)}")
            stack.append(_Open({} if kind.startswith("M") else [], event.anchor))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            done = stack.pop()
            if done.anchor:
                anchors[done.anchor] = (done.value, done.nodes)
            _add(stack[-1], done.value, done.nodes, event)
        elif kind == "AliasEvent":
            if event.anchor not in anchors:
                place = _place(event.start_mark)
                raise _UnusableError(f"alias *{event.anchor} has no complete anchor before{place}")
            _add(stack[-1], *anchors[event.anchor], event)
        elif kind == "DocumentEndEvent":
            break
    return root.value[0] if root.value else None


def _wants_key(into: _Open) -> bool:
    return isinstance(into.value, dict) and into.key is None


def _add(into: _Open, value: Any, nodes: int, event: Any) -> None:
    """Put a finished value in its place."""
    into.nodes += nodes
    if into.nodes > MAX_NODES:
        raise _UnusableError(f"more than {MAX_NODES} values{_place(event.start_mark)}")
    if isinstance(into.value, list):
        into.value.append(value)
        return
    if into.key is not None:
        into.value[into.key] = value
        into.key = None
    elif isinstance(value, str) and value != "<<":
        into.key = value
    else:
        hint = "write merged keys out" if value == "<<" else "keys are text"
        raise _UnusableError(f"key {value!r} is not supported{_place(event.start_mark)}; {hint}")


_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None} | {
    word: value
    for true, false, null in (("True", "False", "Null"), ("TRUE", "FALSE", "NULL"))
    for word, value in ((true, True), (false, False), (null, None))
}


def _scalar(event: Any, *, is_key: bool) -> Any:
    """A scalar's value by YAML 1.2's core schema; keys are their text."""
    text = event.value
    if is_key or not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text) if abs(float(text)) != float("inf") else text
    return text
