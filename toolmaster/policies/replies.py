"""What an endpoint answered: put together piece by piece, nothing in it checked."""

from __future__ import annotations

import json
import operator
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.policies.base import TOKEN_CHARS
from toolmaster.policies.faults import StreamFaultError, one_line


@dataclass(slots=True)
class CallPart:
    """A call as the endpoint wrote it; nothing of it is checked."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Reply:
    """What the endpoint answered."""

    content: str = ""
    reasoning: str = ""
    reasoning_field: str = ""
    """What the endpoint calls it, to hand it back under the same name."""
    refusal: str = ""
    calls: list[CallPart] = field(default_factory=list)
    finish_reason: str | None = None
    model: str = ""
    """Who wrote it, as the endpoint says."""
    prompt_tokens: int = 0
    """Tokens of the request; where the endpoint does not count them, by their length."""
    tokens: int = 0
    """Tokens of the reply, likewise."""
    _open: dict[int, CallPart] = field(default_factory=dict, repr=False)
    """The latest call of each index."""

    def add(self, chunk: dict[str, Any]) -> None:
        """Take a piece of a stream, or a whole answer."""
        usage = chunk.get("usage")
        if usage:
            self.prompt_tokens = usage.get("prompt_tokens") or 0
            self.tokens = usage.get("completion_tokens") or 0
        self.model = chunk.get("model") or self.model
        choices = chunk.get("choices")
        if not choices:
            return
        delta = choices[0].get("delta") or choices[0].get("message") or {}
        self.finish_reason = choices[0].get("finish_reason") or self.finish_reason
        self.content += delta.get("content") or ""
        self.refusal += delta.get("refusal") or ""
        for name in ("reasoning_content", "reasoning"):
            if isinstance(delta.get(name), str) and self.reasoning_field in ("", name):
                self.reasoning += delta[name]
                self.reasoning_field = name
        for place, call in enumerate(delta.get("tool_calls") or ()):
            self._add_call(call, call.get("index", place))

    def count(self, messages: Sequence[Any], tools: Sequence[Any]) -> None:
        """Estimate the tokens that the endpoint has not counted, so that no budget is blind."""
        if not self.prompt_tokens:
            self.prompt_tokens = _tokens(json.dumps([*messages, *tools], ensure_ascii=False))
        if not self.tokens:
            calls = [call.name + call.arguments for call in self.calls]
            self.tokens = _tokens("".join([self.content, self.reasoning, self.refusal, *calls]))

    def _add_call(self, call: dict[str, Any], index: int | None) -> None:
        """Take a piece of a call; some endpoints give all calls one index, or a piece a new id."""
        call_id, function = call.get("id") or "", call.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        part = None if index is None else self._open.get(operator.index(index))
        named_again = part is not None and part.name and name
        if part is None or (named_again and (call_id != part.id if call_id else part.arguments)):
            part = CallPart()
            self.calls.append(part)
            if index is not None:
                self._open[index] = part
        part.id = part.id or call_id
        part.name += "" if name == part.name else name  # some say it again at the end
        part.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)


def _tokens(text: str) -> int:
    return max(len(text) // TOKEN_CHARS, 1)


async def read_reply(events: AsyncIterator[bytes]) -> Reply:
    """Put a reply together from the events of a stream, or from one that is a whole answer.

    Raises:
        StreamFaultError: an error in the stream, its early end, or nothing that is an answer.
        ValueError: what should be JSON is not.
    """
    reply, answered, whole = Reply(), False, False
    async for data in events:
        if data == b"[DONE]":
            whole = True
            continue
        piece = json.loads(data)
        if not isinstance(piece, dict):
            raise StreamFaultError(f"the endpoint sent {one_line(data.decode())!r}")
        if piece.get("error"):
            error = piece["error"]
            text = error.get("message") if isinstance(error, dict) else error
            raise StreamFaultError(f"the endpoint broke off: {text or error}")
        answered = answered or bool(piece.get("choices"))
        try:
            reply.add(piece)
        except (AttributeError, TypeError, LookupError):  # of another form than any endpoint's
            raise StreamFaultError(f"the endpoint sent {one_line(data.decode())!r}") from None
    if not answered:
        raise StreamFaultError("the endpoint answered without a choice")
    if not whole and reply.finish_reason is None:
        raise StreamFaultError("the endpoint's answer ended in the middle")
    return reply
