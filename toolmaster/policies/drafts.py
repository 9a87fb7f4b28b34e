"""Guesses of the next tokens, which the model then checks several at a time.

Rollouts repeat themselves: tags, names of tools, values copied from the task. A guess is what
followed the same tokens before, in this rollout or else in any. The model scores the guessed tokens
in the forward pass it makes anyway, and a guess counts only where the model itself draws the same
token, so nothing that is generated changes (speculative decoding, arXiv 2211.17192, with the
deterministic drafts of prompt lookup).
"""

from __future__ import annotations

from collections.abc import Sequence

Followers = dict[tuple[int, ...], int]
"""A few tokens in a row to the one that came after them last time."""
_LONG, _SHORT = 3, 2
_KEPT = 200_000
"""Entries kept over all rollouts; beyond that they are forgotten at once."""


class Drafts:
    """What has followed what.

    Args:
        length: tokens guessed at most.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._everywhere: Followers = {}

    def learn(self, token_ids: Sequence[int], start: int, here: Followers) -> None:
        """Take in the tokens from index `start` on.

        Args:
            token_ids: a rollout so far.
            start: what comes before it is known already.
            here: what followed what in this rollout; extended.
        """
        if len(self._everywhere) > _KEPT:
            self._everywhere.clear()
        for end in range(max(start, _SHORT), len(token_ids)):
            here[tuple(token_ids[end - _SHORT : end])] = token_ids[end]
            if end >= _LONG:
                key = tuple(token_ids[end - _LONG : end])
                here[key] = self._everywhere[key] = token_ids[end]

    def guess(self, token_ids: Sequence[int], here: Followers, most: int) -> list[int]:
        """The tokens that may come next; none where nothing alike was seen.

        Args:
            token_ids: a rollout so far.
            here: what followed what in it.
            most: tokens wanted at most, besides `length`.
        """
        recent = list(token_ids[-_LONG:])
        drafted: list[int] = []
        while len(drafted) < min(self.length, most):
            key = tuple(recent[-_LONG:])
            token = here.get(key, self._everywhere.get(key, here.get(key[-_SHORT:])))
            if token is None:
                break
            drafted.append(token)
            recent.append(token)
        return drafted
