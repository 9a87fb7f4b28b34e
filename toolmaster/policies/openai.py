"""A policy behind any OpenAI-compatible endpoint (a hosted model, vLLM, llama.cpp, Ollama)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.errors import PolicyError
from toolmaster.policies.base import Completion, Sampling, Spelling
from toolmaster.policies.endpoint import ChatEndpoint, ToolsRefusedError
from toolmaster.policies.replies import Reply
from toolmaster.policies.spellings import Native, Text, Trained
from toolmaster.types import Message, Role

_SPELLINGS: dict[Spelling, type[Text] | type[Native]] = {
    Spelling.AUTO: Native,
    Spelling.NATIVE: Native,
    Spelling.TEXT: Text,
    Spelling.TRAINED: Trained,
}


@dataclass(slots=True)
class _Dialogue:
    policy: OpenAIPolicy
    prompt: Sequence[Message]
    tools: Sequence[dict[str, Any]]
    spoken: Text | Native
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0

    async def complete(self) -> Completion:
        reply = await self._ask()
        if reply.finish_reason == "content_filter" and not reply.content:
            raise PolicyError("the endpoint's content filter kept the answer back")
        self.prompt_tokens = self.prompt_tokens or reply.prompt_tokens
        text = self.spoken.take(reply)
        return Completion(text, tokens=reply.tokens, prompt_tokens=reply.prompt_tokens)

    async def _ask(self) -> Reply:
        try:
            return await self.policy.endpoint.ask(
                self.spoken.messages, self.spoken.tools, **self.spoken.extra
            )
        except ToolsRefusedError:
            if self.policy.asked_spelling is not Spelling.AUTO or len(self.spoken.messages) > 2:
                raise
        self.policy.spelling = Spelling.TEXT
        self.spoken = Text(self.prompt, self.tools)
        return await self._ask()

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        self.spoken.observe(observation, role)
        return []


class OpenAIPolicy:
    """Asks an endpoint for each turn.

    Args:
        model: the endpoint's name of the model.
        sampling: temperature and tokens of a turn.
        base_url: the endpoint; None for OpenAI's own, or `OPENAI_BASE_URL`.
        spelling: how the protocol is spoken.
        limits: `idle_s`, `timeout_s`, `retries` and `wait_s` of `ChatEndpoint`.

    Raises:
        PolicyError: no key in `OPENAI_API_KEY`, and no `base_url` of a server that needs none.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        *,
        base_url: str | None = None,
        spelling: Spelling = Spelling.AUTO,
        **limits: Any,
    ) -> None:
        self.name = model
        self.endpoint = ChatEndpoint(model, sampling, base_url, **limits)
        self.asked_spelling = self.spelling = Spelling(spelling)

    def conversation(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> _Dialogue:
        """Begin a rollout."""
        return _Dialogue(self, prompt, tools, _SPELLINGS[self.spelling](prompt, tools))

    async def close(self) -> None:
        """Close the connections to the endpoint."""
        await self.endpoint.close()
