"""Orders of task ids: shuffled, started elsewhere and interleaved, without copying the ids."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

STEP = 400_000
"""How far apart two seeds start in ids that are computed on demand."""
PATTERN = 100
"""Number of ids after which the shares of a mixture repeat."""


def reorder(ids: Sequence[str], seed: int) -> Sequence[str]:
    """Return the same ids in another order, which depends on the seed alone.

    Ids that are computed on demand are in random order already: another seed starts at another
    place in them.
    """
    if isinstance(ids, Mixed):
        return Mixed(tuple(reorder(part, seed) for part in ids.parts), ids.counts, seed)
    if isinstance(ids, Drawn):
        return replace(ids, seed=seed)
    return tuple(random.Random(f"shuffle/{seed}").sample(ids, len(ids)))


class Computed(Sequence[str]):
    """Base of sequences whose ids are computed one by one, by `at`."""

    seed: int | None = None
    """The seed of the order; None for the first order."""

    def at(self, index: int) -> str:
        """Return the id at a position from 0 to the length."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return tuple(self.at(index) for index in range(*key.indices(len(self))))
        index = key + len(self) if key < 0 else key
        if not 0 <= index < len(self):
            raise IndexError(f"no position {key} in {len(self)} task ids")
        return self.at(index)


@dataclass(frozen=True, slots=True)
class Drawn(Computed):
    """Ids that a function makes of their numbers.

    Args:
        length: how many there are.
        make: makes the id of a number from 0 to the length.
        seed: says at which number the order starts; None starts at 0.
    """

    length: int
    make: Callable[[int], str]
    seed: int | None = None

    def __len__(self) -> int:
        return self.length

    def at(self, index: int) -> str:
        """Return the id at a position."""
        return self.make(((self.seed or 0) * STEP + index) % self.length)


@dataclass(frozen=True, slots=True)
class Mixed(Computed):
    """Several sequences in fixed shares, until the first of them is used up.

    Args:
        parts: the sequences.
        counts: number of ids of each among `PATTERN` ids in a row.
        seed: the seed that the parts were reordered with; None where they were not.
    """

    parts: tuple[Sequence[str], ...]
    counts: tuple[int, ...]
    seed: int | None = None

    def __len__(self) -> int:
        whole = min(len(part) // count for part, count in zip(self.parts, self.counts, strict=True))
        length = whole * PATTERN
        for which, rank in _pattern(self.counts):
            if whole * self.counts[which] + rank >= len(self.parts[which]):
                break
            length += 1
        return length

    def at(self, index: int) -> str:
        """Return the id at a position."""
        block, slot = divmod(index, PATTERN)
        which, rank = _pattern(self.counts)[slot]
        return self.parts[which][block * self.counts[which] + rank]


@lru_cache(maxsize=64)
def _pattern(counts: tuple[int, ...]) -> list[tuple[int, int]]:
    """For each of `PATTERN` slots: which part, and the rank of the slot among those of the part."""
    slots = sorted(
        ((rank + 0.5) / count, which, rank)
        for which, count in enumerate(counts)
        for rank in range(count)
    )
    return [(which, rank) for _, which, rank in slots]


def counts_of(weights: Sequence[float]) -> tuple[int, ...]:
    """Return how many of `PATTERN` slots each weight gets, at least one: [2, 1] -> (67, 33)."""
    total = sum(weights)
    ends = [round(PATTERN * end / total) for end in accumulate(weights)]
    counts = [max(end - start, 1) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    counts[counts.index(max(counts))] += PATTERN - sum(counts)
    return tuple(counts)
