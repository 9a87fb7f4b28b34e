"""A conversation of token ids, for models in this process and for models behind a server.

Both generate through it, so that the tokens, the completion mask and the log-probabilities of a
rollout do not depend on where the model runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from toolmaster.chat import ChatFormat
from toolmaster.policies.base import Completion, ContextFullError, Sampling
from toolmaster.tags import CLOSING_TAGS
from toolmaster.types import Role

Generate = Callable[[list[int], int], Awaitable[tuple[list[int], list[float]]]]
"""Samples a turn of limited length after some tokens; see `TransformersPolicy.generate`."""
Sampled = tuple[list[int], list[float], bool]
"""Tokens, their log-probabilities, and whether the token after a closing tag is still to sample."""
Sample = Callable[[list[int], int, tuple[str, ...]], Awaitable[Sampled]]
"""Samples a limited number of tokens after some others, up to one of these texts, inclusive."""


async def sample_turn(
    sample: Sample, chat: ChatFormat, token_ids: list[int], limit: int
) -> tuple[list[int], list[float]]:
    """Sample one turn at a server as `TransformersPolicy` does in this process.

    It ends at the end-of-turn token or after a closing tag; then one more token is asked for, which
    belongs to the turn if it is the end-of-turn token.
    """
    end = chat.end_of_turn_id
    ids, log_probs, stopped = await sample(token_ids, limit, CLOSING_TAGS)
    if stopped and ids[-1] != end and len(ids) < limit:
        after, its_log_probs, _ = await sample([*token_ids, *ids], 1, ())
        if after == [end]:
            return [*ids, end], [*log_probs, *its_log_probs]
    return ids, log_probs


@dataclass(slots=True)
class TokenConversation:
    """The tokens of one rollout; see `policies.base.Conversation`.

    Args:
        chat: The chat format of the model.
        sampling: The most tokens of a turn and of the whole.
        generate: Samples one turn.
        prompt_ids: The tokens before the first turn.
    """

    chat: ChatFormat
    sampling: Sampling
    generate: Generate
    prompt_ids: list[int]
    prompt_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.token_ids = list(self.prompt_ids)
        self.prompt_tokens = len(self.prompt_ids)

    async def complete(self) -> Completion:
        """Write the next turn.

        Raises:
            ContextFullError: No room is left in the context.
            PolicyError: The model cannot answer.
        """
        read = len(self.token_ids)
        room = self.sampling.context_tokens - read - 1
        if room < 1:
            raise ContextFullError
        room = min(self.sampling.turn_tokens, room)
        sampled, log_probs = await self.generate(self.token_ids, room)
        self.token_ids += sampled
        text = self.chat.text(sampled)
        return Completion(text, sampled, len(sampled), prompt_tokens=read, log_probs=log_probs)

    def observe(self, observation: str, role: Role = "tool") -> list[int]:
        """Append an observation, and return its tokens."""
        end = self.chat.end_of_turn_id
        appended = [] if self.token_ids[-1] == end else [end]
        appended += self.chat.observation_ids(observation, role)
        self.token_ids += appended
        return appended
