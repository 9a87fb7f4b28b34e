"""A policy behind an endpoint: an OpenAI-compatible server, or a vendor's own interface."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.errors import PolicyError
from toolmaster.policies.base import Completion, Sampling, ToolCallFormat
from toolmaster.policies.endpoint import ChatEndpoint
from toolmaster.policies.endpoint_errors import ToolsRefusedError
from toolmaster.policies.replies import Reply
from toolmaster.policies.tool_calls import NativeCalls, TextCalls, TrainedCalls
from toolmaster.types import Message, Role

_FORMATS: dict[ToolCallFormat, type[TextCalls] | type[NativeCalls]] = {
    ToolCallFormat.TEXT: TextCalls,
    ToolCallFormat.TRAINED: TrainedCalls,
}
"""The formats that are not native."""


@dataclass(slots=True)
class _Dialogue:
    policy: OpenAIPolicy
    prompt: Sequence[Message]
    tools: Sequence[dict[str, Any]]
    chat: TextCalls | NativeCalls
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    pending: deque[str] = field(default_factory=deque)
    """Turns of the last message that the session has not seen yet."""
    cut_at: int = 0
    """The limit of tokens that cut the last message; 0 if it is whole."""

    async def complete(self) -> Completion:
        if self.pending:
            return Completion(self.pending.popleft(), cut_at=self.cut_at)
        reply = await self._ask()
        if reply.filtered:
            raise PolicyError("the endpoint's content filter kept the answer back")
        self.prompt_tokens = self.prompt_tokens or reply.prompt_tokens
        text, *rest = self.chat.take(reply)
        self.pending.extend(rest)
        self.cut_at = self.policy.endpoint.turn_tokens if reply.cut else 0
        read, written = reply.prompt_tokens, reply.completion_tokens
        return Completion(text, tokens=written, prompt_tokens=read, cut_at=self.cut_at)

    async def _ask(self) -> Reply:
        chat, policy = self.chat, self.policy
        try:
            return await policy.endpoint.ask(chat.messages, chat.tools, **chat.extra)
        except ToolsRefusedError:
            if not policy.may_fall_back or len(chat.messages) > len(self.prompt):
                raise
        policy.format = TextCalls
        self.chat = TextCalls(self.prompt, self.tools)
        return await self._ask()

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The conversation so far, in the form of the endpoint."""
        return self.chat.messages

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        self.chat.observe(observation, role)
        return []


class OpenAIPolicy:
    """Asks an endpoint for each turn.

    Args:
        model: The endpoint's name of the model.
        sampling: Temperature and tokens of a turn.
        base_url: The endpoint's address; None for `OPENAI_BASE_URL`, the vendor's or OpenAI's own.
        tool_calls: How tool calls are written.
        options: Further arguments of `ChatEndpoint`, such as `timeout_s` or `vendor`.

    Raises:
        PolicyError: There is no key in `OPENAI_API_KEY`, and no `base_url` of a server that needs
            none.

    Example:
        >>> policy = OpenAIPolicy("Qwen/Qwen3-0.6B", Sampling(), base_url="http://localhost:8000/v1")
        >>> policy.name
        'Qwen/Qwen3-0.6B'
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        *,
        base_url: str | None = None,
        tool_calls: ToolCallFormat = ToolCallFormat.AUTO,
        **options: Any,
    ) -> None:
        self.name = model
        self.endpoint = ChatEndpoint(model, sampling, base_url, **options)
        self.format = _FORMATS.get(ToolCallFormat(tool_calls), NativeCalls)
        self.may_fall_back = tool_calls == ToolCallFormat.AUTO
        """Whether calls are written as text after the endpoint has refused tools."""

    @property
    def instructed(self) -> bool:
        """Whether the model is told how to act, and was not trained for it."""
        return self.format is not TrainedCalls

    def conversation(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> _Dialogue:
        """Begin a rollout."""
        return _Dialogue(self, prompt, tools, self.format(prompt, tools))

    async def close(self) -> None:
        """Close the connections to the endpoint."""
        await self.endpoint.close()
