"""Puts a streamed answer together, for servers that stream without being asked.

Servers differ in what a piece holds: calls without an index, the same id in every piece, two calls
under one index, a whole message in place of a difference, no `[DONE]` at the end.
"""

from __future__ import annotations

import json
from typing import Any

_REPLACED = ("role", "type", "id", "name", "index")
"""Fields whose value a later piece replaces; other texts grow."""
_GROWING = ("text", "summary", "data", "function")
"""Fields of an item that grow even by the same again; others are sent again in every piece."""


def is_event_stream(text: str) -> bool:
    """Return whether a body is an event stream, whatever its content type says."""
    return text.lstrip("\ufeff \r\n").startswith(("data:", "event:", "id:", "retry:", ":"))


def assemble(text: str) -> dict[str, Any]:
    """Return the completion that the events of a stream describe together.

    Raises:
        LookupError, TypeError, AttributeError, ValueError: A piece is no part of a completion.
    """
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {}
    finish_reason = None
    for line in map(str.strip, text.splitlines()):
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data in ("", "[DONE]"):
            continue
        chunk = json.loads(data)
        if chunk.get("error"):
            return dict(chunk)
        whole |= {k: v for k, v in chunk.items() if v is not None and k != "choices"}
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue  # a second answer, which nobody asked for
            message = choice.get("message") or message
            _add(message, choice.get("delta") or {})
            finish_reason = choice.get("finish_reason") or finish_reason
    if not whole and not message:
        raise LookupError("the stream holds no piece")
    return {**whole, "choices": [{"message": message, "finish_reason": finish_reason}]}


def _add(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Add a piece to what came before: texts and lists grow, other values are replaced."""
    for key, value in new.items():
        before = old.get(key)
        if value is None or (before and not value):
            continue
        if key in _REPLACED or type(value) is not type(before):
            before = None
        if isinstance(value, list):
            old[key] = before or []
            for item in value:
                _add_item(old[key], item)
        elif isinstance(value, dict) and before is not None:
            _add(before, value)
        else:
            old[key] = value if before is None or not isinstance(value, str) else before + value


def _add_item(items: list[Any], item: Any) -> None:
    """Add an item of a list, such as a call; a piece of a known item is added to that."""
    known = _known(items, item) if isinstance(item, dict) else None
    if known is None:
        items.append(item)
    else:
        _add(known, {k: v for k, v in item.items() if known.get(k) != v or k in _GROWING})


def _known(items: list[Any], item: dict[str, Any]) -> dict[str, Any] | None:
    """Return the item that a piece goes on with; None if it begins another one."""
    index, own_id = item.get("index"), item.get("id")
    same = [
        known
        for known in items
        if isinstance(known, dict)
        and (index is None or known.get("index") in (index, None))
        and (not item.get("type") or known.get("type") in (item["type"], None))
        and (not own_id or known.get("id") in (own_id, "", None))
    ]
    function = item.get("function") or {}
    if index is None and not own_id and function.get("name"):  # a call that begins with its name
        same = [known for known in same[-1:] if not _is_whole(known.get("function") or {})]
    return same[-1] if same and (index is not None or function) else None


def _is_whole(function: dict[str, Any]) -> bool:
    """Return whether a call has a name and all of its arguments."""
    arguments = function.get("arguments")
    if not function.get("name") or not isinstance(arguments, str):
        return arguments is not None
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True
