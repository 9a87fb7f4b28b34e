"""Orders of task ids: shuffled, rotated and interleaved sequences, none of them copied."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

STEP = 400_000
"""How far apart two seeds start in ids that are computed on demand."""
PATTERN = 100
"""Ids after which the shares of a mixture repeat."""


def reorder(ids: Sequence[str], seed: int) -> Sequence[str]:
    """Return the same ids in another order, the same one for the same seed.

    Ids that are computed on demand are in random order already: another seed starts at another
    place.
    """
    if isinstance(ids, list | tuple):
        return tuple(random.Random(f"shuffle/{seed}").sample(ids, len(ids)))
    if isinstance(ids, Mixed):
        return Mixed(tuple(reorder(part, seed) for part in ids.parts), ids.counts, seed)
    return Rotated(ids.ids if isinstance(ids, Rotated) else ids, seed)


class Computed(Sequence[str]):
    """Base of sequences whose ids are computed one by one."""

    def at(self, index: int) -> str:
        """The id at a position from 0 to the length."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return tuple(self.at(index) for index in range(*key.indices(len(self))))
        index = key + len(self) if key < 0 else key
        if not 0 <= index < len(self):
            raise IndexError(f"no position {key} in {len(self)} task ids")
        return self.at(index)


@dataclass(frozen=True, slots=True)
class Rotated(Computed):
    """The same ids, beginning at the place of a seed."""

    ids: Sequence[str]
    seed: int

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, index: int) -> str:
        """The id at a position."""
        return self.ids[(self.seed * STEP + index) % len(self.ids)]


@dataclass(frozen=True, slots=True)
class Mixed(Computed):
    """Several sequences in fixed shares, until the first of them is used up.

    Args:
        parts: the sequences.
        counts: how many ids of each stand among `PATTERN` ids in a row.
        seed: of the order of the parts; None for their own order.
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
        """The id at a position."""
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
    """How many of `PATTERN` slots each weight gets, at least one: [2, 1] -> (67, 33)."""
    total = sum(weights)
    ends = [round(PATTERN * end / total) for end in accumulate(weights)]
    counts = [max(end - start, 1) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    counts[counts.index(max(counts))] += PATTERN - sum(counts)
    return tuple(counts)
