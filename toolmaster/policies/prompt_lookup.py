"""Drafts the next tokens by prompt lookup, so that one forward pass checks several tokens.

Rollouts repeat themselves: tags, names of tools, values copied from the task. A draft is what
followed the same few tokens before, in this rollout or else in any other. The model scores the
draft in the forward pass it makes anyway, and a draft token is accepted only if the model draws the
same token itself. So drafts change the speed and never the text (speculative decoding, arXiv
2211.17192, with prompt lookup in place of a draft model).
"""

from __future__ import annotations

from collections.abc import Sequence

NextTokens = dict[tuple[int, ...], int]
"""An n-gram of tokens to the token that followed it last time."""
_LONG, _SHORT = 3, 2
"""Lengths of the n-grams; the short ones count within one rollout only."""
_MAX_ENTRIES = 200_000
"""Entries kept over all rollouts; beyond that all of them are dropped."""


class PromptLookupDrafter:
    """Drafts the tokens that may come next.

    Args:
        length: The most draft tokens; 0 disables drafts.

    Example:
        >>> drafter, rollout = PromptLookupDrafter(2), {}
        >>> drafter.learn([1, 2, 3, 4, 5, 1, 2, 3], 0, rollout)
        >>> drafter.draft([1, 2, 3, 4, 5, 1, 2, 3], rollout, 9)
        [4, 5]
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._all_rollouts: NextTokens = {}

    def learn(self, token_ids: Sequence[int], start: int, rollout: NextTokens) -> None:
        """Record which token follows each n-gram, from index `start` on.

        Args:
            token_ids: The tokens of a rollout so far.
            start: Number of tokens that were recorded before.
            rollout: The n-grams of this rollout; extended in place.
        """
        if len(self._all_rollouts) > _MAX_ENTRIES:
            self._all_rollouts.clear()
        for end in range(max(start, _SHORT), len(token_ids)):
            rollout[tuple(token_ids[end - _SHORT : end])] = token_ids[end]
            if end >= _LONG:
                ngram = tuple(token_ids[end - _LONG : end])
                rollout[ngram] = self._all_rollouts[ngram] = token_ids[end]

    def draft(self, token_ids: Sequence[int], rollout: NextTokens, limit: int) -> list[int]:
        """Return the tokens that may come next; empty if nothing alike was seen.

        Args:
            token_ids: The tokens of a rollout so far.
            rollout: The n-grams of this rollout.
            limit: The most draft tokens, if that is less than `length`.
        """
        recent = list(token_ids[-_LONG:])
        drafted: list[int] = []
        while len(drafted) < min(self.length, limit):
            ngram = tuple(recent[-_LONG:])
            token = rollout.get(ngram, self._all_rollouts.get(ngram, rollout.get(ngram[-_SHORT:])))
            if token is None:
                break
            drafted.append(token)
            recent.append(token)
        return drafted
