"""A policy behind any OpenAI-compatible endpoint (a hosted model, vLLM, llama.cpp, Ollama).

The protocol is spoken as text, so that every endpoint can: tools are listed in the system message,
observations come back as user messages. The key is read from the environment and never kept; the
client's own retries deal with rate limits and passing failures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import openai

from toolmaster.errors import PolicyError
from toolmaster.policies.base import Completion, ContextFullError, Sampling
from toolmaster.protocols import CLOSING_TAGS
from toolmaster.types import Message, Role


@dataclass(slots=True)
class _Dialogue:
    policy: OpenAIPolicy
    messages: list[dict[str, str]]
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0

    async def complete(self) -> Completion:
        text, prompt_tokens, tokens = await self.policy.write(self.messages)
        self.prompt_tokens = self.prompt_tokens or prompt_tokens
        self.messages.append({"role": "assistant", "content": text})
        return Completion(text, tokens=tokens, prompt_tokens=prompt_tokens)

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        content = observation
        if role == "tool":
            content = f"<tool_response>{observation}</tool_response>"
        self.messages.append({"role": "user", "content": content})
        return []


class OpenAIPolicy:
    """Asks an endpoint for each turn.

    Args:
        model: the endpoint's name of the model.
        sampling: temperature and tokens of a turn.
        base_url: the endpoint; None for OpenAI's own, or `OPENAI_BASE_URL`.
        timeout_s: seconds one answer may take.
        retries: how often the client repeats a request that was limited or failed in passing.

    Raises:
        PolicyError: no key in `OPENAI_API_KEY`, and no `base_url` of a server that needs none.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        *,
        base_url: str | None = None,
        timeout_s: float = 120.0,
        retries: int = 4,
    ) -> None:
        self.name = model
        self.sampling = sampling
        key = os.environ.get("OPENAI_API_KEY")
        if not key and not (base_url or os.environ.get("OPENAI_BASE_URL")):
            raise PolicyError(
                f"no key for model {model!r}: set OPENAI_API_KEY, or give the base_url of a server"
                " that needs none"
            )
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=key or "none", timeout=timeout_s, max_retries=retries
        )

    def conversation(self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> _Dialogue:
        """Begin a rollout."""
        lines = [json.dumps(tool["function"], ensure_ascii=False) for tool in tools]
        listing = "<tools>\n" + "\n".join(lines) + "\n</tools>"
        messages = [{"role": m.role, "content": m.content} for m in prompt]
        messages[0]["content"] += "\n" + listing
        return _Dialogue(self, messages)

    async def write(self, messages: list[dict[str, str]]) -> tuple[str, int, int]:
        """One turn: its text, the prompt's tokens and its own, as the endpoint counts them.

        Raises:
            PolicyError: the endpoint refused, cannot be reached or answered with nothing.
            ContextFullError: the conversation is longer than the model's context.
        """
        try:
            answer = await self._client.chat.completions.create(
                model=self.name,
                messages=messages,  # type: ignore[arg-type]
                temperature=self.sampling.temperature,
                max_tokens=self.sampling.turn_tokens,
            )
        except openai.BadRequestError as error:
            if "context" in str(error).lower():
                raise ContextFullError from None
            reason = self._without_key(error)
            raise PolicyError(f"the endpoint refused the request: {reason}") from None
        except (openai.OpenAIError, ValueError) as error:
            raise PolicyError(f"{type(error).__name__}: {self._without_key(error)}") from None
        if not getattr(answer, "choices", None):  # text instead of JSON has none either
            raise PolicyError("the endpoint answered without a choice")
        text = answer.choices[0].message.content or ""
        usage = answer.usage
        counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        return _until_closed(text), *counts

    def _without_key(self, error: Exception) -> str:
        """The error's text; some endpoints repeat the key that they refuse."""
        return str(error).replace(self._client.api_key, "[key]")


def _until_closed(text: str) -> str:
    """The text up to the first closing tag of a block; what a model imagines next is dropped."""
    start = max(text.find("</think>"), 0)
    ends = [text.find(tag, start) + len(tag) for tag in CLOSING_TAGS if tag in text[start:]]
    return text[: min(ends)] if ends else text
