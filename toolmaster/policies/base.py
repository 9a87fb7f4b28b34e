"""The policy interface: something that writes the next assistant turn.

A policy opens one `Conversation` per rollout. Policies that deal in tokens report the tokens they
sampled and those appended for an observation; others leave the lists empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.types import Message, Role

TOKEN_CHARS = 4
"""Characters of a token, about, where nobody counts them."""


class Spelling(StrEnum):
    """How the protocol is spoken with an endpoint."""

    AUTO = "auto"
    """Native where endpoint and model take tools, text where not."""
    NATIVE = "native"
    """The endpoint's own tool calls, explained to a model that was not trained for the protocol."""
    TEXT = "text"
    """Blocks in the text, explained likewise."""
    TRAINED = "trained"
    """For a model that toolmaster trained: what it saw in training, without a word more."""


class Room(Settings):
    """How much a model may generate."""

    turn_tokens: int = Field(224, ge=8)
    """Tokens of one turn at most; a longer one is cut short, which breaks its call."""
    context_tokens: int = Field(1024, ge=128)
    """Tokens of a whole trajectory at most."""
    slots: int = Field(48, ge=1)
    """Rollouts in flight; each holds a key-value cache of `context_tokens`."""


class Sampling(Room):
    """How a model generates."""

    temperature: float = Field(0.0, ge=0.0)
    """0 takes the most likely token."""


class RoomySampling(Sampling):
    """How a model generates with real tools: room for their documents and for long thoughts."""

    turn_tokens: int = Field(512, ge=8)
    context_tokens: int = Field(8192, ge=128)
    """Tokens of a whole trajectory at most; where nothing is said, the model's own limit if that is
    smaller."""
    slots: int = Field(8, ge=1)


@dataclass(frozen=True, slots=True)
class Completion:
    """One assistant turn as written."""

    text: str
    token_ids: list[int] = field(default_factory=list)
    """Tokens the policy sampled; empty for policies without tokens."""
    tokens: int = 0
    """How many tokens were written, as far as known."""
    prompt_tokens: int = 0
    """How many tokens were read to write it, as far as known."""
    slip: bool = False
    """See `Step.slip`."""
    log_probs: list[float] = field(default_factory=list)
    """See `Step.log_probs`."""


class ContextFullError(Exception):
    """The next turn would not fit; `rollouts` ends the trajectory with MAX_TOKENS."""


class Conversation(Protocol):
    """The policy's side of one rollout."""

    prompt_ids: list[int]
    prompt_tokens: int

    async def complete(self) -> Completion:
        """Write the next turn.

        Raises:
            ContextFullError: no room is left.
            PolicyError: the policy cannot answer.
        """
        ...

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        """Take the session's observation; return the token ids appended for it (may be empty).

        Args:
            observation: its text.
            role: who speaks: "tool", or "user" for a follow-up message.
        """
        ...


@runtime_checkable
class Closable(Protocol):
    """A policy with connections."""

    async def close(self) -> None:
        """Close them."""
        ...


class Policy(Protocol):
    """Opens conversations."""

    @property
    def name(self) -> str:
        """Shown in trajectories, with its version after '@' where it has one."""
        ...

    def conversation(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> Conversation:
        """Begin a rollout with these messages and tool schemas."""
        ...
