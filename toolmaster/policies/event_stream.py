"""Puts a streamed answer together, for servers that stream without being asked.

Servers differ in what a piece holds: calls without an index, the same id in every piece, two calls
under one index, a whole message in place of a difference, no `[DONE]` at the end.
"""

from __future__ import annotations

import json
from typing import Any

_TEXTS = ("text", "summary", "data")
"""Fields of an item that a piece goes on with, even with the same text again."""


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
    for chunk in _chunks(text):
        if chunk.get("error"):
            return chunk
        whole.update({k: v for k, v in chunk.items() if v is not None and k != "choices"})
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue  # a second answer, which nobody asked for
            if isinstance(choice.get("message"), dict):
                message = choice["message"]
            _add(message, choice.get("delta") or {})
            finish_reason = choice.get("finish_reason") or finish_reason
    if not whole and not message:
        raise LookupError("the stream holds no piece")
    return {**whole, "choices": [{"message": message, "finish_reason": finish_reason}]}


def _chunks(text: str) -> list[dict[str, Any]]:
    lines = (line.strip() for line in text.splitlines())
    data = (line[len("data:") :].strip() for line in lines if line.startswith("data:"))
    return [chunk for item in data if item and item != "[DONE]" and (chunk := json.loads(item))]


def _add(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Add a piece to what came before: texts and lists grow, other values are replaced."""
    for key, value in new.items():
        before = old.get(key)
        if key == "tool_calls":
            old[key] = before or []
            for call in value or ():
                _add_call(old[key], call)
        elif value is None:
            continue
        elif isinstance(value, str) and isinstance(before, str) and key not in ("role", "type"):
            old[key] = before + value
        elif isinstance(value, list) and isinstance(before, list):
            for item in value:
                _add_item(before, item)
        elif isinstance(value, dict) and isinstance(before, dict):
            _add(before, value)
        else:
            old[key] = value


def _add_item(items: list[Any], item: Any) -> None:
    """Add an item of a list, such as `reasoning_details`; one with a known index goes on there."""
    if isinstance(item, dict) and item.get("index") is not None:
        for known in items:
            same = isinstance(known, dict) and known.get("index") == item["index"]
            if same and known.get("type") == item.get("type"):
                _add(known, {k: v for k, v in item.items() if known.get(k) != v or k in _TEXTS})
                return
    items.append(item)


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece of a tool call to the call that it belongs to."""
    function = piece.get("function") or {}
    index, call_id = piece.get("index"), piece.get("id")
    same = [call for call in calls if index is None or call.get("index") in (index, None)]
    call = same[-1] if same else None
    if call is not None and call_id and call.get("id") and call_id != call["id"]:
        call = next((call for call in same if call.get("id") == call_id), None)
    elif call is not None and index is None and not call_id and function.get("name"):
        # a call without an index and an id begins with its name
        call = None if _is_whole(call["function"]) else call
    if call is None:
        call = {"function": {}}
        calls.append(call)
    call.update({k: v for k, v in piece.items() if k != "function" and v is not None})
    arguments, known = function.get("arguments"), call["function"].get("arguments")
    if isinstance(arguments, str) and isinstance(known, str):
        arguments = known + arguments
    call["function"].update({k: v for k, v in function.items() if v})
    if arguments is not None:
        call["function"]["arguments"] = arguments


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
