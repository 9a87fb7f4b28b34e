"""A policy that plays back given turns, for tests, examples and re-execution without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.errors import PolicyError
from toolmaster.policies.base import Completion
from toolmaster.types import Message, Role

Script = Callable[[Sequence[Message]], Iterable[str]]
"""A function from the prompt to the turns to write."""


@dataclass(slots=True)
class _Playback:
    turns: Iterator[str]
    prompt_ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0

    async def complete(self) -> Completion:
        try:
            return Completion(next(self.turns))
        except StopIteration:
            raise PolicyError("the script has no more turns, and the task is not over") from None

    def observe(self, observation: str, role: Role = "tool") -> list[int]:  # noqa: ARG002 - not used
        return []


@dataclass(frozen=True, slots=True)
class ScriptedPolicy:
    """Writes the given turns and ignores observations.

    Args:
        script: The turns for every task, or a function from the prompt to the turns.
        name: Shown in trajectories.

    Example:
        >>> policy = ScriptedPolicy(["<think>Easy.</think><answer>4</answer>"])
        >>> policy.name
        'scripted'
    """

    script: Sequence[str] | Script
    name: str = "scripted"

    def conversation(
        self,
        prompt: Sequence[Message],
        tools: Sequence[dict[str, Any]],  # noqa: ARG002 - not used
    ) -> _Playback:
        """Begin a rollout."""
        turns = self.script(prompt) if callable(self.script) else self.script
        return _Playback(iter(turns))
