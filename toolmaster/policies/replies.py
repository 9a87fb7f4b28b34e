"""The answer of an OpenAI-compatible endpoint, put into one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolmaster.policies.base import TOKEN_CHARS
from toolmaster.policies.event_stream import assemble, is_event_stream

_CUT = frozenset({
    "length", "max_tokens", "max_output_tokens", "max_completion_tokens", "model_length",
    "token_limit", "model_context_window_exceeded", "incomplete",
})  # fmt: skip
"""Reasons of the vendors for a message that ended at the limit of tokens, in lower case."""
_FILTERED = frozenset({"content_filter", "safety", "prohibited_content", "blocklist", "spii"})
"""Reasons for a message that the vendor kept back."""
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Names under which endpoints send the model's thoughts as text."""
_OURS = ("role", "tool_calls", "function_call")
"""Fields of a message that the conversation writes itself."""
_OFTEN_EMPTY = ("content", "refusal", "annotations", "audio")
"""Fields of a message that say nothing where they are empty."""
MAX_ENCODINGS = 4
"""How often arguments may be encoded as JSON, one in the other."""


class ErrorReplyError(Exception):
    """An answer with a status of success that holds an error; `error` is its JSON."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class NativeCall:
    """A tool call as the model wrote it; the arguments may not be a JSON object."""

    id: str
    """Empty if the endpoint gives none."""
    name: str
    arguments: str
    """JSON text; "{}" where the endpoint sent null or nothing."""
    given: dict[str, Any] = field(default_factory=dict)
    """The call as the endpoint sent it, with fields that it may need back."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An assistant message and what the endpoint says about it."""

    content: str
    """The text; a refusal if there is no text."""
    reasoning: str
    """The model's thoughts, as far as the endpoint shows them."""
    calls: list[NativeCall]
    given: dict[str, Any]
    """The message as the endpoint sent it, without role, calls and null. It goes back with the next
    request, for some endpoints need fields of their own back."""
    finish_reason: str
    """Why the message ended, such as "stop", "length" or "content_filter"."""
    cut: bool
    """Whether the limit of tokens ended the message."""
    model: str
    """The model that wrote it."""
    prompt_tokens: int
    completion_tokens: int

    @property
    def filtered(self) -> bool:
        """Whether the endpoint kept the message back."""
        return self.finish_reason.lower() in _FILTERED and not self.content and not self.calls


def read_reply(answer: str, request: Mapping[str, Any], limit: int | None = None) -> Reply:
    """Return the reply in an answer; token counts that the endpoint omits are estimated.

    Args:
        answer: The body of the answer: JSON or an event stream.
        request: The body of the request.
        limit: The most tokens of the reply that were asked for.

    Raises:
        ErrorReplyError: The answer is an error, in spite of its status.
        LookupError, TypeError, AttributeError, ValueError: The answer is not a chat completion.
    """
    completion = assemble(answer) if is_event_stream(answer) else json.loads(answer.strip("\ufeff"))
    return reply_of(completion, request, limit)


def reply_of(completion: Any, request: Mapping[str, Any], limit: int | None = None) -> Reply:
    """Return the reply in a completion; see `read_reply`."""
    choice: Any = next(iter(completion.get("choices") or ()), {})
    if error := choice.get("error") or (not choice and completion.get("error")):
        raise ErrorReplyError(error)
    message = choice["message"]
    made = message.get("tool_calls") or ()
    if not made and message.get("function_call"):  # the older form
        made = [{"function": message["function_call"]}]
    kept = {key: value for key, value in message.items() if key not in _OURS and value is not None}
    finish_reason = _text(choice.get("finish_reason"))
    usage = completion.get("usage") or {}
    asked = request["messages"], request.get("tools")
    written = usage.get("completion_tokens") or _estimate(message)
    unsaid_cut = not finish_reason and limit is not None and written >= limit
    return Reply(
        content=_text(message.get("content")) or _text(message.get("refusal")),
        reasoning=_thoughts(message),
        calls=[call for given in made if (call := _call(given)) is not None],
        given={key: value for key, value in kept.items() if value or key not in _OFTEN_EMPTY},
        finish_reason=finish_reason,
        cut=finish_reason.lower() in _CUT or unsaid_cut,
        model=_text(completion.get("model")),
        prompt_tokens=usage.get("prompt_tokens") or _estimate(asked),
        completion_tokens=written,
    )


def arguments_text(given: Any) -> str:
    r"""Return the arguments of a call as JSON text, in whatever form an endpoint sends them.

    Nothing, null, "null" and an empty list are no arguments; JSON that was encoded several times
    is decoded. What is no JSON stays as it is.

    Example:
        >>> arguments_text("null"), arguments_text('"{\"a\": 1}"'), arguments_text({"a": 1})
        ('{}', '{"a": 1}', '{"a": 1}')
    """
    if isinstance(given, str) and not given.strip():
        return "{}"
    text = value = given
    for _ in range(MAX_ENCODINGS):
        if not isinstance(value, str):
            break
        text = value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    if value is None or value in ([], ""):
        return "{}"
    return text.strip() if isinstance(text, str) else json.dumps(value, ensure_ascii=False)


def _call(given: dict[str, Any]) -> NativeCall | None:
    """Return a call; None for an empty one."""
    function = given.get("function") or given
    name, arguments = _text(function.get("name")), function.get("arguments")
    if not name and not arguments:
        return None
    return NativeCall(_text(given.get("id")), name, arguments_text(arguments), given)


def _thoughts(message: dict[str, Any]) -> str:
    """Return the thoughts in a message: a text of its own, details, or parts of the content."""
    listed = (message.get("reasoning_details"), message.get("content"))
    texts = [_text(message.get(name)) for name in _THOUGHTS]
    texts += ["".join(map(_thought, parts)) for parts in listed if isinstance(parts, list)]
    return next(filter(None, texts), "")


def _thought(part: Any) -> str:
    """Return the thought in a part of a message; "" for a part that is none, or is encrypted."""
    kind = part.get("type", "") if isinstance(part, dict) else ""
    if not kind.startswith(("thinking", "reasoning")):
        return ""
    return next(filter(None, (_text(part.get(k)) for k in ("text", "thinking", "summary"))), "")


def _text(value: Any) -> str:
    """Return a text that may come as parts; thoughts among the parts are left out.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, list):
        return "".join(_text(part) for part in value if not _thought(part))
    if isinstance(value, dict):
        inside = value.get("text") or value.get("content")
        return _text(inside) if isinstance(inside, str | list) else ""
    return "".join([value or ""])  # a TypeError for anything else


def _estimate(value: Any) -> int:
    """Return about how many tokens a JSON value has."""
    return max(len(json.dumps(value, ensure_ascii=False)) // TOKEN_CHARS, 1)
