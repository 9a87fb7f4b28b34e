"""Orders of task ids: shuffled, started elsewhere and interleaved, without copying the ids."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any

STEP = 400_000
"""Distance between the starts of two seeds in ids that are computed on demand."""
PATTERN = 100
"""Number of ids after which the shares of a mixture repeat."""


@dataclass(frozen=True, slots=True)
class Computed(Sequence[str]):
    """Task ids that are computed one by one.

    Args:
        length: the number of ids.
        at: computes the id at a position.
        in_order: a function from a seed to the same ids in another order.
        seed: the seed of this order; None for the first order.
    """

    length: int
    at: Callable[[int], str]
    in_order: Callable[[int], Sequence[str]]
    seed: int | None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return tuple(self.at(index) for index in range(*key.indices(self.length)))
        index = key + self.length if key < 0 else key
        if not 0 <= index < self.length:
            raise IndexError(f"no position {key} in {self.length} task ids")
        return self.at(index)


def reorder(ids: Sequence[str], seed: int) -> Sequence[str]:
    """Return the same ids in another order, which depends on the seed alone.

    Ids that are computed on demand are already in random order: another seed starts at another
    position in them.
    """
    if isinstance(ids, Computed):
        return ids.in_order(seed)
    return tuple(random.Random(f"shuffle/{seed}").sample(ids, len(ids)))


def drawn(length: int, make: Callable[[int], str], seed: int | None = None) -> Computed:
    """Return the ids that a function makes of the numbers below `length`."""
    start = (seed or 0) * STEP
    again = partial(drawn, length, make)
    return Computed(length, lambda index: make((start + index) % length), again, seed)


def mixed(
    parts: Sequence[Sequence[str]], counts: Sequence[int], seed: int | None = None
) -> Computed:
    """Return several sequences interleaved in fixed shares, until one of them is used up.

    Args:
        parts: the sequences.
        counts: the number of ids of each sequence among `PATTERN` consecutive ids.
        seed: the seed with which the parts were reordered; None if they were not.
    """
    pattern = _pattern(tuple(counts))
    whole = min(len(part) // count for part, count in zip(parts, counts, strict=True))
    rest = (whole * counts[which] + rank >= len(parts[which]) for which, rank in pattern)
    length = whole * PATTERN + next(slot for slot, used_up in enumerate(rest) if used_up)

    def at(index: int) -> str:
        block, slot = divmod(index, PATTERN)
        which, rank = pattern[slot]
        return parts[which][block * counts[which] + rank]

    def in_order(seed: int) -> Computed:
        return mixed([reorder(part, seed) for part in parts], counts, seed)

    return Computed(length, at, in_order, seed)


@lru_cache(maxsize=64)
def _pattern(counts: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return, for each of `PATTERN` slots, its part and its rank among the slots of the part."""
    slots = sorted(
        ((rank + 0.5) / count, which, rank)
        for which, count in enumerate(counts)
        for rank in range(count)
    )
    return [(which, rank) for _, which, rank in slots]


def counts_of(weights: Sequence[float]) -> tuple[int, ...]:
    """Return the number of `PATTERN` slots of each weight, at least one: [2, 1] -> (67, 33)."""
    total = sum(weights)
    ends = [round(PATTERN * end / total) for end in accumulate(weights)]
    counts = [max(end - start, 1) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    counts[counts.index(max(counts))] += PATTERN - sum(counts)
    return tuple(counts)
