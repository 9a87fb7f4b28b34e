"""The policy interface: a model or script that writes the assistant turns.

A policy opens one `Conversation` for each rollout. Policies that generate tokens in this process
report the tokens they sampled and those of each observation; others leave the lists empty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field, field_validator

from toolmaster.config import Settings
from toolmaster.system.redaction import is_secret_name
from toolmaster.types import Message, Role

TOKEN_CHARS = 4
"""About how many characters a token has, for estimates."""


class ToolCallFormat(StrEnum):
    """How tool calls are written to an endpoint."""

    AUTO = "auto"
    """Native if the endpoint and the model accept tools, else text."""
    NATIVE = "native"
    """The endpoint's own tool calls, with instructions for a model that was not trained here."""
    TEXT = "text"
    """Calls as text in the message, with the same instructions."""
    TRAINED = "trained"
    """Exactly as in training, for a model that was trained with toolmaster."""


def _json(value: Any) -> Any:
    """Return the value of a text that is JSON, and other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


class Room(Settings):
    """Limits of what a model may generate."""

    turn_tokens: int = Field(224, ge=8)
    """Most tokens of one turn; a longer turn is cut, which breaks its call."""
    context_tokens: int = Field(1024, ge=128)
    """Most tokens of a whole trajectory."""
    slots: int = Field(48, ge=1)
    """Number of rollouts at the same time; each holds a key-value cache of `context_tokens`."""


class Sampling(Room):
    """Settings of how a model generates."""

    temperature: float = Field(0.0, ge=0.0)
    """Temperature of the sampling; 0 takes the most likely token."""


class RoomySampling(Sampling):
    """Settings for real tools, with room for their documents and for long thoughts."""

    turn_tokens: int = Field(16_384, ge=8)
    """Most tokens of one turn; a longer turn is cut, which breaks its call. 512 for a model in this
    process."""
    context_tokens: int = Field(8192, ge=128)
    """Most tokens of a whole trajectory, if the model's own limit is not lower."""
    slots: int = Field(8, ge=1)
    """Number of rollouts at the same time; each holds a key-value cache of `context_tokens`."""
    small: ClassVar[dict[str, int]] = {"turn_tokens": 512}
    """Defaults for a model in this process, or one that was trained here."""


class EndpointSettings(Settings):
    """Settings of the requests to a model behind an endpoint."""

    timeout_s: float = Field(600.0, gt=0)
    """Seconds that a reply may take."""
    retries: int = Field(4, ge=0)
    """Number of repetitions of a request that failed for a passing reason."""
    headers: dict[str, str] = Field({})
    """Further headers of each request; `$NAME` in a value is an environment variable."""
    body: dict[str, Any] = Field({})
    """Further fields of each request, such as `top_p`."""
    reasoning_effort: str | None = None
    """How long the model thinks, such as `low` or `high`. If not set, the endpoint decides."""

    @field_validator("headers")
    @classmethod
    def _header_names(cls, given: dict[str, str]) -> dict[str, str]:
        """Accept `x_title` for `x-title`, as options have it; refuse secrets, which are saved."""
        named = {name.replace("_", "-"): value for name, value in given.items()}
        for name, value in named.items():
            if is_secret_name(name) and "$" not in value:
                raise ValueError(
                    f"{name} holds a secret; give it in an environment variable, $NAME"
                )
        return named

    @field_validator("body")
    @classmethod
    def _typed(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Read numbers and JSON, which the command line gives as text."""
        return {name: _json(value) for name, value in given.items()}


@dataclass(frozen=True, slots=True)
class Completion:
    """One assistant turn, as the model wrote it."""

    text: str
    token_ids: list[int] = field(default_factory=list)
    """The tokens that were sampled; empty for policies that do not report tokens."""
    tokens: int = 0
    """Number of tokens written; 0 if unknown."""
    prompt_tokens: int = 0
    """Number of tokens read to write them; 0 if unknown."""
    slip: bool = False
    """See `Step.slip`."""
    log_probs: list[float] = field(default_factory=list)
    """See `Step.log_probs`."""
    cut_at: int = 0
    """The limit of tokens that cut the turn; 0 for a turn that is whole, or if that is unknown."""


class ContextFullError(Exception):
    """The next turn does not fit into the context; the trajectory ends with MAX_TOKENS."""


class Conversation(Protocol):
    """The policy's side of one rollout."""

    prompt_ids: list[int]
    prompt_tokens: int

    async def complete(self) -> Completion:
        """Write the next turn.

        Raises:
            ContextFullError: No room is left in the context.
            PolicyError: The policy cannot answer.
        """

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        """Add the session's observation, and return the token ids appended for it (may be empty).

        Args:
            observation: The text of the observation.
            role: "tool", or "user" for a follow-up message.
        """


@runtime_checkable
class Closable(Protocol):
    """A policy that holds connections."""

    async def close(self) -> None:
        """Close the connections."""


@runtime_checkable
class Instructed(Protocol):
    """A policy that says whether it follows instructions, rather than a form it was trained in."""

    @property
    def instructed(self) -> bool:
        """Whether it does."""


class Policy(Protocol):
    """A model or script that writes the assistant turns."""

    @property
    def name(self) -> str:
        """The name shown in trajectories, with "@" and a version if it has one."""

    def conversation(
        self, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> Conversation:
        """Begin a rollout with these messages and tool schemas."""
