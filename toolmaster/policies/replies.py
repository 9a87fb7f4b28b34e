"""The answer of an OpenAI-compatible endpoint, put into one form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from toolmaster.policies.base import TOKEN_CHARS


@dataclass(slots=True)
class NativeCall:
    """A tool call as the model wrote it; the arguments may not be a JSON object."""

    id: str
    """Empty if the endpoint gives none."""
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An assistant message and what the endpoint says about it."""

    content: str
    """The text; a refusal if there is no text."""
    reasoning: dict[str, str]
    """Maps the endpoint's name of the reasoning to its text; some want it back under that name."""
    calls: list[NativeCall]
    finish_reason: str
    """Why the message ended, such as "stop", "length" or "content_filter"."""
    model: str
    """The model that wrote it."""
    prompt_tokens: int
    completion_tokens: int


def read_reply(answer: str, request: dict[str, Any]) -> Reply:
    """Return the reply in an answer; token counts that the endpoint omits are estimated.

    Raises:
        LookupError, TypeError, AttributeError, ValueError: The answer is not a chat completion.
    """
    completion = json.loads(answer)
    choice = completion["choices"][0]
    message = choice["message"]
    calls = []
    for call in message.get("tool_calls") or ():
        name, arguments = call["function"].get("name"), call["function"].get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        if name or arguments:
            calls.append(NativeCall(_text(call.get("id")), _text(name), arguments))
    names = [name for name in ("reasoning_content", "reasoning") if message.get(name)]
    usage = completion.get("usage") or {}
    sent = (request["messages"], request.get("tools"))
    return Reply(
        content=_text(message.get("content") or message.get("refusal")),
        reasoning={name: _text(message[name]) for name in names[:1]},
        calls=calls,
        finish_reason=_text(choice.get("finish_reason")),
        model=_text(completion.get("model")),
        prompt_tokens=usage.get("prompt_tokens") or _estimate(sent),
        completion_tokens=usage.get("completion_tokens") or _estimate(message),
    )


def _text(value: str | None) -> str:
    return "".join([value or ""])  # a TypeError for anything else


def _estimate(value: Any) -> int:
    """Return about how many tokens a JSON value has."""
    return max(len(json.dumps(value, ensure_ascii=False)) // TOKEN_CHARS, 1)
